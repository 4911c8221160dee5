// Package authority holds the vendor's keys, and says with them which box is whose
// and what each may do on the bus. It writes keys, JWTs and server configurations;
// it opens no connection and reads no report.
package authority

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// The keys, by the names of their files below the directory. What lies in serve is
// all that the serving machine needs: with it nobody can claim a box, command it
// or change its settings.
const (
	vendorKey   = "vendor.nk"       // signs grants, commands and assignments
	operatorKey = "operator.nk"     // signs accounts
	systemKey   = "system.nk"       // account of the server itself
	centreKey   = "centre.nk"       // account with the streams and the settings
	boxesKey    = "boxes.nk"        // account of the boxes
	claimsKey   = "claims.nk"       // account of boxes that belong to nobody
	signerKey   = "boxes-signer.nk" // signs boxes, and nothing that is not shaped as one

	// ServeDir is the directory of what the serving machine needs.
	ServeDir = "serve"
	// DeskKey signs the users of the account for claims.
	DeskKey = "claims-signer.nk"
	// FleetCreds, SystemCreds and DeskCreds are the credentials of the fleet
	// program: for the reports, for the server itself, for claims.
	FleetCreds, SystemCreds, DeskCreds = "fleet.creds", "system.creds", "claims.creds"
	// FleetKey is the fleet program's key for servers without an operator.
	FleetKey = "fleet.nk"
)

// Authority is an open directory of keys. It is for one goroutine; other processes
// have to wait.
type Authority struct {
	dir  string
	lock *os.File
	keys map[string]nkeys.KeyPair
	book book
	// changed says that the boxes' account is not what the server was told.
	changed bool
}

// kinds are the keys that there are, and of which kind each is.
var kinds = map[string]func() (nkeys.KeyPair, error){
	vendorKey:                         nkeys.CreateOperator,
	operatorKey:                       nkeys.CreateOperator,
	systemKey:                         nkeys.CreateAccount,
	centreKey:                         nkeys.CreateAccount,
	boxesKey:                          nkeys.CreateAccount,
	claimsKey:                         nkeys.CreateAccount,
	signerKey:                         nkeys.CreateAccount,
	filepath.Join(ServeDir, DeskKey):  nkeys.CreateAccount,
	filepath.Join(ServeDir, FleetKey): nkeys.CreateUser,
}

// ErrNoKeys says that a directory holds no keys.
var ErrNoKeys = errors.New("no keys there")

// Open reads the keys in a directory. Where there are none, the error is
// [ErrNoKeys].
func Open(dir string) (*Authority, error) {
	if _, err := os.Stat(filepath.Join(dir, vendorKey)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w (sprechprobe-fleet nats-config makes them)", dir, ErrNoKeys)
	}
	return open(dir)
}

// Init reads the keys in a directory and makes those that are not there.
func Init(dir string) (*Authority, error) {
	for _, d := range []string{dir, filepath.Join(dir, ServeDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
	}
	return open(dir)
}

func open(dir string) (*Authority, error) {
	a := &Authority{dir: dir, keys: map[string]nkeys.KeyPair{}}
	if err := a.acquire(); err != nil {
		return nil, err
	}
	err := a.load()
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Close lets other processes in.
func (a *Authority) Close() { _ = a.lock.Close() }

// acquire keeps two commands from writing the same book.
func (a *Authority) acquire() error {
	f, err := os.OpenFile(filepath.Join(a.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("keys %s: in use by another command", a.dir)
	}
	a.lock = f
	return nil
}

func (a *Authority) load() error {
	for name, create := range kinds {
		k, err := loadKey(filepath.Join(a.dir, name), create)
		if err != nil {
			return err
		}
		a.keys[name] = k
	}
	return errors.Join(a.readBook(), a.writeCreds())
}

// loadKey reads a key, or makes it. One that is there and of no use is never
// overwritten: boxes are known by it.
func loadKey(path string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	seed, err := strict.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err := create()
		if err != nil {
			return nil, err
		}
		seed, err := k.Seed()
		if err != nil {
			return nil, err
		}
		return k, atomicfile.Replace(path, append(seed, '\n'))
	}
	if err != nil {
		return nil, err
	}
	return parseKey(path, seed)
}

func parseKey(path string, seed []byte) (nkeys.KeyPair, error) {
	k, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("%s: not a key: %w", path, err)
	}
	return k, nil
}

// ReadKey reads one key of ours, as the serving machine does.
func ReadKey(path string) (nkeys.KeyPair, error) {
	seed, err := strict.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseKey(path, seed)
}

// public is the public key of one of ours.
func (a *Authority) public(name string) string {
	p, err := a.keys[name].PublicKey()
	if err != nil {
		panic("authority: a key pair without a public key: " + err.Error())
	}
	return p
}

// VendorKey is what boxes pin: the public key that signs grants, commands and
// assignments.
func (a *Authority) VendorKey() string { return a.public(vendorKey) }

// Signer signs for the vendor.
func (a *Authority) Signer() nkeys.KeyPair { return a.keys[vendorKey] }

// Dir is where the keys lie.
func (a *Authority) Dir() string { return a.dir }

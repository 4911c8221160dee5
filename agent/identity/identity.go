// Package identity keeps who the box is: its own key, made at the first start and
// never given away, and the grant with which the vendor has claimed it. It knows
// files and signatures; it opens no connection and does not know what a box does
// with its names.
package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// The files in the box's directory.
const (
	seedFile  = "device.nk" // the private key, an nkey seed
	grantFile = "grant"     // as it was sealed
)

// Identity is who the box is. It is a value that does not change: [Identity.Adopt]
// makes another one. Its methods may be called from several goroutines.
type Identity struct {
	dir     string
	key     nkeys.KeyPair
	public  string
	code    func() string // costly, and rarely asked for
	pinned  []string
	grant   fleet.Grant // Key empty: not claimed
	trouble error
}

// Open reads the box's identity from a directory and makes its key if there is
// none. pinned are the vendor keys of the box's own configuration; they may be
// none. A key that cannot be read is an error, and is never overwritten: the box
// is known by it.
func Open(dir string, pinned []string) (*Identity, error) {
	id, err := Read(dir, pinned)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if err := makeKey(dir); err != nil {
		return nil, fmt.Errorf("make the box's key: %w", err)
	}
	return Read(dir, pinned)
}

// Read reads the box's identity. Where it has no key yet, the error is
// [io/fs.ErrNotExist].
func Read(dir string, pinned []string) (*Identity, error) {
	path := filepath.Join(dir, seedFile)
	key, err := readKey(path)
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, &strict.Error{File: path, Text: err.Error()}
	}
	id := &Identity{dir: dir, key: key, public: public, code: sync.OnceValue(func() string { return fleet.Code(public) }), pinned: pinned}
	id.readGrant()
	return id, nil
}

func readKey(path string) (nkeys.KeyPair, error) {
	seed, err := strict.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	// Whoever copied the file may not have minded its mode.
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		_ = os.Chmod(path, 0o600)
	}
	text := trim(seed)
	key, err := nkeys.FromSeed(text)
	if err == nil {
		var public string
		if public, err = key.PublicKey(); err == nil {
			err = fleet.CheckBoxKey(public)
		}
	}
	if err != nil {
		return nil, &strict.Error{File: path, Text: "not a box's key (" + err.Error() + "): restore the file, " +
			"or move it away and the box gets a new key with a new claim code"}
	}
	return key, nil
}

// trim cuts what editors leave at the end of a line.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

func makeKey(dir string) error {
	key, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	seed, err := key.Seed()
	if err != nil {
		return err
	}
	defer clear(seed)
	return atomicfile.Replace(filepath.Join(dir, seedFile), append(seed, '\n'))
}

// readGrant reads the grant, if there is one. One that is no good leaves the box
// unclaimed, and says why.
func (i *Identity) readGrant() {
	path := filepath.Join(i.dir, grantFile)
	sealed, err := strict.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var g fleet.Grant
	if err == nil {
		g, err = fleet.OpenGrant(sealed, i.public, i.pinned)
	}
	if err != nil {
		i.trouble = &strict.Error{File: path, Text: err.Error()}
		return
	}
	i.grant = g
}

// Trouble is why a grant that is there is of no use; nil where there is none or
// it is good.
func (i *Identity) Trouble() error { return i.trouble }

// PublicKey is the box's public key: U and 55 letters and digits.
func (i *Identity) PublicKey() string { return i.public }

// Code is the claim code; see [fleet.Code].
func (i *Identity) Code() string { return i.code() }

// Sign signs with the box's private key.
func (i *Identity) Sign(input []byte) ([]byte, error) { return i.key.Sign(input) }

// Claimed says whether the box belongs to somebody, and as what.
func (i *Identity) Claimed() (fleet.Grant, bool) { return i.grant, i.grant.Key != "" }

// JWT is the user JWT to show to the bus; empty where the box has none.
func (i *Identity) JWT() string { return i.grant.JWT }

// Forget takes the box its key and its grant: it is another box from then on, and
// nobody's.
func Forget(dir string) error {
	// The key last: until it is gone it is the same box.
	for _, name := range []string{grantFile, grantFile + ".bad", seedFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Same reports whether o is the same box with the same grant.
func (i *Identity) Same(o *Identity) bool {
	return i.public == o.public && i.grant.IssuedAt.Equal(o.grant.IssuedAt)
}

// VendorKeys are the keys whose signature counts: those of the configuration, or
// without any there, those that came with the grant.
func (i *Identity) VendorKeys() []string {
	if len(i.pinned) > 0 {
		return i.pinned
	}
	return i.grant.VendorKeys
}

// Adopt stores a grant, as text or sealed, and returns the identity that the box
// has with it. It replaces only an older one. It is for what comes by hand:
// where the configuration pins no vendor key, whoever hands it over is believed.
func (i *Identity) Adopt(text []byte) (*Identity, error) {
	if len(text) > strict.MaxSize {
		return nil, fmt.Errorf("grant of %d bytes, want at most %d", len(text), strict.MaxSize)
	}
	sealed, err := fleet.DearmorGrant(text)
	if err != nil {
		return nil, err
	}
	return i.adopt(sealed, i.pinned)
}

// AdoptSent stores a sealed grant that came over the network. It must be signed by
// a key that the box knew before.
func (i *Identity) AdoptSent(sealed []byte) (*Identity, error) {
	keys := i.VendorKeys()
	if len(keys) == 0 {
		return nil, fmt.Errorf("grant: %w: the configuration names no key in central.vendor_keys", fleet.ErrUnsigned)
	}
	return i.adopt(sealed, keys)
}

// ErrNotNewer says that a grant is not newer than the one that the box has.
var ErrNotNewer = errors.New("not newer than the grant that the box has")

func (i *Identity) adopt(sealed []byte, keys []string) (*Identity, error) {
	g, err := fleet.OpenGrant(sealed, i.public, keys)
	if err != nil {
		return nil, err
	}
	if old, ok := i.Claimed(); ok && !g.IssuedAt.After(old.IssuedAt) {
		return nil, fmt.Errorf("grant of %s for %s: %w", g.IssuedAt.UTC().Format("2006-01-02 15:04:05"), g.Address(), ErrNotNewer)
	}
	path := filepath.Join(i.dir, grantFile)
	if i.trouble != nil { // what could not be read may still mean something to somebody
		if err := os.Rename(path, path+".bad"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := atomicfile.Replace(path, sealed); err != nil {
		return nil, fmt.Errorf("keep the grant: %w", err)
	}
	next := *i
	next.grant, next.trouble = g, nil
	return &next, nil
}

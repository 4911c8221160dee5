package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/desk"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
)

// keyFlags are the flags of commands that sign, and say so to the bus.
type keyFlags struct {
	keys, nats, ca string
}

const keyArgs = `
  --keys DIR     the vendor's keys (default: the user's state directory)
  --nats URL     the bus to tell (default nats://127.0.0.1:4222)
  --ca FILE      certificates to trust for it (default: the system's)`

func (k *keyFlags) add(f *flag.FlagSet) {
	f.StringVar(&k.keys, "keys", "", "")
	f.StringVar(&k.nats, "nats", "nats://127.0.0.1:4222", "")
	f.StringVar(&k.ca, "ca", "", "")
}

// dir is where the keys are.
func (k *keyFlags) dir() (string, error) {
	if k.keys != "" {
		return filepath.Abs(k.keys)
	}
	return stateDir("keys")
}

// open reads the keys.
func (k *keyFlags) open() (*authority.Authority, error) {
	dir, err := k.dir()
	if err != nil {
		return nil, err
	}
	return authority.Open(dir)
}

// patience is how long a command waits for the bus.
const patience = 10 * time.Second

// dial joins the bus with a file of the serving machine.
func (k *keyFlags) dial(file string) (*nats.Conn, error) {
	dir, err := k.dir()
	if err != nil {
		return nil, err
	}
	who, err := hub.Credentials(filepath.Join(dir, authority.ServeDir, file))
	if err != nil {
		return nil, err
	}
	opts := []nats.Option{nats.Name("sprechprobe-fleet"), nats.Timeout(patience), nats.NoReconnect(), who}
	if k.ca != "" {
		opts = append(opts, nats.RootCAs(k.ca))
	}
	conn, err := nats.Connect(k.nats, opts...)
	if err != nil {
		return nil, fmt.Errorf("bus %s: %w", k.nats, err)
	}
	return conn, nil
}

// centre joins the vendor's account, by the way that the server knows us.
func (k *keyFlags) centre(a *authority.Authority) (*nats.Conn, error) {
	if a.Mode() == authority.Plain {
		return k.dial(authority.FleetKey)
	}
	return k.dial(authority.FleetCreds)
}

// store opens the buckets that the desk and the boxes read. The caller closes the
// connection.
func (k *keyFlags) store(ctx context.Context, a *authority.Authority) (*desk.Store, *nats.Conn, error) {
	conn, err := k.centre(a)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	if err == nil {
		var s *desk.Store
		if s, err = desk.OpenStore(ctx, js); err == nil {
			return s, conn, nil
		}
	}
	conn.Close()
	return nil, nil, err
}

// tell lets a running server know that boxes have lost rights.
func (k *keyFlags) tell(ctx context.Context, a *authority.Authority) error {
	if a.Mode() == authority.Plain {
		return a.Rewrite()
	}
	if !a.Changed() {
		return nil
	}
	conn, err := k.dial(authority.SystemCreds)
	if err != nil {
		return err
	}
	defer conn.Close()
	account, err := a.BoxAccount()
	if err != nil {
		return err
	}
	return desk.Tell(ctx, conn, account)
}

// note writes down what was done with the keys, beside them.
func (k *keyFlags) note(a *authority.Authority, what string, at fleet.Address, result string) error {
	d := deed(what, at.Box)
	d.Tenant, d.Result = at.Tenant, result
	return audit.Open(filepath.Join(a.Dir(), auditFile)).Add(d)
}

// parseWith reads the arguments that stand before the flags, and the flags.
func parseWith(f *flag.FlagSet, args []string, names ...string) ([]string, error) {
	if slices.Contains(args, "-h") || slices.Contains(args, "--help") || slices.Contains(args, "-help") {
		return nil, flag.ErrHelp
	}
	n := 0
	for n < len(args) && n < len(names) && !strings.HasPrefix(args[n], "-") {
		n++
	}
	if n < len(names) {
		return nil, errUsage{fmt.Errorf("%s is missing", names[n])}
	}
	return args[:n], parse(f, args[n:])
}

// waiting bounds what a command does with the bus.
func waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, errors.New("the bus does not answer"))
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/desk"
)

const assignArgs = `TENANT/NAME [flags]
  --profile FILE   a profile to give to the box; may be given again
  --use P,Q        the profiles to check for; built in, or given
  --every D        the time between two rounds, such as 5m
                   without any of these the box goes back to its own settings` + keyArgs

// assign gives settings to a box.
func assign(ctx context.Context, e env, args []string) error {
	var k keyFlags
	var files list
	var use string
	var every time.Duration
	f := flags("assign")
	k.add(f)
	f.Var(&files, "profile", "")
	f.StringVar(&use, "use", "", "")
	f.DurationVar(&every, "every", 0, "")
	words, err := parseWith(f, args, "TENANT/NAME")
	if err != nil {
		return err
	}
	at, err := fleet.ParseAddress(words[0])
	if err != nil {
		return errUsage{err}
	}
	as := fleet.Assignment{Tenant: at.Tenant, Box: at.Box, IssuedAt: time.Now().UTC(), EveryS: int64(every / time.Second)}
	if use != "" {
		as.Use = strings.Split(use, ",")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := profile.Parse(file, text); err != nil {
			return err
		}
		as.Profiles = append(as.Profiles, string(text))
	}
	return k.assign(ctx, e, at, as)
}

func (k *keyFlags) assign(ctx context.Context, e env, at fleet.Address, as fleet.Assignment) error {
	a, err := k.open()
	if err != nil {
		return err
	}
	defer a.Close()
	ctx, cancel := waiting(ctx)
	defer cancel()
	s, conn, err := k.store(ctx, a)
	if err != nil {
		return err
	}
	defer conn.Close()
	if as.Version, err = nextVersion(ctx, s, at, a.VendorKey()); err != nil {
		return err
	}
	sealed, err := fleet.Seal(fleet.AssignmentSchema, as, a.Signer())
	if err != nil {
		return err
	}
	if err := s.Assign(ctx, at, string(sealed)); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s is assigned version %d; its reports tell whether it took it\n", at, as.Version)
	return k.note(a, "assign", at, fmt.Sprintf("ok, version %d", as.Version))
}

// nextVersion is later than that of the assignment that lies there, and than that
// of any that a bus has forgotten: it grows with the clock.
func nextVersion(ctx context.Context, s *desk.Store, at fleet.Address, key string) (uint64, error) {
	v := uint64(time.Now().Unix())
	sealed, err := s.Assignment(ctx, at)
	if err != nil || sealed == "" {
		return v, err
	}
	old, err := fleet.OpenAssignment([]byte(sealed), at, []string{key})
	if err != nil {
		return 0, fmt.Errorf("the assignment that lies there: %w", err)
	}
	return max(v, old.Version+1), nil
}

const commandArgs = `TENANT/NAME check|identify|last|bandwidth|config [flags]` + keyArgs

// sendCommand asks one box to do something now.
func sendCommand(ctx context.Context, e env, args []string) error {
	var k keyFlags
	f := flags("command")
	k.add(f)
	words, err := parseWith(f, args, "TENANT/NAME", "COMMAND")
	if err != nil {
		return err
	}
	at, err := fleet.ParseAddress(words[0])
	if err != nil {
		return errUsage{err}
	}
	if !slices.Contains(fleet.CommandNames, words[1]) {
		return errUsage{fmt.Errorf("no command %q (want one of %q)", words[1], fleet.CommandNames)}
	}
	a, err := k.open()
	if err != nil {
		return err
	}
	defer a.Close()
	conn, err := k.centre(a)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := waiting(ctx)
	defer cancel()
	if err := k.note(a, "command-"+words[1], at, "sent"); err != nil {
		return err
	}
	m, err := order(ctx, conn, a.Signer(), at, words[1])
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%s is not there now", at)
	case err != nil:
		return fmt.Errorf("%s does not answer: %w", at, err)
	case m.Header.Get(fleet.HeaderErrorCode) != "":
		return fmt.Errorf("%s says no: %.10q %.80q", at, m.Header.Get(fleet.HeaderErrorCode), m.Header.Get(fleet.HeaderError))
	}
	return writeIndented(e, m.Data)
}

// order sends a command to a box and returns its answer.
func order(ctx context.Context, conn *nats.Conn, by fleet.Signer, at fleet.Address, name string) (*nats.Msg, error) {
	c := fleet.Command{Tenant: at.Tenant, Box: at.Box, Name: name, ID: rand.Text(), IssuedAt: time.Now().UTC()}
	sealed, err := fleet.Seal(fleet.CommandSchema, c, by)
	if err != nil {
		return nil, err
	}
	return conn.RequestWithContext(ctx, at.Command(name), sealed)
}

// writeIndented prints the JSON that a box answered. A box may say anything.
func writeIndented(e env, b []byte) error {
	var d fleet.Done
	if err := json.Unmarshal(b, &d); err != nil {
		return fmt.Errorf("the answer is not what it should be: %w", err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return err
	}
	_, err := out.WriteTo(e.out)
	return err
}

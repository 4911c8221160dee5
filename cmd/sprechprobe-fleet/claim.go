package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/desk"
)

const claimArgs = `CODE|KEY --tenant T --name N [flags]
  --tenant T     who the box belongs to: a-z, 0-9 and -
  --name N       the box's name with that tenant, in the same form
  --replace      take the name from the box that has it, and that box its rights
  --out FILE     write the grant to a file, for a console or a boot partition` + keyArgs

// claim gives a box to a tenant.
func claim(ctx context.Context, e env, args []string) error {
	var k keyFlags
	var at fleet.Address
	var out string
	var replace bool
	f := flags("claim")
	k.add(f)
	f.StringVar(&at.Tenant, "tenant", "", "")
	f.StringVar(&at.Box, "name", "", "")
	f.StringVar(&out, "out", "", "")
	f.BoolVar(&replace, "replace", false, "")
	words, err := parseWith(f, args, "CODE")
	if err != nil {
		return err
	}
	if err := at.Check(); err != nil {
		return errUsage{err}
	}
	a, err := k.open()
	if err != nil {
		return err
	}
	defer a.Close()
	ctx, cancel := waiting(ctx)
	defer cancel()
	key, err := k.keyOf(ctx, a, words[0])
	if err != nil {
		return err
	}
	b, err := a.Claim(key, at, replace, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s is the box with the claim code %s\n", at, b.Code())
	if err := k.note(a, "claim", at, "ok, "+b.Code()); err != nil {
		return err
	}
	if out != "" {
		if err := atomicfile.Replace(out, fleet.ArmorGrant([]byte(b.Grant))); err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		fmt.Fprintf(e.out, "grant: %s (give it to \"sprechprobe identity adopt\", or put it on the boot partition)\n", out)
	}
	err = k.handOver(ctx, e, a, b)
	if err != nil && out != "" { // it can still go by hand
		fmt.Fprintf(e.err, "sprechprobe-fleet claim: the bus was not told: %v\n", err)
		return nil
	}
	return err
}

var errNoCode = errors.New("no box with the claim code")

// keyOf is the public key of the box that somebody means: by itself, or by the
// claim code of a box that waits.
func (k *keyFlags) keyOf(ctx context.Context, a *authority.Authority, said string) (string, error) {
	if fleet.CheckBoxKey(said) == nil {
		return said, nil
	}
	code, err := fleet.ParseCode(said)
	if err != nil {
		return "", errUsage{err}
	}
	for _, b := range a.Boxes() {
		if b.Code() == code {
			return b.Key, nil
		}
	}
	s, conn, err := k.store(ctx, a)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	keys, err := s.FindCode(ctx, code)
	switch {
	case err != nil:
		return "", err
	case len(keys) == 0:
		return "", fmt.Errorf("%w %s is waiting: is it plugged in, and does it reach this bus? Its key does as well", errNoCode, code)
	case len(keys) > 1:
		return "", fmt.Errorf("%d boxes have the claim code %s: claim by the key that \"sprechprobe identity\" shows", len(keys), code)
	}
	return keys[0], nil
}

// handOver lets the bus know of a box that was claimed.
func (k *keyFlags) handOver(ctx context.Context, e env, a *authority.Authority, b authority.Box) error {
	if err := k.tell(ctx, a); err != nil {
		return err
	}
	if a.Mode() == authority.Plain {
		fmt.Fprintln(e.out, "let the server read its boxes again: nats-server --signal reload")
	}
	s, conn, err := k.store(ctx, a)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := s.PutGrant(ctx, b.Key, b.Grant); err != nil {
		return fmt.Errorf("hand over the grant: %w", err)
	}
	fmt.Fprintln(e.out, "the box gets its grant when it asks the next time")
	return nil
}

const revokeArgs = `TENANT/NAME|KEY [flags]
  KEY            of the server of a site, as nats-config leaf says it` + keyArgs

// revoke takes a box its rights, or the server of a site.
func revoke(ctx context.Context, e env, args []string) error {
	var k keyFlags
	f := flags("revoke")
	k.add(f)
	words, err := parseWith(f, args, "TENANT/NAME")
	if err != nil {
		return err
	}
	if fleet.CheckBoxKey(words[0]) == nil {
		return k.revokeKey(ctx, e, words[0])
	}
	at, err := fleet.ParseAddress(words[0])
	if err != nil {
		return errUsage{err}
	}
	a, err := k.open()
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := a.Revoke(at, time.Now())
	if err != nil {
		return err
	}
	if err := k.note(a, "revoke", at, "ok"); err != nil {
		return err
	}
	ctx, cancel := waiting(ctx)
	defer cancel()
	if err := k.tell(ctx, a); err != nil {
		return fmt.Errorf("revoked here, but the bus was not told (sprechprobe-fleet push does that again): %w", err)
	}
	s, conn, err := k.store(ctx, a)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(e.out, "%s is revoked\n", at)
	if a.Mode() == authority.Plain {
		fmt.Fprintln(e.out, "let the server read its boxes again: nats-server --signal reload")
	}
	return s.DropGrant(ctx, b.Key)
}

// revokeKey shuts the server of a site out.
func (k *keyFlags) revokeKey(ctx context.Context, e env, key string) error {
	a, err := k.open()
	if err != nil {
		return err
	}
	defer a.Close()
	for _, b := range a.Boxes() {
		if b.Key == key {
			return errUsage{fmt.Errorf("that is the key of a box: say %s", b.Address())}
		}
	}
	if err := a.RevokeKey(key, time.Now()); err != nil {
		return err
	}
	if err := k.note(a, "revoke-leaf", fleet.Address{}, "ok, "+key); err != nil {
		return err
	}
	ctx, cancel := waiting(ctx)
	defer cancel()
	if err := k.tell(ctx, a); err != nil {
		return fmt.Errorf("revoked here, but the bus was not told (sprechprobe-fleet push does that again): %w", err)
	}
	fmt.Fprintf(e.out, "%s is revoked\n", key)
	return nil
}

const pushArgs = `[flags]` + keyArgs

// push tells the bus everything again: after it was away, or forgot.
func push(ctx context.Context, e env, args []string) error {
	var k keyFlags
	f := flags("push")
	k.add(f)
	if err := parse(f, args); err != nil {
		return err
	}
	a, err := k.open()
	if err != nil {
		return err
	}
	defer a.Close()
	ctx, cancel := waiting(ctx)
	defer cancel()
	a.Renew()
	if err := k.tell(ctx, a); err != nil {
		return err
	}
	s, conn, err := k.store(ctx, a)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, b := range a.Boxes() {
		if err := s.PutGrant(ctx, b.Key, b.Grant); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.out, "told of %d boxes\n", len(a.Boxes()))
	return nil
}

const boxesArgs = `[flags]` + keyArgs

// boxes lists who waits to be claimed, and who has been.
func boxes(ctx context.Context, e env, args []string) error {
	var k keyFlags
	f := flags("boxes")
	k.add(f)
	if err := parse(f, args); err != nil {
		return err
	}
	a, err := k.open()
	if err != nil {
		return err
	}
	defer a.Close()
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLAIM CODE\tBOX\tSINCE\tKEY")
	ctx, cancel := waiting(ctx)
	defer cancel()
	err = k.listWaiting(ctx, w, a)
	for _, b := range a.Boxes() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", b.Code(), b.Address(), b.ClaimedAt.Format("2006-01-02 15:04"), b.Key)
	}
	return errors.Join(w.Flush(), err)
}

func (k *keyFlags) listWaiting(ctx context.Context, w io.Writer, a *authority.Authority) error {
	s, conn, err := k.store(ctx, a)
	if err != nil {
		return fmt.Errorf("who waits is not known: %w", err)
	}
	defer conn.Close()
	all, err := s.Waiting(ctx)
	for _, c := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Code, "(waits) "+describe(c), c.At.UTC().Format("2006-01-02 15:04"), c.Key)
	}
	return err
}

// describe says of a waiting box what it says of itself.
func describe(c desk.Waiting) string {
	text := c.Box.Platform
	for _, more := range []string{c.Box.Board, c.Box.Name} {
		if more != "" {
			text += ", " + more
		}
	}
	return text
}

const configArgs = `embedded|operator|plain|leaf --out DIR [flags]
  embedded            for the bus within sprechprobe-fleet serve
  operator            for a nats-server of your own, which knows boxes by their JWT
  plain               for a nats-server of your own, which lists the boxes
  leaf                for the server of a site, where boxes of one tenant connect
  --out DIR           where to write nats.conf
  --listen ADDR       where the bus listens for boxes (default 127.0.0.1:4222)
  --websocket ADDR    where it listens for boxes that only get web traffic through
  --cert FILE --key FILE   certificate and its key; without them only this machine
  --store DIR         where the bus keeps its data (default DIR/data)
  --keys DIR          the vendor's keys; made if there are none
  --tenant T          leaf: whose boxes
  --remote URL        leaf: where the vendor's server hears leaf nodes
  --ca FILE           leaf: certificates to trust for it (default: the system's)`

// natsConfig writes a configuration for the bus, and the keys it needs.
func natsConfig(_ context.Context, e env, args []string) error {
	var leaf authority.Leaf
	l := &leaf.Layout
	var k keyFlags
	f := flags("nats-config")
	f.StringVar(&leaf.Tenant, "tenant", "", "")
	f.StringVar(&leaf.Remote, "remote", "", "")
	f.StringVar(&leaf.CA, "ca", "", "")
	f.StringVar(&k.keys, "keys", "", "")
	f.StringVar(&l.Out, "out", "", "")
	f.StringVar(&l.Listen, "listen", "127.0.0.1:4222", "")
	f.StringVar(&l.WebSocket, "websocket", "", "")
	f.StringVar(&l.Cert, "cert", "", "")
	f.StringVar(&l.Key, "key", "", "")
	f.StringVar(&l.Store, "store", "", "")
	words, err := parseWith(f, args, "MODE")
	if err != nil {
		return err
	}
	set, site := given(f), words[0] == "leaf"
	switch l.Mode = authority.Mode(words[0]); {
	case l.Out == "":
		return errUsage{errors.New("--out is missing")}
	case site && (leaf.Tenant == "" || leaf.Remote == ""):
		return errUsage{errors.New("leaf wants --tenant and --remote")}
	case !site && (set["tenant"] || set["remote"] || set["ca"]):
		return errUsage{errors.New("--tenant, --remote and --ca are for leaf")}
	}
	if l.Store == "" {
		l.Store = filepath.Join(l.Out, "data")
	}
	for _, p := range []*string{&l.Out, &l.Store, &l.Cert, &l.Key, &leaf.CA} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	dir, err := k.dir()
	if err != nil {
		return err
	}
	if site {
		return k.leafConfig(e, leaf)
	}
	a, err := authority.Init(dir)
	if err != nil {
		return err
	}
	defer a.Close()
	path, err := a.WriteConfig(*l)
	if err != nil {
		return err
	}
	explain(e, a, l.Mode, path)
	return nil
}

// leafConfig writes a configuration for the server of a site.
func (k *keyFlags) leafConfig(e env, l authority.Leaf) error {
	a, err := k.open()
	if err != nil {
		return err
	}
	defer a.Close()
	path, key, err := a.WriteLeaf(l)
	if err != nil {
		return err
	}
	if err := k.note(a, "leaf", fleet.Address{Tenant: l.Tenant}, "ok, "+key); err != nil {
		return err
	}
	fmt.Fprintf(e.out, `directory:     %s (secret: with it, and nothing else, one speaks for all boxes of %s)
serve:         nats-server -c %s
key:           %s (sprechprobe-fleet revoke KEY shuts this server out)
again:         when %s gets a box or loses one
`, l.Out, l.Tenant, path, key, l.Tenant)
	return nil
}

// explain says what to do with a configuration.
func explain(e env, a *authority.Authority, m authority.Mode, conf string) {
	serving := filepath.Join(a.Dir(), authority.ServeDir)
	fmt.Fprintf(e.out, "configuration: %s\nkeys:          %s (keep them safe; the serving machine needs %s alone)\n\n", conf, a.Dir(), serving)
	switch m {
	case authority.Embedded:
		fmt.Fprintf(e.out, "serve:         sprechprobe-fleet serve --nats-config %s --keys %s\n", conf, serving)
	case authority.Operator:
		fmt.Fprintf(e.out, "serve:         nats-server -c %s\n               sprechprobe-fleet serve --nats URL --keys %s\nVENDOR:        %s (the account, where another region's server joins)\n", conf, serving, a.VendorAccount())
	default:
		fmt.Fprintf(e.out, "serve:         nats-server -c %s\n               sprechprobe-fleet serve --nats URL --creds %s\n", conf, filepath.Join(serving, authority.FleetKey))
	}
	fmt.Fprintf(e.out, "boxes:         [central]\n               servers = [\"tls://...\"]\n               vendor_keys = [%q]\n", a.VendorKey())
}

package authority

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Mode is the way in which a server knows who is who.
type Mode string

// The modes.
const (
	// Embedded is for the server within the fleet program, by JWTs.
	Embedded Mode = "embedded"
	// Operator is for a nats-server of the vendor's own, by JWTs.
	Operator Mode = "operator"
	// Plain is for a nats-server that lists the boxes in its configuration.
	Plain Mode = "plain"
)

// Modes lists the modes.
var Modes = []Mode{Embedded, Operator, Plain}

// Layout is what a server's configuration is made of besides keys.
type Layout struct {
	Mode      Mode   `json:"mode"`
	Out       string `json:"out"`       // directory of the configuration
	Listen    string `json:"listen"`    // host:port for boxes
	WebSocket string `json:"websocket"` // host:port for boxes that only get web traffic through; empty: none
	Cert      string `json:"cert"`      // PEM file of the certificate; empty: no TLS
	Key       string `json:"key"`       // PEM file of its key
	Store     string `json:"store"`     // directory of the server's data
}

// ConfigFile is the name of the configuration in its directory, and boxesFile that
// of the boxes' part of a plain one.
const (
	ConfigFile = "nats.conf"
	boxesFile  = "boxes.conf"
)

// check says what is wrong with a layout. Without TLS anybody on the way could
// take the place of the vendor, so then the server stays within its machine.
func (l Layout) check() error {
	if !slices.Contains(Modes, l.Mode) {
		return fmt.Errorf("mode %q: want one of %q", l.Mode, Modes)
	}
	for _, p := range []string{l.Out, l.Store, l.Cert, l.Key} {
		if p != "" && !filepath.IsAbs(p) || strings.ContainsAny(p, "\"\n\\") {
			return fmt.Errorf("path %q: want one from the root, without quotes", p)
		}
	}
	if l.Out == "" || l.Store == "" {
		return errors.New("want a directory for the configuration and one for the data")
	}
	if (l.Cert == "") != (l.Key == "") {
		return errors.New("want a certificate and its key, or neither")
	}
	for _, at := range []string{l.Listen, l.WebSocket} {
		if at == "" && at != l.Listen {
			continue
		}
		host, port, err := net.SplitHostPort(at)
		if err != nil {
			return fmt.Errorf("listen %q: %w", at, err)
		}
		if n, err := strconv.Atoi(port); err != nil || n < -1 || n > 65535 {
			return fmt.Errorf("listen %q: port %q", at, port)
		}
		ip := net.ParseIP(host)
		if host != "" && ip == nil {
			return fmt.Errorf("listen %q: want an address", at)
		}
		if l.Cert == "" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("listen %q: beyond this machine only with a certificate", at)
		}
	}
	return nil
}

// WriteConfig writes a server's configuration and remembers its layout, so that
// what changes later can be written again by [Authority.Rewrite].
func (a *Authority) WriteConfig(l Layout) (path string, err error) {
	if err := l.check(); err != nil {
		return "", err
	}
	if was := a.book.Layout; was != nil && (was.Mode == Plain) != (l.Mode == Plain) && len(a.book.Boxes) > 0 {
		return "", fmt.Errorf("these keys serve %d boxes in mode %s; their grants would be of no use in mode %s", len(a.book.Boxes), was.Mode, l.Mode)
	}
	text, err := a.config(l)
	if err != nil {
		return "", err
	}
	path = filepath.Join(l.Out, ConfigFile)
	if err := atomicfile.Replace(path, []byte(text)); err != nil {
		return "", err
	}
	a.book.Layout = &l
	return path, errors.Join(a.Rewrite(), a.writeBook())
}

// Rewrite writes again what a change of the boxes changes in the configuration.
// Only plain ones have such a part; the server has to read it again.
func (a *Authority) Rewrite() error {
	if a.book.Layout == nil || a.book.Layout.Mode != Plain {
		return nil
	}
	return atomicfile.Replace(filepath.Join(a.book.Layout.Out, boxesFile), []byte(a.plainBoxes()))
}

// Mode is how the server knows the boxes; empty where no configuration was
// written.
func (a *Authority) Mode() Mode {
	if a.book.Layout == nil {
		return ""
	}
	return a.book.Layout.Mode
}

func (a *Authority) config(l Layout) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by: sprechprobe-fleet nats-config %s\n# It holds no secret. What stands here by hand is lost when it is written again.\n\n", l.Mode)
	l.listeners(&b, "sprechprobe")
	if l.Mode == Plain {
		l.store(&b)
		a.plainAccounts(&b)
		return b.String(), nil
	}
	if l.Mode == Operator {
		l.store(&b)
	}
	err := a.operated(&b, l)
	return b.String(), err
}

// listeners are where the server listens. A fleet that comes back as one needs
// more time for its handshakes than the usual two seconds.
func (l Layout) listeners(b *strings.Builder, name string) {
	patience := int((10 * time.Second).Seconds())
	tls := ""
	if l.Cert != "" {
		tls = fmt.Sprintf("tls { cert_file: %q, key_file: %q, timeout: %d }\n", l.Cert, l.Key, patience)
	}
	fmt.Fprintf(b, "server_name: %s\nlisten: %q\nmax_payload: %d\nauthorization { timeout: %d }\n%s", name, l.Listen, maxPayload, patience, tls)
	if l.WebSocket == "" {
		return
	}
	if tls == "" {
		tls = "no_tls: true\n"
	}
	fmt.Fprintf(b, "websocket {\n  listen: %q\n  compression: false\n  %s}\n", l.WebSocket, tls)
}

func (l Layout) store(b *strings.Builder) {
	fmt.Fprintf(b, "jetstream { store_dir: %q }\n", filepath.Join(l.Store, "jetstream"))
}

// operated is the part of a server that believes JWTs.
func (a *Authority) operated(b *strings.Builder, l Layout) error {
	operator, err := a.operator()
	if err != nil {
		return err
	}
	sentinel, err := a.sentinel()
	if err != nil {
		return err
	}
	accounts, err := a.Accounts()
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "\noperator: %s\nsystem_account: %s\n\n", operator, a.public(systemKey))
	b.WriteString(a.passJetStream())
	fmt.Fprintf(b, "# Who comes without a JWT may do nothing, and is handed to the fleet program.\ndefault_sentinel: %s\n\n", sentinel)
	fmt.Fprintf(b, "resolver { type: full, dir: %q, allow_delete: false, interval: \"2m\" }\nresolver_preload {\n", filepath.Join(l.Store, "accounts"))
	for _, key := range slices.Sorted(maps.Keys(accounts)) {
		fmt.Fprintf(b, "  %s: %s\n", key, accounts[key])
	}
	b.WriteString("}\n")
	return nil
}

// plainAccounts is the part of a server that lists everybody.
func (a *Authority) plainAccounts(b *strings.Builder) {
	fmt.Fprintf(b, `
accounts {
  VENDOR {
    jetstream: enabled
    users: [ { nkey: %s } ]
    exports: [
      { service: %q }
      { service: %q }
      { stream: %q }
    ]
    imports: [ { service: { account: BOX, subject: %q } } ]
  }
  BOX {
    exports: [ { service: %q } ]
    imports: [
      { service: { account: VENDOR, subject: %q } }
      { service: { account: VENDOR, subject: %q } }
      { stream: { account: VENDOR, subject: %q } }
    ]
    include ./%s
  }
}
`, a.public(filepath.Join(ServeDir, FleetKey)), fleet.AllUp, fleet.AllDirectGets, fleet.AllHints, fleet.AllCommands,
		fleet.AllCommands, fleet.AllUp, fleet.AllDirectGets, fleet.AllHints, boxesFile)
}

// plainBoxes lists the boxes with their rights.
func (a *Authority) plainBoxes() string {
	var b strings.Builder
	b.WriteString("# Written by: sprechprobe-fleet claim, revoke. Let the server read it again: nats-server --signal reload\n\nusers: [\n")
	for _, box := range a.Boxes() {
		pub, sub := rights(box.Address())
		fmt.Fprintf(&b, "  # %s\n  { nkey: %s, allowed_connection_types: [%s], permissions {\n", box.Address(), box.Key, strings.Join(quoted(connections), ", "))
		fmt.Fprintf(&b, "      publish: { allow: [%s] }\n      subscribe: { allow: [%s] }\n", strings.Join(quoted(pub), ", "), strings.Join(quoted(sub), ", "))
		fmt.Fprintf(&b, "      allow_responses: { max: %d, expires: %q } } }\n", answers, answerTime)
	}
	b.WriteString("]\n")
	return b.String()
}

func quoted(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strconv.Quote(s)
	}
	return out
}

package authority

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Leaf is a site's own server, to which boxes of one tenant connect.
type Leaf struct {
	Layout
	Tenant string
	Remote string // where the vendor's server hears leaf nodes, such as tls://fleet.example:7422
	CA     string // PEM file of certificates to trust for it; empty: the system's
}

// leafCreds is the file of a leaf's credentials, beside its configuration.
const leafCreds = "leaf.creds"

func (l Leaf) check() error {
	if err := l.Layout.check(); err != nil {
		return err
	}
	if err := (fleet.Address{Tenant: l.Tenant, Box: "x"}).Check(); err != nil {
		return err
	}
	schemes := []string{"tls://", "nats://", "wss://", "ws://"}
	if !slices.ContainsFunc(schemes, func(s string) bool { return strings.HasPrefix(l.Remote, s) }) || strings.ContainsAny(l.Remote+l.CA, "\"\n\\") {
		return fmt.Errorf("remote %q: want where the vendor's server hears leaf nodes, such as tls://fleet.example:7422", l.Remote)
	}
	return nil
}

// WriteLeaf writes the configuration of a site's server and its credentials, and says
// by which key the vendor's servers know it: [Authority.RevokeKey] shuts it out. It is
// made for the boxes that the tenant has now: one that is claimed later gets no
// answers there, and one that is revoked still gets in, until it is written again.
func (a *Authority) WriteLeaf(l Leaf) (path, key string, err error) {
	l.Mode = Operator
	if err := l.check(); err != nil {
		return "", "", err
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return "", "", err
	}
	if key, err = user.PublicKey(); err != nil {
		return "", "", err
	}
	creds, err := a.leafUser(user, key, l.Tenant)
	if err == nil {
		err = atomicfile.Replace(filepath.Join(l.Out, leafCreds), creds)
	}
	if err != nil {
		return "", "", err
	}
	text, err := a.leafConfig(l, key)
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(l.Out, ConfigFile)
	return path, key, atomicfile.Replace(path, []byte(text))
}

// leafRights are what the boxes of a tenant may do, all of them together. Inboxes have
// their boxes' names within a word, so that each of them has to stand there.
func (a *Authority) leafRights(tenant string) (pub, sub jwt.StringList) {
	all := fleet.Address{Tenant: tenant, Box: "*"}
	pub = jwt.StringList{all.Up(), all.DirectGet(), "_R_.>"} // the latter: answers to commands
	sub = jwt.StringList{all.Command("*"), all.Hint()}
	for _, b := range a.Boxes() {
		if b.Tenant == tenant {
			sub.Add(b.Address().Inbox() + ".>")
		}
	}
	return pub, sub
}

func (a *Authority) leafUser(user nkeys.KeyPair, key, tenant string) ([]byte, error) {
	u := jwt.NewUserClaims(key)
	u.Name = "leaf of " + tenant
	u.Pub.Allow, u.Sub.Allow = a.leafRights(tenant)
	u.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeLeafnode, jwt.ConnectionTypeLeafnodeWS}
	token, err := u.Encode(a.keys[boxesKey])
	if err != nil {
		return nil, err
	}
	seed, err := user.Seed()
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
}

// passJetStream lets boxes read their settings through a leaf: servers keep all that
// has to do with JetStream from passing between them, but for accounts named here. What
// a leaf may ask for is in its credentials.
func (a *Authority) passJetStream() string {
	return fmt.Sprintf("default_js_domain { %s: \"\" }\n\n", a.public(boxesKey))
}

// leafConfig is the server's configuration. Its name has to be its own: of two leaves
// of one name the vendor's server drops the first.
func (a *Authority) leafConfig(l Leaf, key string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by: sprechprobe-fleet nats-config leaf\n# What stands here by hand is lost when it is written again.\n\n")
	l.listeners(&b, "leaf-"+l.Tenant+"-"+key[len(key)-8:])
	operator, err := a.operator()
	if err != nil {
		return "", err
	}
	boxes, err := a.boxesOnly()
	if err != nil {
		return "", err
	}
	system, err := a.system()
	if err != nil {
		return "", err
	}
	tls := ""
	if l.CA != "" {
		tls = fmt.Sprintf(", tls { ca_file: %q }", l.CA)
	}
	b.WriteString("\n" + a.passJetStream())
	fmt.Fprintf(&b, "operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload {\n  %s: %s\n  %s: %s\n}\n", operator, a.public(systemKey),
		a.public(boxesKey), boxes, a.public(systemKey), system)
	fmt.Fprintf(&b, "leafnodes { remotes: [ { url: %q, account: %s, credentials: %q%s } ] }\n", l.Remote, a.public(boxesKey), filepath.Join(l.Out, leafCreds), tls)
	return b.String(), nil
}

// RevokeKey takes a site's server its rights. The vendor's servers have to be told.
func (a *Authority) RevokeKey(key string, now time.Time) error {
	if err := fleet.CheckBoxKey(key); err != nil {
		return err
	}
	a.changed = true
	a.book.Revoked[key] = now.UTC()
	return a.writeBook()
}

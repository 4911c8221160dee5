// Package settings reads the vendor's own file, fleet.toml: how people get in. It
// names file, line and entry of every mistake, and does nothing with what it reads.
package settings

import (
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
)

// Settings are what the file says. The zero value is an empty file.
type Settings struct {
	Idle, Absolute time.Duration    // of sessions; zero: the usual ones
	OpenID         *access.Provider // without Redirect; nil: none
}

type raw struct {
	Access struct {
		Idle     string `toml:"idle"`
		Absolute string `toml:"absolute"`
	} `toml:"access"`
	OpenID *rawOpenID `toml:"openid"`
}

type rawOpenID struct {
	Issuer     string     `toml:"issuer"`
	ClientID   string     `toml:"client_id"`
	SecretFile string     `toml:"client_secret_file"`
	Scopes     []string   `toml:"scopes"`
	NameClaim  string     `toml:"name_claim"`
	GroupClaim string     `toml:"group_claim"`
	Grants     []rawGrant `toml:"grant"`
}

type rawGrant struct {
	Group   string   `toml:"group"`
	Role    string   `toml:"role"`
	Tenants []string `toml:"tenants"`
}

// Read reads the file at path.
func Read(path string) (Settings, error) {
	text, err := strict.ReadFile(path)
	if err != nil {
		return Settings{}, err
	}
	var r raw
	doc, err := strict.Decode(path, text, &r)
	if err != nil {
		return Settings{}, err
	}
	f := file{dir: filepath.Dir(path)}
	var s Settings
	at := doc.Key("access")
	s.Idle = span(at.Key("idle"), r.Access.Idle, 0, time.Minute, 24*time.Hour)
	s.Absolute = span(at.Key("absolute"), r.Access.Absolute, 0, time.Minute, 30*24*time.Hour)
	if r.OpenID != nil {
		s.OpenID = f.openID(doc.Key("openid"), *r.OpenID)
	}
	return s, doc.Err()
}

// file is where relative names start.
type file struct{ dir string }

// span reads a duration; without one it is usual.
func span(at strict.Place, s string, usual, least, most time.Duration) time.Duration {
	if s == "" && !at.Set() {
		return usual
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < least || d > most {
		at.Errorf("%q: want a time of %s to %s, such as \"30m\"", s, least, most)
	}
	return d
}

func (f file) openID(at strict.Place, r rawOpenID) *access.Provider {
	p := &access.Provider{Issuer: r.Issuer, ClientID: r.ClientID, Scopes: r.Scopes, NameClaim: r.NameClaim, GroupClaim: r.GroupClaim}
	webAddress(at.Key("issuer"), r.Issuer)
	if r.ClientID == "" {
		at.Key("client_id").Errorf("is missing: the provider gives it")
	}
	p.ClientSecret = f.secret(at.Key("client_secret_file"), r.SecretFile)
	if p.NameClaim == "" {
		p.NameClaim = "email"
	}
	if p.GroupClaim == "" {
		p.GroupClaim = "groups"
	}
	if p.Scopes == nil {
		p.Scopes = []string{"email", "profile"}
	}
	if len(r.Grants) == 0 {
		at.Key("grant").Errorf("is missing: without one, nobody may do anything")
	}
	for i, g := range r.Grants {
		here := at.Key("grant").Item(i)
		right, err := access.NewRight(g.Role, g.Tenants)
		if err != nil {
			here.Errorf("%v", err)
		}
		if g.Group == "" {
			here.Key("group").Errorf("is missing")
		}
		p.Grants = append(p.Grants, access.Grant{Group: g.Group, Right: right})
	}
	return p
}

// webAddress checks an address that secrets are sent to: TLS, or this machine.
func webAddress(at strict.Place, s string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		at.Errorf("%q: want an address such as https://login.example/", s)
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		at.Errorf("%q: want https, for secrets travel there", s)
	}
}

// secret reads a secret from a file of its own, so that this one need not be one.
func (f file) secret(at strict.Place, name string) string {
	if name == "" {
		at.Errorf("is missing: a file with the secret in it")
		return ""
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(f.dir, name)
	}
	text, err := strict.ReadFile(name)
	if err != nil {
		at.Errorf("%v", err)
		return ""
	}
	s := strings.TrimSpace(string(text))
	if s == "" || strings.ContainsAny(s, "\r\n") {
		at.Errorf("%s: want one line with the secret", name)
	}
	return s
}

// Loopback reports whether a host is this machine by name or number.
func Loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

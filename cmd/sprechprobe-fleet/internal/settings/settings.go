// Package settings reads the vendor's own file, fleet.toml: how people get in, and
// whom the fleet's program tells what. It names file, line and entry of every
// mistake, and does nothing with what it reads.
package settings

import (
	"encoding/base64"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
)

// Settings are what the file says. The zero value is an empty file.
type Settings struct {
	Idle, Absolute time.Duration    // of sessions; zero: the usual ones
	OpenID         *access.Provider // without Redirect; nil: none
	Steady, Calm   time.Duration    // of outages, before they begin and end; zero: the usual ones
	Rules          alert.Rules
	Webhooks       []alert.Webhook
}

type raw struct {
	Access struct {
		Idle     string `toml:"idle"`
		Absolute string `toml:"absolute"`
	} `toml:"access"`
	OpenID  *rawOpenID `toml:"openid"`
	Outages struct {
		Steady string `toml:"steady"`
		Calm   string `toml:"calm"`
	} `toml:"outages"`
	Alerts struct {
		Hold     string       `toml:"hold"`
		Silence  string       `toml:"silence"`
		Clear    string       `toml:"clear"`
		Incident string       `toml:"incident"`
		Burst    int          `toml:"burst"`
		Webhooks []rawWebhook `toml:"webhook"`
	} `toml:"alerts"`
}

type rawWebhook struct {
	Name       string   `toml:"name"`
	URL        string   `toml:"url"`
	SecretFile string   `toml:"secret_file"`
	Tenants    []string `toml:"tenants"`
	Types      []string `toml:"types"`
	Language   string   `toml:"language"`
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
	at = doc.Key("outages")
	s.Steady = span(at.Key("steady"), r.Outages.Steady, 0, time.Second, time.Hour)
	s.Calm = span(at.Key("calm"), r.Outages.Calm, 0, time.Second, time.Hour)
	at = doc.Key("alerts")
	hold := func(name, text string) time.Duration { return span(at.Key(name), text, 0, time.Second, 24*time.Hour) }
	s.Rules = alert.Rules{Hold: hold("hold", r.Alerts.Hold), Silence: hold("silence", r.Alerts.Silence), Clear: hold("clear", r.Alerts.Clear),
		Incident: hold("incident", r.Alerts.Incident), Burst: r.Alerts.Burst}
	if b := r.Alerts.Burst; b < 0 || b > 1000 {
		at.Key("burst").Errorf("%d: want 1 to 1000 boxes", b)
	}
	for i, w := range r.Alerts.Webhooks {
		s.Webhooks = append(s.Webhooks, f.webhook(at.Key("webhook").Item(i), w, s.Webhooks))
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

func (f file) webhook(at strict.Place, r rawWebhook, before []alert.Webhook) alert.Webhook {
	w := alert.Webhook{Name: r.Name, URL: r.URL, Tenants: r.Tenants, Types: r.Types, Lang: advice.German}
	switch {
	case r.Name == "":
		at.Key("name").Errorf("is missing")
	case slices.ContainsFunc(before, func(o alert.Webhook) bool { return o.Name == r.Name }):
		at.Key("name").Errorf("%q: there is another one of that name", r.Name)
	}
	webAddress(at.Key("url"), r.URL)
	secret := f.secret(at.Key("secret_file"), r.SecretFile)
	w.Secret = []byte(secret)
	if coded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		var err error
		if w.Secret, err = base64.StdEncoding.DecodeString(coded); err != nil {
			at.Key("secret_file").Errorf("what follows whsec_ is not base64")
		}
	}
	if secret != "" && len(w.Secret) < 16 {
		at.Key("secret_file").Errorf("a secret of less than 16 bytes is guessed")
	}
	for i, t := range r.Tenants {
		if _, err := fleet.ParseAddress(t + "/any"); err != nil {
			at.Key("tenants").Item(i).Errorf("%q is no tenant's name", t)
		}
	}
	for i, t := range r.Types {
		if !slices.Contains(alert.Types, t) {
			at.Key("types").Item(i).Errorf("%q: want one of %q", t, alert.Types)
		}
	}
	if r.Language != "" {
		var err error
		if w.Lang, err = advice.ParseLang(r.Language); err != nil {
			at.Key("language").Errorf("%v", err)
		}
	}
	return w
}

package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/incident"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/settings"
)

// read reads a file beside which the secrets of the example lie.
func read(t *testing.T, text string) (settings.Settings, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"fleet.toml": text, "openid.secret": "s3cret\n", "chat.secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
		"short.secret": "short", "odd.secret": "whsec_***", "two.secret": "one\ntwo"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return settings.Read(filepath.Join(dir, "fleet.toml"))
}

func example(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("fleet.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExample(t *testing.T) {
	s, err := read(t, example(t))
	if err != nil {
		t.Fatal(err)
	}
	p := s.OpenID
	if s.Idle != time.Hour || s.Absolute != 12*time.Hour || p == nil || p.Issuer != "https://login.example/realms/staff" || p.ClientSecret != "s3cret" ||
		len(p.Grants) != 2 || p.Grants[1].Right.Role != access.Admin || p.Grants[0].Right.Tenants[0] != "acme" {
		t.Errorf("access: %+v %+v", s, p)
	}
	w := s.Webhooks
	if len(w) != 1 || len(w[0].Secret) != 24 || w[0].Tenants[0] != "acme" || len(w[0].Types) != 4 || w[0].Lang != advice.German ||
		s.Steady != incident.Steady || s.Calm != incident.Calm || s.Rules.Silence != 15*time.Minute || s.Rules.Burst != 10 {
		t.Errorf("alerts: %+v %+v", w, s.Rules)
	}
	if s, err := read(t, ""); err != nil || s.OpenID != nil || s.Webhooks != nil {
		t.Errorf("an empty file: %+v, %v", s, err)
	}
}

// Mistakes are named by file, line and entry.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ old, new, want string }{
		{`idle = "1h"`, `idle = "soon"`, "fleet.toml:5: access.idle"},
		{`idle = "1h"`, `idle = "1s"`, "access.idle"},
		{`idle = "1h"`, `idel = "1h"`, "unknown entry"},
		{`https://login.example/realms/staff`, `http://login.example`, "want https"},
		{`https://login.example/realms/staff`, `login.example`, "openid.issuer"},
		{`"openid.secret"`, `"none.secret"`, "none.secret"},
		{`"openid.secret"`, `"two.secret"`, "one line"},
		{`client_id = "sprechprobe"`, ``, "openid.client_id"},
		{`role = "support"`, `role = "boss"`, "unknown role"},
		{`role = "admin"\ntenants = ["*"]`, `role = "admin"\ntenants = ["acme"]`, "for all tenants"},
		{`group = "hotline"`, ``, "group"},
		{`"https://chat.example/hooks/sprechprobe"`, `"ftp://chat.example"`, "url"},
		{`"https://chat.example/hooks/sprechprobe"`, `"https://user:pass@chat.example"`, "url"},
		{`"chat.secret"`, `"short.secret"`, "guessed"},
		{`"chat.secret"`, `"odd.secret"`, "base64"},
		{`"box.changed", `, `"box.exploded", `, "box.exploded"},
		{`language = "de"`, `language = "fr"`, "language"},
		{`steady = "30s"`, `steady = "30"`, "outages.steady"},
		{`burst = 10`, `burst = -1`, "alerts.burst"},
		{`name = "chat"`, ``, "name"},
	} {
		text := strings.Replace(example(t), strings.ReplaceAll(tt.old, "\\n", "\n"), strings.ReplaceAll(tt.new, "\\n", "\n"), 1)
		if tt.want == "for all tenants" {
			text = strings.Replace(example(t), `tenants = ["*"]`, `tenants = ["acme"]`, 1)
		}
		if _, err := read(t, text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.new, err, tt.want)
		}
	}
}

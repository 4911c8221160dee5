package main_test

import (
	"strings"
	"testing"
	"time"
)

// until polls what another process does; there is nothing to wait on.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(60 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Mistakes of use and of configuration are said in one line that names the
// place, with exit code 64.
func TestMistakes(t *testing.T) {
	v := &vendor{dir: t.TempDir()}
	typo := v.write(t, "typo.toml", []byte("profiles = [\"webprax\"]\n\n[schedule]\nevry = \"5m\"\n"))
	bad := v.write(t, "bad.toml", []byte("profiles = [\"webprax\"]\n\n[schedule]\nevery = \"1s\"\n"))
	login := v.write(t, "login.toml", []byte("profiles = [\"webprax\"]\n[bandwidth]\nserver = \"127.0.0.1\"\nuser = \"a\"\npassword_file = \"/nowhere\"\nkey_file = \"/nowhere\"\n"))
	sprechprobe := build(t)
	tests := []struct {
		args string
		want []string
	}{
		{"", []string{"usage"}},
		{"dance", []string{`no command "dance"`}},
		{"check --format xml", []string{`format "xml"`}},
		{"check --lang fr", []string{"fr"}},
		{"check --profile nope", []string{"nope", "webprax", "zpp-hd"}},
		{"check extra", []string{"extra"}},
		{"check --bandwidth", []string{"[bandwidth] server"}},
		{"check --bandwidth --config " + login, []string{"bandwidth.password_file", "nowhere"}},
		{"check --config " + typo, []string{typo + ":4", "schedule.evry"}},
		{"run --config " + bad, []string{bad + ":4", "schedule.every", "10s"}},
		{"config check --config " + bad, []string{bad + ":4"}},
		{"run --config " + v.dir + "/nowhere.toml", []string{"nowhere.toml"}},
		{"config", []string{"check, show, init, sheet, adopt or from-uci"}},
		{"lights dance", []string{`no "dance"`}},
		{"lights show", []string{"show what"}},
		{"lights show green", []string{`unknown state "green"`, "ready"}},
		{"lights show ready --config " + bad, []string{bad + ":4"}},
		{"lights --lang fr", []string{"fr"}},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			r := v.box(t, []string{sprechprobe}, strings.Fields(tt.args)...)
			if r.code != 64 || r.out != "" {
				t.Errorf("exit %d, stdout %q; want 64 and nothing", r.code, r.out)
			}
			for _, w := range tt.want {
				if !strings.Contains(r.errOut, w) {
					t.Errorf("stderr %q lacks %q", r.errOut, w)
				}
			}
		})
	}
}

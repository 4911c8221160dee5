package fleet_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

func TestRelayAccess(t *testing.T) {
	good := fleet.RelayAccess{Schema: fleet.RelaySchema, Username: "1800000000:acme/one", Password: "abc=", ExpiresAt: time.Unix(1_800_000_000, 0).UTC()}
	write := func(change func(*fleet.RelayAccess)) string {
		r := good
		change(&r)
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, tt := range []struct {
		name, in, wantErr string
	}{
		{"as it is", write(func(*fleet.RelayAccess) {}), ""},
		{"newer", strings.Replace(write(func(*fleet.RelayAccess) {}), "{", `{"uris":["turn:a"],`, 1), ""},
		{"another schema", write(func(r *fleet.RelayAccess) { r.Schema = "sprechprobe.relay/2" }), "schema"},
		{"no password", write(func(r *fleet.RelayAccess) { r.Password = "" }), "missing"},
		{"no name", write(func(r *fleet.RelayAccess) { r.Username = "" }), "missing"},
		{"long name", write(func(r *fleet.RelayAccess) { r.Username = strings.Repeat("u", 509) }), "over 508"},
		{"huge", write(func(r *fleet.RelayAccess) { r.Password = strings.Repeat("p", 2000) }), "over 1024"},
		{"nothing", "", "unexpected end"},
		{"no object", "[]", "cannot unmarshal"},
	} {
		got, err := fleet.DecodeRelayAccess([]byte(tt.in))
		switch {
		case tt.wantErr == "" && (err != nil || got != good):
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
			t.Errorf("%s: %v, want an error with %q", tt.name, err, tt.wantErr)
		}
	}
}

func TestRelayAsk(t *testing.T) {
	a := fleet.Address{Tenant: "acme", Box: "one"}
	if got, err := fleet.ParseRelayAsk(a.RelayAsk()); err != nil || got != a {
		t.Errorf("%v, %v; want %v", got, err, a)
	}
	for _, s := range []string{"", "relay", "sprechprobe.v1.acme.one.up.report", "sprechprobe.v1.acme.*.up.relay", "sprechprobe.v1.a.b.c.up.relay", "sprechprobe.v1.acme.one.down.relay"} {
		if got, err := fleet.ParseRelayAsk(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func FuzzDecodeRelayAccess(f *testing.F) {
	f.Add([]byte(`{"schema":"sprechprobe.relay/1","username":"u","password":"p"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := fleet.DecodeRelayAccess(b)
		if err == nil && (r.Username == "" || r.Password == "" || len(r.Username) > 508) {
			t.Errorf("%+v", r)
		}
	})
}

package fleet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

var (
	nord = fleet.Address{Tenant: "acme", Box: "nord"}
	when = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
)

func boxKey(t testing.TB) string {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// No single changed byte of a sealed message passes, nor any part of it.
func TestSealIsWhole(t *testing.T) {
	v := fleettest.NewVendor(t)
	keys := []string{v.Key()}
	sealed := v.Seal(fleet.CommandSchema, fleet.Command{Tenant: "acme", Box: "nord", Name: fleet.Check, ID: "0123456789abcdef", IssuedAt: when})
	if _, err := fleet.Unseal(fleet.CommandSchema, sealed, keys); err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(sealed)
			bad[i] ^= flip
			if body, err := fleet.Unseal(fleet.CommandSchema, bad, keys); err == nil {
				t.Errorf("byte %d changed by %#x passes: %q", i, flip, body)
			}
		}
		if body, err := fleet.Unseal(fleet.CommandSchema, sealed[:i], keys); err == nil {
			t.Errorf("the first %d bytes pass: %q", i, body)
		}
	}
	if _, err := fleet.Unseal(fleet.CommandSchema, append(bytes.Clone(sealed), ' '), keys); err == nil {
		t.Error("a blank at the end passes")
	}
}

func TestSealOfOthers(t *testing.T) {
	v, other := fleettest.NewVendor(t), fleettest.NewVendor(t)
	sealed := v.Seal(fleet.CommandSchema, fleet.Command{})
	line, body, _ := strings.Cut(string(sealed), "\n")
	swapped := strings.Replace(string(sealed), fleet.CommandSchema, fleet.AssignmentSchema, 1)
	tests := []struct {
		name, schema string
		sealed       string
		keys         []string
		want         string
	}{
		{"another's key", fleet.CommandSchema, string(sealed), []string{other.Key()}, fleet.ErrUnsigned.Error()},
		{"no keys", fleet.CommandSchema, string(sealed), nil, fleet.ErrUnsigned.Error()},
		{"read as something else", fleet.AssignmentSchema, string(sealed), []string{v.Key()}, "want this schema"},
		{"passed off as something else", fleet.AssignmentSchema, swapped, []string{v.Key()}, "signature is wrong"},
		{"another's name on it", fleet.CommandSchema, strings.Replace(string(sealed), v.Key(), other.Key(), 1), []string{other.Key()}, "signature is wrong"},
		{"a key that is none", fleet.CommandSchema, fleet.CommandSchema + " x AAAA\n" + body, []string{"x"}, fleet.ErrUnsigned.Error()},
		{"no signature", fleet.CommandSchema, fleet.CommandSchema + " " + v.Key() + " \n" + body, []string{v.Key()}, fleet.ErrUnsigned.Error()},
		{"a signature that is no base64", fleet.CommandSchema, fleet.CommandSchema + " " + v.Key() + " ???\n" + body, []string{v.Key()}, fleet.ErrUnsigned.Error()},
		{"too long", fleet.CommandSchema, line + "\n" + strings.Repeat(" ", fleet.MaxSealed), []string{v.Key()}, "want at most"},
		{"nothing", fleet.CommandSchema, "", []string{v.Key()}, "want this schema"},
		{"a line without an end", fleet.CommandSchema, strings.Repeat("a", 40<<10), []string{v.Key()}, "want this schema"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body, err := fleet.Unseal(tt.schema, []byte(tt.sealed), tt.keys)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 300 {
				t.Errorf("Unseal = %q, %v; want an error with %q", body, err, tt.want)
			}
		})
	}
}

func TestSealIsBounded(t *testing.T) {
	kp, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.Seal(fleet.AssignmentSchema, fleet.Assignment{Profiles: []string{strings.Repeat("x", fleet.MaxSealed)}}, kp); err == nil {
		t.Error("more than a box takes is sealed")
	}
}

func TestGrant(t *testing.T) {
	v, other := fleettest.NewVendor(t), fleettest.NewVendor(t)
	key := boxKey(t)
	good := v.Grant(key, nord, when)
	got, err := fleet.OpenGrant(v.Seal(fleet.GrantSchema, good), key, []string{v.Key()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good, got); diff != "" {
		t.Errorf("(-sealed +opened):\n%s", diff)
	}
	with := func(edit func(*fleet.Grant)) []byte {
		g := v.Grant(key, nord, when)
		edit(&g)
		return v.Seal(fleet.GrantSchema, g)
	}
	tests := []struct {
		name   string
		sealed []byte
		pinned []string
		want   string // empty: good
	}{
		{"by a pinned key", v.Seal(fleet.GrantSchema, good), []string{other.Key(), v.Key()}, ""},
		{"by its own key, none is pinned", v.Seal(fleet.GrantSchema, good), nil, ""},
		{"without a JWT, for a bus that knows the key", with(func(g *fleet.Grant) { g.JWT = "" }), nil, ""},
		{"by a key that is not pinned", v.Seal(fleet.GrantSchema, good), []string{other.Key()}, fleet.ErrUnsigned.Error()},
		{"by a key that it does not name", other.Seal(fleet.GrantSchema, good), nil, fleet.ErrUnsigned.Error()},
		{"for another box", with(func(g *fleet.Grant) { g.Key = boxKey(t) }), nil, "it is for the box with the key"},
		{"for all boxes", with(func(g *fleet.Grant) { g.Name = "*" }), nil, `box: name "*"`},
		{"for all tenants", with(func(g *fleet.Grant) { g.Tenant = ">" }), nil, `tenant: name ">"`},
		{"no vendor keys, one pinned", with(func(g *fleet.Grant) { g.VendorKeys = nil }), []string{v.Key()}, "0 vendor keys"},
		{"too many vendor keys", with(func(g *fleet.Grant) { g.VendorKeys = slices5(v.Key()) }), nil, "5 vendor keys"},
		{"a vendor key that is a box's", with(func(g *fleet.Grant) { g.VendorKeys = append(g.VendorKeys, key) }), nil, "vendor's public key"},
		{"a JWT for another box", with(func(g *fleet.Grant) { g.JWT = v.JWT(boxKey(t), "acme", "nord") }), nil, "jwt: it is for"},
		{"a JWT for another name", with(func(g *fleet.Grant) { g.JWT = v.JWT(key, "acme", "sued") }), nil, "jwt: it is for"},
		{"a JWT for another tenant", with(func(g *fleet.Grant) { g.JWT = v.JWT(key, "other", "nord") }), nil, "jwt: it is for"},
		{"a JWT with a line break", with(func(g *fleet.Grant) { g.JWT += "\r\nPUB x 0" }), nil, "jwt: not base64"},
		{"a JWT of two parts", with(func(g *fleet.Grant) { g.JWT = "eyJ.eyJ" }), nil, "jwt: want three parts"},
		{"a JWT that is endless", with(func(g *fleet.Grant) { g.JWT = strings.Repeat("e", 9<<10) + ".e.e" }), nil, "jwt: want three parts"},
		{"a JWT that says nothing", with(func(g *fleet.Grant) { g.JWT = "e30.e30.e30" }), nil, "jwt: type"},
		{"a JWT that is no JSON", with(func(g *fleet.Grant) { g.JWT = "e30.AAAA.e30" }), nil, "jwt: "},
		{"no grant", v.Seal(fleet.GrantSchema, "x"), []string{v.Key()}, "cannot unmarshal"},
		{"no grant, and nothing pinned", v.Seal(fleet.GrantSchema, "x"), nil, fleet.ErrUnsigned.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fleet.OpenGrant(tt.sealed, key, tt.pinned)
			switch {
			case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("OpenGrant: %v, want %q", err, tt.want)
			}
		})
	}
}

func slices5(s string) []string { return []string{s, s, s, s, s} }

// A grant survives what consoles and editors do to text.
func TestArmor(t *testing.T) {
	v := fleettest.NewVendor(t)
	sealed := v.Seal(fleet.GrantSchema, v.Grant(boxKey(t), nord, when))
	text := string(fleet.ArmorGrant(sealed))
	for name, in := range map[string]string{
		"as it is":             text,
		"in a mail":            "Hello,\n\n" + text + "\nRegards\n",
		"from Windows":         strings.ReplaceAll(text, "\n", "\r\n"),
		"after a certificate":  "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + text,
		"with blanks at lines": strings.ReplaceAll(text, "\n", " \n"),
	} {
		if got, err := fleet.DearmorGrant([]byte(in)); err != nil || !bytes.Equal(got, sealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, in := range map[string]string{"nothing": "", "half of it": text[:len(text)/2], "another block": "-----BEGIN X-----\nAAAA\n-----END X-----\n"} {
		if got, err := fleet.DearmorGrant([]byte(in)); err == nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestCommand(t *testing.T) {
	v := fleettest.NewVendor(t)
	good := fleet.Command{Tenant: "acme", Box: "nord", Name: fleet.Last, ID: "0123456789abcdef", IssuedAt: when}
	with := func(edit func(*fleet.Command)) fleet.Command {
		c := good
		edit(&c)
		return c
	}
	for _, tt := range []struct {
		name string
		c    any
		want string
	}{
		{"good", good, ""},
		{"another tenant's", with(func(c *fleet.Command) { c.Tenant = "other" }), "it is for"},
		{"another box's", with(func(c *fleet.Command) { c.Box = "sued" }), "it is for"},
		{"unknown", with(func(c *fleet.Command) { c.Name = "reboot" }), `no command "reboot"`},
		{"no id", with(func(c *fleet.Command) { c.ID = "" }), "id of 0"},
		{"an endless id", with(func(c *fleet.Command) { c.ID = strings.Repeat("a", 65) }), "id of 65"},
		{"a list", []int{1}, "cannot unmarshal"},
	} {
		_, err := fleet.OpenCommand(v.Seal(fleet.CommandSchema, tt.c), nord, []string{v.Key()})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestAssignment(t *testing.T) {
	v := fleettest.NewVendor(t)
	good := fleet.Assignment{Tenant: "acme", Box: "nord", Version: 7, IssuedAt: when, Use: []string{"webprax"}, EveryS: 300}
	type more struct {
		fleet.Assignment
		Servers []string `json:"servers"`
	}
	for _, tt := range []struct {
		name string
		a    any
		want string
	}{
		{"good", good, ""},
		{"another box's", fleet.Assignment{Tenant: "acme", Box: "sued", Version: 7}, "it is for"},
		{"no version", fleet.Assignment{Tenant: "acme", Box: "nord"}, "no version"},
		{"says where to report", more{good, []string{"tls://elsewhere.example"}}, `unknown field "servers"`},
		{"a list", []int{1}, "cannot unmarshal"},
		{"nothing", json.RawMessage("null"), "it is for"},
		{"another case", json.RawMessage(`{"tenant":"acme","box":"nord","version":7,"Every_S":60}`), `unknown field "Every_S"`},
	} {
		_, err := fleet.OpenAssignment(v.Seal(fleet.AssignmentSchema, tt.a), nord, []string{v.Key()})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// The headers are those that nats.go's micro writes.
func TestServiceHeaders(t *testing.T) {
	if fleet.HeaderError != micro.ErrorHeader || fleet.HeaderErrorCode != micro.ErrorCodeHeader {
		t.Errorf("%s, %s; want %s, %s", fleet.HeaderError, fleet.HeaderErrorCode, micro.ErrorHeader, micro.ErrorCodeHeader)
	}
}

func TestUnsealKeepsErrUnsigned(t *testing.T) {
	v := fleettest.NewVendor(t)
	_, err := fleet.OpenGrant(v.Seal(fleet.GrantSchema, fleet.Grant{}), boxKey(t), []string{fleettest.NewVendor(t).Key()})
	if !errors.Is(err, fleet.ErrUnsigned) {
		t.Errorf("%v is not ErrUnsigned", err)
	}
}

// Whatever arrives is refused with an error or is what was signed; with no key
// pinned, a foreign text must not pass as a grant.
func FuzzOpenGrant(f *testing.F) {
	v := fleettest.NewVendor(f)
	key, keys := boxKey(f), []string{v.Key()}
	f.Add(v.Seal(fleet.GrantSchema, v.Grant(key, nord, when)))
	f.Add([]byte(fleet.GrantSchema + " " + v.Key() + " AAAA\n{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		g, err := fleet.OpenGrant(in, key, nil)
		if err == nil && (g.Key != key || g.Address().Check() != nil || len(g.VendorKeys) == 0) {
			t.Errorf("%+v passes", g)
		}
		if _, err := fleet.OpenAssignment(in, nord, keys); err == nil {
			t.Errorf("%q passes as an assignment", in)
		}
	})
}

package fleet

import (
	"strings"
	"testing"
)

// A JWT that passes names exactly this box, and holds nothing that would end the
// line on which the client sends it.
func FuzzUserJWT(f *testing.F) {
	g := Grant{Key: "UABC", Tenant: "acme", Name: "nord"}
	const good = "e30.eyJzdWIiOiJVQUJDIiwibmFtZSI6Im5vcmQiLCJuYXRzIjp7InR5cGUiOiJ1c2VyIiwidGFncyI6WyJ0ZW5hbnQ6YWNtZSJdfX0.AAAA"
	if err := checkUserJWT(good, g); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, in string) {
		if checkUserJWT(in, g) != nil {
			return
		}
		u, err := readUserJWT(in)
		if err != nil || u.Subject != g.Key || u.Name != g.Name || len(u.NATS.Tags) != 1 || strings.ContainsAny(in, "\r\n \"\\") {
			t.Errorf("%q passes as %+v, %v", in, u, err)
		}
	})
}

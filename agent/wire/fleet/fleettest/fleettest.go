// Package fleettest is a vendor for tests: it has a key of its own and signs
// grants, commands and assignments.
package fleettest

import (
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Vendor signs for one test.
type Vendor struct {
	t       testing.TB
	key     nkeys.KeyPair
	account nkeys.KeyPair
}

// NewVendor makes a vendor with fresh keys.
func NewVendor(t testing.TB) *Vendor {
	t.Helper()
	v := &Vendor{t: t}
	v.key, v.account = v.must(nkeys.CreateOperator()), v.must(nkeys.CreateAccount())
	return v
}

func (v *Vendor) must(k nkeys.KeyPair, err error) nkeys.KeyPair {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	return k
}

// Key is the public key that boxes pin.
func (v *Vendor) Key() string {
	v.t.Helper()
	public, err := v.key.PublicKey()
	if err != nil {
		v.t.Fatal(err)
	}
	return public
}

// Seal signs anything as anything.
func (v *Vendor) Seal(schema string, body any) []byte {
	v.t.Helper()
	sealed, err := fleet.Seal(schema, body, v.key)
	if err != nil {
		v.t.Fatal(err)
	}
	return sealed
}

// JWT is a user JWT of the vendor's account for a box.
func (v *Vendor) JWT(key, tenant, name string) string {
	v.t.Helper()
	u := jwt.NewUserClaims(key)
	u.Name = name
	u.Tags.Add(fleet.TenantTag + tenant)
	text, err := u.Encode(v.account)
	if err != nil {
		v.t.Fatal(err)
	}
	return text
}

// Grant is what the vendor would sign for a box; change it before it is sealed.
func (v *Vendor) Grant(key string, a fleet.Address, at time.Time) fleet.Grant {
	v.t.Helper()
	return fleet.Grant{Key: key, Tenant: a.Tenant, Name: a.Box, IssuedAt: at, JWT: v.JWT(key, a.Tenant, a.Box), VendorKeys: []string{v.Key()}}
}

package authority

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// bookFile lists the boxes. It holds nothing secret.
const bookFile = "boxes.json"

// Box is one box that was claimed.
type Box struct {
	Key       string    `json:"key"`
	Tenant    string    `json:"tenant"`
	Name      string    `json:"name"`
	ClaimedAt time.Time `json:"claimed_at"`
	Grant     string    `json:"grant"` // sealed
}

// Address is where the box stands on the bus.
func (b Box) Address() fleet.Address { return fleet.Address{Tenant: b.Tenant, Box: b.Name} }

// Code is the box's claim code.
func (b Box) Code() string { return fleet.Code(b.Key) }

// book is what the authority remembers.
type book struct {
	Boxes   []Box                `json:"boxes"`
	Revoked map[string]time.Time `json:"revoked,omitempty"` // keys, and since when
	Layout  *Layout              `json:"layout,omitempty"`  // the configuration that was written last
}

func (a *Authority) readBook() error {
	a.book.Revoked = map[string]time.Time{}
	path := filepath.Join(a.dir, bookFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err = d.Decode(&a.book)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if a.book.Revoked == nil {
		a.book.Revoked = map[string]time.Time{}
	}
	return nil
}

func (a *Authority) writeBook() error {
	b, err := json.MarshalIndent(a.book, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Replace(filepath.Join(a.dir, bookFile), append(b, '\n'))
}

// known reports whether a file is there.
func known(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Boxes lists the boxes, by tenant and name.
func (a *Authority) Boxes() []Box {
	all := slices.Clone(a.book.Boxes)
	slices.SortFunc(all, func(x, y Box) int { return strings.Compare(x.Address().String(), y.Address().String()) })
	return all
}

// Find returns the box at an address.
func (a *Authority) Find(at fleet.Address) (Box, bool) {
	for _, b := range a.book.Boxes {
		if b.Address() == at {
			return b, true
		}
	}
	return Box{}, false
}

// ErrTaken says that a name belongs to another box.
var ErrTaken = errors.New("belongs to another box")

// Claim gives the box with a public key its address. The name must be free, or
// replace be set: then the box that had it is revoked. A box that had another
// name gets the new one instead. Nothing is signed before the names are checked:
// one such as "*" would have the rights of all.
func (a *Authority) Claim(key string, at fleet.Address, replace bool, now time.Time) (Box, error) {
	if err := errors.Join(fleet.CheckBoxKey(key), at.Check()); err != nil {
		return Box{}, err
	}
	if old, ok := a.Find(at); ok && old.Key != key {
		if !replace {
			return Box{}, fmt.Errorf("%s %w, with the claim code %s (--replace revokes that one)", at, ErrTaken, old.Code())
		}
		a.revoke(old, now)
	}
	// A JWT under an earlier name must not live on beside the new one.
	for _, old := range a.Boxes() {
		if old.Key == key {
			a.revoke(old, now)
		}
	}
	if since, ok := a.book.Revoked[key]; ok {
		issued, err := secondAfter(since)
		if err != nil {
			return Box{}, err
		}
		a.book.Revoked[key] = issued.Add(-time.Second)
	}
	b, err := a.grant(key, at, now.UTC())
	if err != nil {
		return Box{}, err
	}
	a.book.Boxes = append(a.book.Boxes, b)
	return b, a.writeBook()
}

// secondAfter waits for a later second than that of a time, and returns it: the
// server compares whole seconds, and a JWT of the second in which its box was
// revoked stays revoked.
func secondAfter(t time.Time) (time.Time, error) {
	next := t.UTC().Truncate(time.Second).Add(time.Second)
	wait := time.Until(next)
	if wait > time.Minute {
		return time.Time{}, fmt.Errorf("a box was revoked at %s, which this clock says is still to come", t.Format(time.RFC3339))
	}
	time.Sleep(wait)
	return time.Now().UTC().Truncate(time.Second), nil
}

func (a *Authority) grant(key string, at fleet.Address, now time.Time) (Box, error) {
	u := jwt.NewUserClaims(key)
	u.Name, u.IssuerAccount = at.Box, a.public(boxesKey)
	u.Tags.Add(fleet.TenantTag + at.Tenant)
	u.SetScoped(true)
	token, err := u.Encode(a.keys[signerKey])
	if err != nil {
		return Box{}, err
	}
	g := fleet.Grant{Key: key, Tenant: at.Tenant, Name: at.Box, IssuedAt: now, VendorKeys: []string{a.VendorKey()}}
	if a.book.Layout == nil || a.book.Layout.Mode != Plain {
		g.JWT = token
	}
	sealed, err := fleet.Seal(fleet.GrantSchema, g, a.Signer())
	if err != nil {
		return Box{}, err
	}
	return Box{Key: key, Tenant: at.Tenant, Name: at.Box, ClaimedAt: now, Grant: string(sealed)}, nil
}

// Changed reports whether a server that runs has to be told something: see
// [Authority.BoxAccount].
func (a *Authority) Changed() bool { return a.changed }

// Renew makes everything count as changed, for a server that has forgotten.
func (a *Authority) Renew() { a.changed = true }

// Revoke takes a box its rights. The server has to be told.
func (a *Authority) Revoke(at fleet.Address, now time.Time) (Box, error) {
	b, ok := a.Find(at)
	if !ok {
		return Box{}, fmt.Errorf("no box %s", at)
	}
	a.revoke(b, now)
	return b, a.writeBook()
}

func (a *Authority) revoke(b Box, now time.Time) {
	a.changed = true
	a.book.Revoked[b.Key] = now.UTC()
	a.book.Boxes = slices.DeleteFunc(a.book.Boxes, func(o Box) bool { return o.Key == b.Key })
}

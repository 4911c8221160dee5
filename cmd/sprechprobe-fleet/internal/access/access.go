// Package access says who may see and do what on the vendor's pages and
// interfaces: people with a local password or from an OpenID provider, programs
// with a token, each with a role for some tenants or all. Its [Gate] serves a table
// of routes and lets nobody pass whom a route's row does not allow. It knows
// nothing of what the routes show.
package access

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Role is what somebody may do. A higher one includes the lower.
type Role string

// The roles. Anyone is for routes only, and needs no login.
const (
	Anyone  Role = "anyone"
	Viewer  Role = "viewer"  // sees boxes
	Support Role = "support" // also what is needed to claim and command them
	Admin   Role = "admin"   // also sees what everybody did
)

var ranks = []Role{Anyone, Viewer, Support, Admin}

// ParseRole reads a role that somebody can have.
func ParseRole(s string) (Role, error) {
	if r := Role(s); r != Anyone && slices.Contains(ranks, r) {
		return r, nil
	}
	return "", fmt.Errorf("unknown role %q (want viewer, support or admin)", s)
}

// atLeast reports whether r includes what least may.
func (r Role) atLeast(least Role) bool {
	i := slices.Index(ranks, r)
	return i >= 0 && i >= slices.Index(ranks, least) && slices.Contains(ranks, least)
}

// AllTenants stands for every tenant there is and will be.
const AllTenants = "*"

// Right is a role for some tenants. The zero value allows nothing.
type Right struct {
	Role    Role     `json:"role"`
	Tenants []string `json:"tenants"` // or just [AllTenants]
}

// NewRight checks a role and its tenants. An admin is one for all tenants: who
// gives access to others cannot be bound to less.
func NewRight(role string, tenants []string) (Right, error) {
	r, err := ParseRole(role)
	if err != nil {
		return Right{}, err
	}
	if len(tenants) == 0 {
		return Right{}, fmt.Errorf("a %s of no tenant sees nothing: name tenants, or %q for all", r, AllTenants)
	}
	for _, t := range tenants {
		if t == AllTenants {
			continue
		}
		if _, err := fleet.ParseAddress(t + "/any"); err != nil {
			return Right{}, fmt.Errorf("%q is no tenant's name", t)
		}
	}
	if slices.Contains(tenants, AllTenants) {
		tenants = []string{AllTenants}
	} else if r == Admin {
		return Right{}, fmt.Errorf("an admin is one for all tenants (%q)", AllTenants)
	}
	return Right{r, slices.Compact(slices.Sorted(slices.Values(tenants)))}, nil
}

func (r Right) covers(tenant string) bool {
	return slices.Contains(r.Tenants, AllTenants) || tenant != AllTenants && slices.Contains(r.Tenants, tenant)
}

// Who is somebody that asks. The zero value may do nothing.
type Who struct {
	Name   string  `json:"name"`
	Method Method  `json:"method"`
	Rights []Right `json:"rights"`
}

// Method is how somebody showed who they are.
type Method string

// The methods. Unasked is where no login is asked for.
const (
	Unasked  Method = "open"
	Password Method = "password"
	OpenID   Method = "openid"
	Bearer   Method = "token"
)

// everybody is who asks where no login is wanted: whoever sits at this machine.
var everybody = Who{Name: "", Method: Unasked, Rights: []Right{{Admin, []string{AllTenants}}}}

// May reports whether w has at least role for a tenant, or for [AllTenants].
func (w Who) May(role Role, tenant string) bool {
	return slices.ContainsFunc(w.Rights, func(r Right) bool { return r.Role.atLeast(role) && r.covers(tenant) })
}

// Sees reports whether w may see what belongs to a tenant.
func (w Who) Sees(tenant string) bool { return w.May(Viewer, tenant) }

// SeesAll reports whether w may see all tenants.
func (w Who) SeesAll() bool { return w.Sees(AllTenants) }

// Tenants are those that w may see, as the history wants them: nil is all.
func (w Who) Tenants() []string {
	if w.SeesAll() {
		return nil
	}
	out := []string{}
	for _, r := range w.Rights {
		for _, t := range r.Tenants {
			if w.Sees(t) && !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	slices.Sort(out)
	return out
}

// is reports whether w has at least role for any tenant.
func (w Who) is(role Role) bool {
	return slices.ContainsFunc(w.Rights, func(r Right) bool { return r.Role.atLeast(role) && len(r.Tenants) > 0 })
}

var userName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,63}$`)

// foldName brings a user's name to the form in which it is kept.
func foldName(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if !userName.MatchString(s) {
		return "", ErrName
	}
	return s, nil
}

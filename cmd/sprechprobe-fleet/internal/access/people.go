package access

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Person is somebody who has a local password, or who is logged in from the provider.
type Person struct {
	Name      string
	Method    Method // Password or OpenID
	Rights    []Right
	NoneSet   bool      // of a password
	LinkAt    time.Time // until when a link to set one is good; zero: there is none
	LoginAt   time.Time // the last time; zero: never
	SeenAt    time.Time // with a session that goes on; zero: there is none
	Sessions  int       // that go on
	CreatedAt time.Time // zero: not here
}

// People lists those who have a local password, and after them those who are logged
// in from the provider, each by name. There is nobody where no login is asked for.
func (g *Gate) People() ([]Person, error) {
	if g.Open() {
		return nil, nil
	}
	st, err := g.conf.Store.Read()
	if err != nil {
		return nil, err
	}
	now := g.conf.Now()
	var out []Person
	for _, u := range st.Users {
		p := Person{Name: u.Name, Method: Password, Rights: []Right{u.Right}, NoneSet: u.Password == "", LoginAt: u.LoginAt, CreatedAt: u.CreatedAt}
		if u.Link != nil && now.Before(u.Link.UntilAt) {
			p.LinkAt = u.Link.UntilAt
		}
		out = append(out, p)
	}
	for _, s := range st.Sessions {
		who, ok := st.holder(s)
		if !ok || g.expired(s, now) {
			continue
		}
		i := slices.IndexFunc(out, func(p Person) bool { return p.Name == who.Name && p.Method == who.Method })
		if i < 0 {
			i, out = len(out), append(out, Person{Name: who.Name, Method: who.Method})
		}
		p := &out[i]
		if p.Method != Password && !s.CreatedAt.Before(p.LoginAt) {
			p.LoginAt, p.Rights = s.CreatedAt, who.Rights
		}
		p.Sessions++
		if at := g.seen(s); at.After(p.SeenAt) {
			p.SeenAt = at
		}
	}
	slices.SortStableFunc(out, func(a, b Person) int {
		return cmp.Or(-cmp.Compare(a.Method, b.Method), cmp.Compare(a.Name, b.Name)) // password comes before openid
	})
	return out, nil
}

// Store is where users and tokens are kept; nil where no login is asked for.
func (g *Gate) Store() Store { return g.conf.Store }

// RemoveUser takes a user all access at once, if who asks may: nobody removes himself,
// nor the last one who can administer.
func (g *Gate) RemoveUser(who Who, name string) error {
	return removeUser(g.conf.Store, name, func(s *State, u User) error { return s.spare(who, u) })
}

// SetRight gives a user another role or other tenants, likewise.
func (g *Gate) SetRight(who Who, name string, r Right) error {
	return setRight(g.conf.Store, name, r, func(s *State, u User) error {
		if r.Role == Admin {
			return nil
		}
		return s.spare(who, u)
	})
}

// spare says why somebody is not to lose what he may.
func (s *State) spare(who Who, u User) error {
	if who.Method == Password && who.Name == u.Name {
		return ErrSelf
	}
	admin := func(o User) bool { return o.Right.Role == Admin && o.Password != "" }
	if admin(u) && count(s.Users, admin) == 1 {
		return ErrLastAdmin
	}
	return nil
}

// EndSessions logs somebody out everywhere.
func EndSessions(st Store, m Method, name string) error {
	return st.Update(func(s *State) error {
		n := len(s.Sessions)
		s.Sessions = slices.DeleteFunc(s.Sessions, func(o Session) bool {
			if m == Password {
				return o.Who == nil && o.User == name
			}
			return o.Who != nil && o.Who.Method == m && o.Who.Name == name
		})
		if len(s.Sessions) == n {
			return fmt.Errorf("sessions of %s: %w", name, ErrNone)
		}
		return nil
	})
}

// Link is the address where somebody sets a password with the code of a one-time
// link; base is the pages'.
func Link(base, code string) string {
	return strings.TrimSuffix(base, "/") + WelcomePath + "?" + url.Values{"code": {code}}.Encode()
}

// Human reports whether a request is made by somebody who has logged in, and not by
// a program's token.
func Human(r *http.Request) bool {
	m := WhoOf(r.Context()).Method
	return m == Password || m == OpenID
}

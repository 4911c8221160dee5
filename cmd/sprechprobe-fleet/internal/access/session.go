package access

import (
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"
)

const (
	mostSessions = 20 // of one person; the oldest goes
	// touches is how many times in the idle period a session that is used is
	// written down.
	touches = 10
)

// begin starts a session and ends the one of the cookie, if any: a session never
// outlives a login, so that nobody can plant one before.
func (g *Gate) begin(s Session, old string) (cookie string, err error) {
	cookie, now := secret(), g.conf.Now().UTC()
	s.Hash, s.CreatedAt, s.SeenAt = digest(cookie), now, now
	return cookie, g.conf.Store.Update(func(st *State) error {
		g.sweep(st, now)
		st.Sessions = slices.DeleteFunc(st.Sessions, func(o Session) bool { return o.Hash == digest(old) })
		if s.User != "" {
			u := st.user(s.User)
			if u == nil || u.Epoch != s.Epoch {
				return errGone
			}
			u.LoginAt = now
		}
		same := func(o Session) bool { return o.owner() == s.owner() }
		if n := count(st.Sessions, same) - mostSessions + 1; n > 0 {
			st.Sessions = slices.DeleteFunc(st.Sessions, func(o Session) bool {
				if n > 0 && same(o) { // they are in the order of login
					n--
					return true
				}
				return false
			})
		}
		st.Sessions = append(st.Sessions, s)
		return nil
	})
}

var errGone = errors.New("the user has been removed or reset")

func count[T any](all []T, is func(T) bool) (n int) {
	for _, v := range all {
		if is(v) {
			n++
		}
	}
	return n
}

// owner says whose session it is.
func (s Session) owner() string {
	if s.Who != nil {
		return string(s.Who.Method) + " " + s.Who.Name
	}
	return s.User
}

// end ends the session of a cookie.
func (g *Gate) end(cookie string) error {
	return g.conf.Store.Update(func(st *State) error {
		st.Sessions = slices.DeleteFunc(st.Sessions, func(o Session) bool { return o.Hash == digest(cookie) })
		return nil
	})
}

func (g *Gate) sweep(st *State, now time.Time) {
	st.Sessions = slices.DeleteFunc(st.Sessions, func(s Session) bool {
		_, ok := st.holder(s)
		return !ok || g.expired(s, now)
	})
}

// seen is when a session was last used, as far as this program knows.
func (g *Gate) seen(s Session) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.used[s.Hash]; at.After(s.SeenAt) {
		return at
	}
	return s.SeenAt
}

func (g *Gate) expired(s Session, now time.Time) bool {
	return now.Sub(g.seen(s)) > g.conf.Idle || now.Sub(s.CreatedAt) > g.conf.Absolute
}

// holder is who holds a session, with the rights of today.
func (st *State) holder(s Session) (Who, bool) {
	if s.Who != nil {
		return *s.Who, true
	}
	u := st.user(s.User)
	if u == nil || u.Epoch != s.Epoch {
		return Who{}, false
	}
	return Who{u.Name, Password, []Right{u.Right}}, true
}

// session finds who holds the session of a cookie. use keeps it from getting idle.
func (g *Gate) session(cookie string, use bool) (Who, bool) {
	st, err := g.conf.Store.Read()
	if err != nil {
		g.conf.Log.Error("who may see what cannot be read", "err", err)
		return Who{}, false
	}
	hash, now := digest(cookie), g.conf.Now()
	i := slices.IndexFunc(st.Sessions, func(s Session) bool { return s.Hash == hash })
	if i < 0 || g.expired(st.Sessions[i], now) {
		return Who{}, false
	}
	who, ok := st.holder(st.Sessions[i])
	if ok && use {
		g.touch(st.Sessions[i], now)
	}
	return who, ok
}

// touch notes that a session is in use, and now and then writes it down for the
// time after a restart.
func (g *Gate) touch(s Session, now time.Time) {
	g.mu.Lock()
	g.used[s.Hash] = now
	g.mu.Unlock()
	if now.Sub(s.SeenAt) < g.conf.Idle/touches {
		return
	}
	err := g.conf.Store.Update(func(st *State) error {
		for i := range st.Sessions {
			st.Sessions[i].SeenAt = g.seen(st.Sessions[i]).UTC()
		}
		g.sweep(st, now)
		g.mu.Lock()
		defer g.mu.Unlock()
		for hash := range g.used {
			if !slices.ContainsFunc(st.Sessions, func(s Session) bool { return s.Hash == hash }) {
				delete(g.used, hash)
			}
		}
		return nil
	})
	if err != nil {
		g.conf.Log.Warn("use of sessions cannot be written down", "err", err)
	}
}

// token finds whom a bearer token is for.
func (g *Gate) token(bearer string) (Who, bool) {
	id, key, ok := strings.Cut(strings.TrimPrefix(bearer, tokenPrefix), "_")
	if !ok || !strings.HasPrefix(bearer, tokenPrefix) {
		return Who{}, false
	}
	st, err := g.conf.Store.Read()
	if err != nil {
		g.conf.Log.Error("who may see what cannot be read", "err", err)
		return Who{}, false
	}
	for _, t := range st.Tokens {
		if t.ID == id && subtle.ConstantTimeCompare([]byte(t.Hash), []byte(digest(key))) == 1 {
			live := t.UntilAt.IsZero() || g.conf.Now().Before(t.UntilAt)
			return Who{t.ID + " (" + t.Label + ")", Bearer, []Right{t.Right}}, live
		}
	}
	return Who{}, false
}

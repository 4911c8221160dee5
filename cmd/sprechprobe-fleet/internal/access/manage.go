package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	// linkLasts is how long a one-time link can be used.
	linkLasts = 72 * time.Hour
	// tokenPrefix lets people and scanners of secrets know a token.
	tokenPrefix = "spf_"
)

// secret makes 256 bits of chance, fit for addresses and cookies.
func secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest is what is kept of a secret of 256 bits. It needs no salt and no cost.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Why somebody cannot be added or changed.
var (
	ErrNone      = errors.New("there is none of that name")
	ErrName      = errors.New("a name has 1 to 64 letters, digits and . _ @ + -, and starts with a letter or digit")
	ErrThere     = errors.New("there is a user of that name already")
	ErrLabel     = errors.New("a token wants a label of 1 to 80 characters: what it is for")
	ErrSelf      = errors.New("nobody takes the administration from himself")
	ErrLastAdmin = errors.New("nobody else could administer then")
)

func (s *State) user(name string) *User {
	if i := slices.IndexFunc(s.Users, func(u User) bool { return u.Name == name }); i >= 0 {
		return &s.Users[i]
	}
	return nil
}

// AddUser makes a user who sets a password by a link: code is its secret part.
func AddUser(st Store, name string, r Right, now time.Time) (code string, err error) {
	if name, err = foldName(name); err != nil {
		return "", err
	}
	code = secret()
	return code, st.Update(func(s *State) error {
		if s.user(name) != nil {
			return fmt.Errorf("%s: %w", name, ErrThere)
		}
		s.Users = append(s.Users, User{Name: name, Right: r, Epoch: rand.Text(), CreatedAt: now.UTC(),
			Link: &Once{digest(code), now.Add(linkLasts).UTC()}})
		return nil
	})
}

// RemoveUser takes a user all access at once.
func RemoveUser(st Store, name string) error { return removeUser(st, name, nil) }

func removeUser(st Store, name string, may func(*State, User) error) error {
	return changeUser(st, name, may, func(s *State, u *User) {
		gone := u.Name
		s.Users = slices.DeleteFunc(s.Users, func(u User) bool { return u.Name == gone })
		s.Sessions = slices.DeleteFunc(s.Sessions, func(o Session) bool { return o.User == gone })
	})
}

// SetRight gives a user another role or other tenants at once.
func SetRight(st Store, name string, r Right) error { return setRight(st, name, r, nil) }

func setRight(st Store, name string, r Right, may func(*State, User) error) error {
	return changeUser(st, name, may, func(_ *State, u *User) { u.Right = r })
}

// changeUser changes a user whom may (nil: always) allows to be changed.
func changeUser(st Store, name string, may func(*State, User) error, change func(*State, *User)) error {
	return st.Update(func(s *State) error {
		u := s.user(strings.ToLower(name))
		if u == nil {
			return fmt.Errorf("user %s: %w", name, ErrNone)
		}
		if may != nil {
			if err := may(s, *u); err != nil {
				return fmt.Errorf("user %s: %w", name, err)
			}
		}
		change(s, u)
		return nil
	})
}

// ResetUser voids a user's password and sessions, and makes a link to set a new
// one.
func ResetUser(st Store, name string, now time.Time) (code string, err error) {
	code = secret()
	return code, changeUser(st, name, nil, func(_ *State, u *User) {
		u.Password, u.Epoch, u.Link = "", rand.Text(), &Once{digest(code), now.Add(linkLasts).UTC()}
	})
}

// Setup makes a link with which whoever opens it becomes the first admin, unless
// there is a user already; code is then empty. An older such link is void.
func Setup(st Store, now time.Time) (code string, err error) {
	c := secret()
	err = st.Update(func(s *State) error {
		if len(s.Users) > 0 {
			s.Setup = nil
			return nil
		}
		code, s.Setup = c, &Once{digest(c), now.Add(linkLasts).UTC()}
		return nil
	})
	return code, err
}

// AddToken makes a token for a program. lasts 0 means until it is revoked.
func AddToken(st Store, label string, r Right, lasts time.Duration, now time.Time) (id, token string, err error) {
	if label == "" || len(label) > 80 || strings.ContainsFunc(label, func(c rune) bool { return !unicode.IsGraphic(c) }) {
		return "", "", ErrLabel
	}
	id = strings.ToLower(rand.Text()[:8])
	s := secret()
	t := Token{ID: id, Hash: digest(s), Label: label, Right: r, CreatedAt: now.UTC()}
	if lasts > 0 {
		t.UntilAt = now.Add(lasts).UTC()
	}
	err = st.Update(func(st *State) error { st.Tokens = append(st.Tokens, t); return nil })
	return id, tokenPrefix + id + "_" + s, err
}

// RevokeToken voids a token at once.
func RevokeToken(st Store, id string) error {
	return st.Update(func(s *State) error {
		n := len(s.Tokens)
		s.Tokens = slices.DeleteFunc(s.Tokens, func(t Token) bool { return t.ID == id })
		if len(s.Tokens) == n {
			return fmt.Errorf("token %s: %w", id, ErrNone)
		}
		return nil
	})
}

package iperf3

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"
	"time"
)

// Gate lets only known users in. It is safe for use by several goroutines.
type Gate struct {
	Key   *rsa.PrivateKey
	Users Users
	// PKCS1 takes the padding of clients before 3.17 as well. What it gives away
	// by its timing is hidden behind one late answer for all failures, but do
	// not turn it on without need.
	PKCS1 bool
	Skew  time.Duration    // that clocks may differ; 0: 10 s
	Now   func() time.Time // nil: time.Now

	mu   sync.Mutex
	used map[[32]byte]time.Time // tokens, until when they would still be taken
}

const (
	defaultSkew = 10 * time.Second
	maxUsed     = 1 << 14 // tokens remembered
	// late is when a failed login is answered, whatever it failed for.
	late = 500 * time.Millisecond
)

// Admit says who a token is of, or ErrDenied. A token is good once.
func (g *Gate) Admit(token string) (user string, err error) {
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil || len(sealed) != g.Key.Size() {
		return "", ErrDenied
	}
	user, password, at, err := g.open(sealed)
	if err != nil {
		return "", ErrDenied
	}
	sum := sha256.Sum256([]byte("{" + user + "}" + password))
	want, known := g.Users[user]
	if !known {
		want = hex.EncodeToString(make([]byte, len(sum)))
	}
	right := subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(want)) == 1
	if !known || !right || !g.fresh(at) || !g.first(sealed) {
		return "", ErrDenied
	}
	return user, nil
}

// open decrypts and splits a token.
func (g *Gate) open(sealed []byte) (user, password string, at time.Time, err error) {
	plain, err := rsa.DecryptOAEP(sha1.New(), rand.Reader, g.Key, sealed, nil)
	if err != nil && g.PKCS1 {
		//lint:ignore SA1019 clients before 3.17 know no other
		plain, err = rsa.DecryptPKCS1v15(rand.Reader, g.Key, sealed)
	}
	if err != nil {
		return "", "", at, err
	}
	f := bytes.Fields(plain)
	if len(f) != 6 || string(f[0]) != "user:" || string(f[2]) != "pwd:" || string(f[4]) != "ts:" {
		return "", "", at, errors.New("no login")
	}
	ts, err := strconv.ParseInt(string(f[5]), 10, 40)
	return string(f[1]), string(f[3]), time.Unix(ts, 0), err
}

func (g *Gate) now() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

func (g *Gate) skew() time.Duration {
	if g.Skew > 0 {
		return g.Skew
	}
	return defaultSkew
}

func (g *Gate) fresh(at time.Time) bool {
	d := g.now().Sub(at)
	return d.Abs() <= g.skew()
}

// first reports whether a token has not been used before, and remembers it for
// as long as it would be fresh. With too many to remember none is taken.
func (g *Gate) first(sealed []byte) bool {
	id, now := sha256.Sum256(sealed), g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.used == nil {
		g.used = map[[32]byte]time.Time{}
	}
	if len(g.used) >= maxUsed {
		for k, until := range g.used {
			if now.After(until) {
				delete(g.used, k)
			}
		}
	}
	if _, again := g.used[id]; again || len(g.used) >= maxUsed {
		return false
	}
	g.used[id] = now.Add(2*g.skew() + time.Second)
	return true
}

package iperf3

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1795303390, 0)
	sum := sha256.Sum256([]byte("{mario}rossi"))
	gate := func() *Gate {
		return &Gate{Key: key, Users: Users{"mario": hex.EncodeToString(sum[:])}, Now: func() time.Time { return now }}
	}
	token := func(user, password string, age time.Duration, p Padding) string {
		l := Login{User: user, Password: password, Key: &key.PublicKey, Now: func() time.Time { return now.Add(-age) }}
		s, err := l.token(p)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := token("mario", "rossi", 0, OAEP)
	for name, tt := range map[string]struct {
		token string
		pkcs1 bool
		ok    bool
	}{
		"good":               {token: good, ok: true},
		"nearly stale":       {token: token("mario", "rossi", 10*time.Second, OAEP), ok: true},
		"older padding":      {token: token("mario", "rossi", 0, PKCS1), pkcs1: true, ok: true},
		"newer padding":      {token: good, pkcs1: true, ok: true},
		"padding not taken":  {token: token("mario", "rossi", 0, PKCS1)},
		"stale":              {token: token("mario", "rossi", 11*time.Second, OAEP)},
		"from the future":    {token: token("mario", "rossi", -11*time.Second, OAEP)},
		"wrong password":     {token: token("mario", "bianchi", 0, OAEP)},
		"nobody":             {token: token("luigi", "rossi", 0, OAEP)},
		"none":               {token: ""},
		"no base64":          {token: "!" + good[1:]},
		"cut":                {token: good[:len(good)-8]},
		"too long":           {token: good + "AAAA"},
		"longer than memory": {token: strings.Repeat("AAAA", 1<<16)},
		"other bytes":        {token: base64.StdEncoding.EncodeToString(make([]byte, key.Size()))},
	} {
		g := gate()
		g.PKCS1 = tt.pkcs1
		user, err := g.Admit(tt.token)
		if ok := err == nil && user == "mario"; ok != tt.ok || !tt.ok && !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %q, %v; want in: %v", name, user, err, tt.ok)
		}
	}
	g := gate()
	if _, err := g.Admit(good); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Admit(good); !errors.Is(err, ErrDenied) {
		t.Errorf("a token is taken twice: %v", err)
	}
	now = now.Add(time.Hour)
	if _, err := g.Admit(good); !errors.Is(err, ErrDenied) {
		t.Errorf("a token of an hour ago is taken: %v", err)
	}
	for i := range maxUsed {
		g.first([]byte{byte(i), byte(i >> 8)})
	}
	if len(g.used) > maxUsed {
		t.Errorf("%d tokens remembered", len(g.used))
	}
	now = now.Add(time.Hour)
	if !g.first([]byte("another")) || len(g.used) != 1 {
		t.Errorf("tokens that nobody takes any more are kept: %d", len(g.used))
	}
}

func TestParseUsers(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	users, err := ParseUsers("# comment\n\nmario, " + hash + "\nluigi," + strings.ToUpper(hash) + "\n")
	if err != nil || len(users) != 2 || users["mario"] != hash || users["luigi"] != hash {
		t.Errorf("%v, %v", users, err)
	}
	for in, want := range map[string]string{
		"mario":                                 "line 1: want name,sha256",
		"\nmario,12":                            "line 2: want name,sha256",
		"mario," + strings.Repeat("x", 64):      "line 1: want name,sha256",
		"," + hash:                              "line 1",
		"m," + hash + "\nm," + hash:             "line 2: \"m\" is there already",
		strings.Repeat("x", 1<<17) + "," + hash: "too long",
	} {
		if _, err := ParseUsers(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", in, err, want)
		}
	}
}

func TestParseUnits(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "5": 5, "100M": 100_000_000, "1.5k": 1500, "2G": 2_000_000_000} {
		if got, err := ParseRate(in); err != nil || got != want {
			t.Errorf("rate %s is %d, %v", in, got, err)
		}
	}
	if got, err := ParseSize("64K"); err != nil || got != 65536 {
		t.Errorf("64K is %d, %v", got, err)
	}
	for _, in := range []string{"", "K", "-1", "1X", "1e30", "nan", "inf", "9999999999T"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("rate %q is %d", in, got)
		}
	}
}

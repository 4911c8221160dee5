package iperf3

import (
	"bufio"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Padding is how the login is encrypted.
type Padding uint8

// The paddings. Servers take one of them and do not say which.
const (
	Either Padding = iota // OAEP, and again with PKCS1 if that is refused
	OAEP                  // stock servers since 3.17
	PKCS1                 // older ones
)

// Login is what a server with users asks for.
type Login struct {
	User, Password string // without blanks
	Key            *rsa.PublicKey
	Padding        Padding
	Now            func() time.Time // the server's clock as far as we know it; nil: ours
}

// ParsePublicKey reads the server's public key, PEM.
func ParsePublicKey(pemBytes []byte) (*rsa.PublicKey, error) {
	block, _ := pem.Decode(pemBytes)
	if block == nil {
		return nil, errors.New("the public key is no PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key: %v", err)
	}
	if k, ok := key.(*rsa.PublicKey); ok {
		return k, nil
	}
	return nil, errors.New("the public key is not of RSA")
}

// token is the login as it goes over the wire.
func (l Login) token(p Padding) (string, error) {
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	plain := fmt.Appendf(nil, "user: %s\npwd:  %s\nts:   %d", l.User, l.Password, now().Unix())
	var sealed []byte
	var err error
	if p == PKCS1 {
		//lint:ignore SA1019 iperf3 before 3.17 knows no other
		sealed, err = rsa.EncryptPKCS1v15(rand.Reader, l.Key, plain)
	} else {
		sealed, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, l.Key, plain, nil)
	}
	if err != nil {
		return "", fmt.Errorf("login: %v", err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

func (l Login) check() error {
	switch {
	case l.Key == nil:
		return errors.New("login: without the server's public key")
	case l.User == "" || len(strings.Fields(l.User+l.Password)) != 1:
		return errors.New("login: user and password without blanks are needed")
	}
	return nil
}

// paddings are what to try one after the other.
func (l Login) paddings() []Padding {
	if l.Padding == Either {
		return []Padding{OAEP, PKCS1}
	}
	return []Padding{l.Padding}
}

// Users are names and the hex SHA-256 of "{name}password".
type Users map[string]string

// ParseUsers reads a file of lines "name,hash"; # begins a comment. It names the
// line of a mistake.
func ParseUsers(text string) (Users, error) {
	users := Users{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, hash, _ := strings.Cut(line, ",")
		name, hash = strings.TrimSpace(name), strings.ToLower(strings.TrimSpace(hash))
		if name == "" || len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("line %d: want name,sha256 in hex", n)
		}
		if users[name] != "" {
			return nil, fmt.Errorf("line %d: %.40q is there already", n, name)
		}
		users[name] = hash
	}
	return users, lines.Err()
}

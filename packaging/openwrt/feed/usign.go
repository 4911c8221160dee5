package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
)

// A key of usign: algorithm "Ed", then for secret ones the derivation "BK" with
// 0 rounds (no password), salt and checksum; a fingerprint, by which a router
// finds the public one; and the key.
const (
	fingerprintSize = 8
	secretSize      = 2 + 2 + 4 + 16 + 8 + fingerprintSize + ed25519.PrivateKeySize
)

// newKey makes a pair of keys, the secret one for its owner's eyes only.
func newKey(name string) error {
	pub, sec, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	random := make([]byte, fingerprintSize+16)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	fingerprint, salt := random[:fingerprintSize], random[fingerprintSize:]
	checksum := sha512.Sum512(sec)
	secret := append([]byte("EdBK\x00\x00\x00\x00"), salt...)
	secret = append(secret, checksum[:8]...)
	secret = append(append(secret, fingerprint...), sec...)
	public := append(append([]byte("Ed"), fingerprint...), pub...)
	f, err := os.OpenFile(name+".sec", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(armour("private key", fingerprint, secret)); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(name+".pub", []byte(armour("public key", fingerprint, public)), 0o644); err != nil {
		return err
	}
	fmt.Printf("%x\n", fingerprint)
	return nil
}

func armour(what string, fingerprint, data []byte) string {
	return fmt.Sprintf("untrusted comment: %s %x\n%s\n", what, fingerprint, base64.StdEncoding.EncodeToString(data))
}

// sign signs data with the key in a file.
func sign(keyFile string, data []byte) ([]byte, error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	_, body, ok := strings.Cut(string(text), "\n")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(body))
	if !ok || err != nil || len(key) != secretSize || string(key[:2]) != "Ed" {
		return nil, fmt.Errorf("%s: not a secret key of usign", keyFile)
	}
	if string(key[4:8]) != "\x00\x00\x00\x00" {
		return nil, errors.New("a key with a password, which usign itself does not take")
	}
	fingerprint := key[32 : 32+fingerprintSize]
	seed := key[32+fingerprintSize:][:ed25519.SeedSize]
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(seed), data)
	return []byte(armour("signed by key", fingerprint, append(append([]byte("Ed"), fingerprint...), sig...))), nil
}

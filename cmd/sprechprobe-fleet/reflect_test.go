package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

func TestReflectFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--rate fast":                          `--rate: bad rate "fast"`,
		"--rate 0":                             "want more than 0",
		"--test-rate 0":                        "want more than 0",
		"--test-rate 10X":                      "--test-rate: bad rate",
		"--test-time 10ms":                     "--test-time wants at least 1s",
		"--tests 0":                            "at least 1",
		"--users x":                            "belong together",
		"--pkcs1":                              "--pkcs1 is for",
		"--listen :0 extra":                    "unexpected argument",
		"--tests-per-source":                   "flag needs an argument",
		"--turn 192.0.2.7:3478":                "wants --turn-secret",
		"--turn-public 192.0.2.7":              "--turn is missing",
		"--turn here --turn-secret x":          "want an address and a port",
		"--turn 192.0.2.7:3478 --turn-ports 5": "want two ports",
		"--turn 192.0.2.7:3478 --turn-secret /nonexistent": "--turn-secret:",
		"--turn 192.0.2.7:3478 --turn-rate x":              "--turn-rate:",
		"--turn 192.0.2.7:3478 --turn-public x":            "--turn-public",
	} {
		_, err := parseReflect(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, new(errUsage)) {
			t.Errorf("reflect %s: %v, want %q", args, err, want)
		}
	}
	r, err := parseReflect(strings.Fields("--rate 500M --test-rate 20M"))
	if err != nil || r.limits.Rate != 500_000_000 || r.limits.TestRate != 20_000_000 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Only those who are on the list may test.
func TestReflectWithUsers(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("{box}secret"))
	dir := t.TempDir()
	users, private := filepath.Join(dir, "users"), filepath.Join(dir, "key.pem")
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{
		users:   []byte("box," + hex.EncodeToString(sum[:]) + "\n"),
		private: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	started, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- runReflect(ctx, env{out: io.Discard, err: w}, []string{"--listen", addr, "--users", users, "--key", private})
	}()
	if _, err := fmt.Fscanln(started, new(string)); err != nil && !strings.Contains(err.Error(), "newline") {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, started) }()
	for password, want := range map[string]error{"secret": nil, "guessed": iperf3.ErrDenied} {
		c := iperf3.Client{Login: &iperf3.Login{User: "box", Password: password, Key: &key.PublicKey, Padding: iperf3.OAEP}}
		if _, err := c.Run(ctx, addr, iperf3.Test{Bytes: 1000}); !errors.Is(err, want) {
			t.Errorf("password %s: %v, want %v", password, err, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("reflect: %v", err)
	}
	for _, args := range [][]string{{"--users", private, "--key", private}, {"--users", users, "--key", users}, {"--users", dir, "--key", private}} {
		if err := runReflect(t.Context(), env{out: io.Discard, err: io.Discard}, append(args, "--listen", "127.0.0.1:0")); err == nil {
			t.Errorf("reflect %v serves", args)
		}
	}
}

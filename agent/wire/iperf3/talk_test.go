package iperf3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// Stock clients understand why our server refuses.
func TestStockClientIsRefused(t *testing.T) {
	for _, tt := range []struct {
		refuse error
		want   string
	}{
		{iperf3.ErrBusy, "the server is busy running a test. try again later"},
		{&iperf3.Error{Code: 121}, "the server is busy running a test. try again later"},
		{iperf3.ErrDenied, "test authorization failed"},
		{iperf3.ErrTooFast, "total required bandwidth is larger than server limit"},
		{iperf3.ErrTooLong, "37"},
		{errors.New("anything else"), "control socket has closed unexpectedly"},
	} {
		host, port, _ := serve(t, &iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) {
			return iperf3.Grant{}, tt.refuse
		}}, "127.0.0.1:0")
		out, err := stockClient(t, host, port, "-t", "1")
		if err == nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("%v: iperf3 says %s (%v), want %q", tt.refuse, out, err, tt.want)
		}
	}
}

// What a client sends over UDP cannot be slowed down, so it is refused at the
// start, and stopped if it does not keep to what it said.
func TestRateCap(t *testing.T) {
	grant := iperf3.Grant{Rate: 10 * mbit, Time: 3 * time.Second}
	host, port, tests := serve(t, &iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) {
		return grant, nil
	}}, "127.0.0.1:0")
	for args, want := range map[string]string{
		"-u -b 20M -t 1":     "total required bandwidth is larger than server limit",
		"-u -b 0 -t 1":       "total required bandwidth is larger than server limit",
		"-u -P 3 -b 4M -t 1": "total required bandwidth is larger than server limit",
		"-t 4":               "37",
	} {
		if out, err := stockClient(t, host, port, strings.Fields(args)...); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("iperf3 %s: %v, %s; want %q", args, err, out, want)
		}
	}
	for _, args := range []string{"-t 1", "-t 1 -R", "-t 1 -P 4 -R", "-u -R -b 50M -l 1000 -t 1"} {
		out, err := stockClient(t, host, port, append(strings.Fields(args), "-J")...)
		if err != nil {
			t.Errorf("iperf3 %s: %v\n%s", args, err, out)
			continue
		}
		s := <-tests
		if got := parseDoc(t, out).End.Received.BitsPerS; got > 1.1*10*mbit || s.res.RateCap != grant.Rate {
			t.Errorf("iperf3 %s: %.1f Mbit/s, cap said to be %d", args, got/mbit, s.res.RateCap)
		}
	}
}

// The server caps, and the client knows it.
func TestClientLearnsOfTheCap(t *testing.T) {
	host, port, _ := serve(t, &iperf3.Server{Admit: func(context.Context, iperf3.Request) (iperf3.Grant, error) {
		return iperf3.Grant{Rate: 20 * mbit}, nil
	}}, "127.0.0.1:0")
	var c iperf3.Client
	for rate, want := range map[int64]int64{0: 20 * mbit, 5 * mbit: 0} {
		res, err := c.Run(t.Context(), net.JoinHostPort(host, port), iperf3.Test{Duration: 300 * time.Millisecond, Rate: rate})
		if err != nil {
			t.Fatal(err)
		}
		if res.RateCap != want {
			t.Errorf("asked for %d: the cap is said to be %d, want %d", rate, res.RateCap, want)
		}
	}
}

// Several clients of one address set up UDP streams on one port at the same
// time, though no hello says whose it is; TCP clients do not mind.
func TestManyClientsOfOneAddress(t *testing.T) {
	host, port, tests := serve(t, &iperf3.Server{}, "127.0.0.1:0")
	const n = 12
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var c iperf3.Client
			test := iperf3.Test{UDP: i%2 == 0, Streams: 2, Direction: iperf3.Direction(i % 3), Bytes: 50_000, Rate: 2 * mbit, Length: 500}
			res, err := c.Run(t.Context(), net.JoinHostPort(host, port), test)
			if err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			for _, sent := range []bool{true, false} {
				if s := res.Sum(sent); s.Streams > 0 && s.Received.Bytes == 0 {
					t.Errorf("client %d: nothing arrived: %+v", i, s)
				}
			}
		})
	}
	wg.Wait()
	for range n {
		if s := <-tests; s.err != nil {
			t.Errorf("the server saw %v", s.err)
		}
	}
}

// A client ends a test early, in order, when it has seen enough.
func TestEnough(t *testing.T) {
	host, port, tests := serve(t, &iperf3.Server{}, "127.0.0.1:0")
	seen := 0
	c := iperf3.Client{Every: 50 * time.Millisecond, Progress: func(i iperf3.Interval) bool {
		seen++
		return seen == 3
	}}
	start := time.Now()
	res, err := c.Run(t.Context(), net.JoinHostPort(host, port), iperf3.Test{Rate: 10 * mbit, Length: 1448})
	if err != nil || time.Since(start) > 8*time.Second || res.Sum(true).Received.Bytes == 0 {
		t.Errorf("after %v: %v, %+v", time.Since(start), err, res)
	}
	if s := <-tests; s.err != nil {
		t.Errorf("the server saw %v", s.err)
	}
}

// A stock server has no slots, and its next client finds it as it was.
func TestSlotOfStockServer(t *testing.T) {
	program, port := lab.Program(t, "iperf3", "iperf3"), freePort(t)
	lab.Start(t, command(program, "-s", "-p", port), func(*lab.Process) bool { return listening(port) })
	var c iperf3.Client
	addr := "127.0.0.1:" + port
	if _, err := c.AskSlot(t.Context(), addr, iperf3.SlotRequest{Box: "b"}); !errors.Is(err, iperf3.ErrNoSlots) {
		t.Errorf("a slot of a stock server: %v", err)
	}
	var err error
	for range 50 { // it needs a moment to notice
		if _, err = c.Run(t.Context(), addr, iperf3.Test{Bytes: 1000}); err == nil {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	if err != nil {
		t.Errorf("the next client: %v", err)
	}
}

func TestSlot(t *testing.T) {
	var asked iperf3.SlotRequest
	want := iperf3.SlotAnswer{Slot: "s", InMS: 1500, Rate: 7}
	host, port, tests := serve(t, &iperf3.Server{Slot: func(q iperf3.SlotRequest) iperf3.SlotAnswer { asked = q; return want }}, "127.0.0.1:0")
	var c iperf3.Client
	addr := net.JoinHostPort(host, port)
	got, err := c.AskSlot(t.Context(), addr, iperf3.SlotRequest{Box: "b\x1b[2J", Rate: 9, TakesMS: 10})
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if asked.Box != "b [2J" || asked.Rate != 9 || asked.TakesMS != 10 || asked.From.Addr() != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("the server was asked %+v", asked)
	}
	if _, err := c.Run(t.Context(), addr, iperf3.Test{Bytes: 1000, Slot: "s"}); err != nil {
		t.Fatal(err)
	}
	if s := <-tests; s.req.Test.Slot != "s" {
		t.Errorf("the test came with slot %q", s.req.Test.Slot)
	}
	if _, err := c.AskSlot(t.Context(), addr, iperf3.SlotRequest{TakesMS: -1}); !errors.Is(err, iperf3.ErrBusy) {
		t.Errorf("a slot of no length: %v", err)
	}
}

// keys are made once: they take a while.
var keys = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func hashOf(user, password string) string {
	sum := sha256.Sum256([]byte("{" + user + "}" + password))
	return hex.EncodeToString(sum[:])
}

// keyFiles writes the keys and the users as iperf3 wants them.
func keyFiles(t *testing.T) (private, public, users string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		b := der
		if kind != "" {
			b = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	pub, err := x509.MarshalPKIXPublicKey(&keys().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("private.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(keys())),
		write("public.pem", "PUBLIC KEY", pub),
		write("users.csv", "", []byte("# users\nmario,"+hashOf("mario", "rossi")+"\n"))
}

// The hash of iperf3's own manual page.
func TestPasswordHash(t *testing.T) {
	if got := hashOf("mario", "rossi"); got != "bf7a49a846d44b454a5d11e7acfaf13d138bbe0b7483aa3e050879700572709b" {
		t.Errorf("%s", got)
	}
}

// Our client logs in to a stock server, which takes the older padding: it finds
// that out by itself.
func TestLoginAtStockServer(t *testing.T) {
	private, _, users := keyFiles(t)
	program, port := lab.Program(t, "iperf3", "iperf3"), freePort(t)
	lab.Start(t, command(program, "-s", "-p", port, "--rsa-private-key-path", private, "--authorized-users-path", users),
		func(*lab.Process) bool { return listening(port) })
	for _, tt := range []struct {
		password string
		padding  iperf3.Padding
		want     error
	}{
		{"rossi", iperf3.PKCS1, nil}, {"rossi", iperf3.Either, nil}, {"rossi", iperf3.OAEP, iperf3.ErrDenied}, {"bianchi", iperf3.Either, iperf3.ErrDenied},
	} {
		c := iperf3.Client{Login: &iperf3.Login{User: "mario", Password: tt.password, Key: &keys().PublicKey, Padding: tt.padding}}
		var err error
		for range 50 { // a stock server needs a moment after each client
			_, err = c.Run(t.Context(), "127.0.0.1:"+port, iperf3.Test{Bytes: 1000})
			if err == nil || errors.Is(err, iperf3.ErrDenied) {
				break
			}
			<-time.After(20 * time.Millisecond)
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("password %s, padding %d: %v, want %v", tt.password, tt.padding, err, tt.want)
		}
	}
}

// A stock client logs in to our server.
func TestLoginOfStockClient(t *testing.T) {
	_, public, _ := keyFiles(t)
	for _, tt := range []struct {
		pkcs1    bool
		password string
		want     string // empty: it may test
	}{
		{true, "rossi", ""}, {true, "bianchi", "test authorization failed"}, {false, "rossi", "test authorization failed"},
	} {
		g := &iperf3.Gate{Key: keys(), Users: iperf3.Users{"mario": hashOf("mario", "rossi")}, PKCS1: tt.pkcs1}
		host, port, tests := serve(t, &iperf3.Server{Gate: g}, "127.0.0.1:0")
		t.Setenv("IPERF3_PASSWORD", tt.password)
		out, err := stockClient(t, host, port, "-n", "1000", "--username", "mario", "--rsa-public-key-path", public)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%+v: %v\n%s", tt, err, out)
		case tt.want == "":
			if s := <-tests; s.req.User != "mario" {
				t.Errorf("the server takes it for %q", s.req.User)
			}
		case !bytes.Contains(out, []byte(tt.want)):
			t.Errorf("%+v: %s, want %q", tt, out, tt.want)
		}
		if out, _ := stockClient(t, host, port, "-n", "1000"); !bytes.Contains(out, []byte("test authorization failed")) {
			t.Errorf("without a login: %s", out)
		}
	}
}

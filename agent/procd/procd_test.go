package procd_test

import (
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/procd"
)

// What ubusd of 2025-12 and a libubus service called "service" sent, byte for
// byte: a greeting, the object with its methods, its answer, and the ends of both
// calls. SEQ0 stands for the number of the call.
const (
	greeting = "0000000063a4c5d500000004"
	found    = "0002SEQ0000000000000007c0200000c73657276696365000300000887996e390500000822a1c1660600005c8200005800087761746368646f6700008500001000046d6f64650000000000058500001000046e616d6500000000000385000014000774696d656f757400000000000005850000140008696e7374616e6365000000000003"
	end      = "0001SEQ0000000000000000c0100000800000000"
	answered = "0002SEQ087996e39000000200300000887996e39070000148300000e00046e616d65000078000000"
	done     = "0001SEQ087996e390000001401000008000000000300000887996e39"
	missing  = "0001SEQ0000000000000000c0100000800000004"
)

// What the box sent then, and was understood.
const (
	lookUp = "0004000100000000000000100200000c7365727669636500"
	feed2  = "0005000287996e39000000740300000887996e390400000d7761746368646f6700000000070000588300001800046e616d65000073707265636870726f626500830000150008696e7374616e636500006d61696e000000008500001000046d6f646500000000000285000014000774696d656f757400000000000014"
)

// bus greets whoever connects and then gives one answer to each message. asked
// are the messages, after the bus has ended.
func bus(t testing.TB, greeting string, answers ...string) (w *procd.Watchdog, asked func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan []string, 1)
	go func() {
		var got []string
		defer func() { end <- got }()
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		say(conn, greeting, "")
		for _, answer := range answers {
			head := make([]byte, 12)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			body := make([]byte, int(head[10])<<8|int(head[11])-4)
			if _, err := io.ReadFull(conn, body); err != nil {
				return
			}
			got = append(got, hex.EncodeToString(append(head, body...)))
			say(conn, answer, hex.EncodeToString(head[2:4]))
		}
	}()
	w = &procd.Watchdog{Service: "sprechprobe", Instance: "main", Timeout: 20 * time.Second, Sockets: []string{filepath.Join(dir, "none"), path}}
	return w, func() []string { _ = ln.Close(); return <-end }
}

func say(w io.Writer, text, seq string) {
	if b, err := hex.DecodeString(strings.ReplaceAll(text, "SEQ0", seq)); err == nil {
		_, _ = w.Write(b)
	}
}

func TestFeed(t *testing.T) {
	late := strings.ReplaceAll(answered+done, "SEQ0", "ffff") // of a call that was given up
	w, asked := bus(t, greeting, found+end, answered+done, late+done)
	for range 2 {
		if err := w.Feed(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{lookUp, feed2, strings.Replace(feed2, "00050002", "00050003", 1)}
	_ = w.Feed() // the bus has ended with the third
	if got := asked(); !slices.Equal(got, want) {
		t.Errorf("the bus was told\n%q, want\n%q", got, want)
	}
}

func TestTrouble(t *testing.T) {
	tests := []struct {
		name, greeting string
		answers        []string
		want           string
	}{
		{"no such object", greeting, []string{missing}, "status 00000004"},
		{"nothing about it", greeting, []string{end}, "not on the bus"},
		{"procd refuses", greeting, []string{found + end, missing}, "status 00000004"},
		{"another greeting", "0002000063a4c5d500000004", nil, "message 2"},
		{"endless", greeting, []string{"0002SEQ00000000000ffffff"}, "16777215 bytes"},
		{"shorter than itself", greeting, []string{"0002SEQ00000000000000003"}, "3 bytes"},
		{"gone", greeting, nil, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, asked := bus(t, tt.greeting, tt.answers...)
			err := w.Feed()
			asked()
			if err == nil || !strings.Contains(err.Error(), tt.want) && tt.want != "EOF" {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
	none := procd.Watchdog{Sockets: []string{"/nowhere/1", "/nowhere/2"}}
	if err := none.Feed(); err == nil || !strings.Contains(err.Error(), "/nowhere/2") {
		t.Errorf("without a bus: %v", err)
	}
}

func TestNamed(t *testing.T) {
	if s, i, ok := procd.Named("sprechprobe/main"); s != "sprechprobe" || i != "main" || !ok {
		t.Errorf("%q, %q, %v", s, i, ok)
	}
	for _, bad := range []string{"", "/", "x", "x/", "/y"} {
		if _, _, ok := procd.Named(bad); ok {
			t.Errorf("%q names an instance", bad)
		}
	}
}

// Whatever the bus sends, feeding comes to an end without a panic.
func FuzzFeed(f *testing.F) {
	f.Add([]byte(greeting), []byte(found+end))
	f.Fuzz(func(t *testing.T, greeting, answer []byte) {
		w, asked := bus(t, hex.EncodeToString(greeting), hex.EncodeToString(answer))
		_ = w.Feed()
		_ = w.Feed()
		asked()
	})
}

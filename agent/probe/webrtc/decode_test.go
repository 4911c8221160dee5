package webrtc_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// asked is the transaction id of the requests that the captured answers belong to.
var asked = [12]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}

// captured are answers of coturn 4.6.1 (Debian 12) on loopback, taken off a UDP
// socket, to a Binding request and to an Allocate without credentials.
var captured = map[string]string{
	"binding":            "0101003c2112a442000102030405060708090a0b002000080001bd525e12a4430001000800019c407f000001802b000800010d967f4d020280220014436f7475726e2d342e362e312027476f72737427",
	"binding, bare":      "010100202112a442000102030405060708090a0b002000080001bd525e12a443802b000800010d967f4d02028028000450ef6cce", // --fingerprint --no-software-attribute --no-stun-backward-compatibility
	"allocate":           "011300542112a442000102030405060708090a0b0009001000000401556e617574686f72697a656400150010636130343133383766623932613061300014000e7072617869732e6578616d706c65000080220014436f7475726e2d342e362e312027476f72737427",
	"allocate, bare":     "011300442112a442000102030405060708090a0b0009001000000401556e617574686f72697a656400150010646338323734663735363261613031380014000e7072617869732e6578616d706c6500008028000440f5b7e2", // --fingerprint --no-software-attribute
	"allocate, open":     "010300382112a442000102030405060708090a0b001600080001f8e05e5fa640002000080001bd525e12a443000d00040000025880220014436f7475726e2d342e362e312027476f72737427",                         // --no-auth
	"allocate, redirect": "0113003c2112a442000102030405060708090a0b000900140000030054727920416c7465726e6174650000008023000800010d967f4d020980220014436f7475726e2d342e362e312027476f72737427",                 // --alternate-server
}

func wire(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCapturedAnswers(t *testing.T) {
	const coturn = "Coturn-4.6.1 'Gorst'"
	tests := []struct {
		name     string
		allocate bool
		want     webrtc.Answer
	}{
		{"binding", false, webrtc.Answer{Public: "127.0.0.1:40000", Words: []string{"", coturn}}},
		{"binding, bare", false, webrtc.Answer{Public: "127.0.0.1:40000", Words: []string{"", ""}}},
		{"allocate", true, webrtc.Answer{Code: 401, Words: []string{realm, coturn}}},
		{"allocate, bare", true, webrtc.Answer{Code: 401, Words: []string{realm, ""}}},
		{"allocate, open", true, webrtc.Answer{Open: true, Public: "127.0.0.1:40000", Words: []string{"", coturn}}},
		{"allocate, redirect", true, webrtc.Answer{Code: 300, Alternate: "127.77.2.9:3478", Words: []string{"", coturn}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, why := webrtc.Datagram(webrtc.Asked(tt.allocate, asked), wire(t, captured[tt.name]))
			if diff := cmp.Diff(tt.want, got); why != "" || diff != "" {
				t.Errorf("reason %q, answer (-want +got):\n%s", why, diff)
			}
		})
	}
}

// Messages whose attributes lie about themselves are answers still, but what
// they say is not believed.
func TestLyingAttributes(t *testing.T) {
	const header = "2112a442000102030405060708090a0b"
	tests := []struct {
		name, message string
		want          webrtc.Answer
	}{
		{"empty mapped address at the end", "01010004" + header + "00200000", webrtc.Answer{}},
		{"short mapped address", "01010008" + header + "0020000400010102", webrtc.Answer{}},
		{"IPv4 in the length of IPv6", "01010018" + header + "002000140001010200000000000000000000000000000000", webrtc.Answer{}},
		{"IPv6 in the length of IPv4", "0101000c" + header + "0020000800020102aabbccdd", webrtc.Answer{}},
		{"unknown family", "0101000c" + header + "0020000800030102aabbccdd", webrtc.Answer{}},
		{"software that moves the cursor", "01010010" + header + "8022000a1b5b324a0a4f4bff200a0000", webrtc.Answer{Words: []string{"", "[2J OK"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, why := webrtc.Datagram(webrtc.Asked(false, asked), wire(t, tt.message))
			if tt.want.Words == nil {
				tt.want.Words = []string{"", ""}
			}
			if diff := cmp.Diff(tt.want, got); why != "" || diff != "" {
				t.Errorf("reason %q, answer (-want +got):\n%s", why, diff)
			}
		})
	}
}

func TestNoAnswers(t *testing.T) {
	whole := wire(t, captured["binding"])
	foreign := bytes.Clone(whole)
	foreign[19]++
	request := bytes.Clone(whole)
	request[0] = 0
	longer := append(bytes.Clone(whole), 0, 0, 0, 0)
	tests := []struct {
		name string
		b    []byte
		want agent.Reason
	}{
		{"nothing", nil, agent.Garbage},
		{"half a message", whole[:len(whole)/2], agent.Garbage},
		{"more than its length says", longer, agent.Garbage},
		{"error without a code", wire(t, "011100002112a442000102030405060708090a0b"), agent.Garbage},
		{"our request sent back", request, agent.Garbage},
		{"answer to somebody else", foreign, agent.ForeignAnswer},
		{"answer to another method", wire(t, captured["allocate"]), agent.Garbage},
		{"RFC 3489, no cookie", wire(t, "0101000000000000000102030405060708090a0b"), agent.Garbage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, got := webrtc.Datagram(webrtc.Asked(false, asked), tt.b); got != tt.want {
				t.Errorf("reason = %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzBinding(f *testing.F) { fuzzAnswer(f, false) }

func FuzzAllocate(f *testing.F) { fuzzAnswer(f, true) }

// fuzzAnswer reads b as a datagram and as a stream, in one go and byte by byte.
// What is believed must be fit for a report, and a message must mean the same
// however it came.
func fuzzAnswer(f *testing.F, allocate bool) {
	for _, digits := range captured {
		f.Add(wire(f, digits))
	}
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte{21, 3, 3, 0, 2, 2, 70})
	f.Add(wire(f, "010100042112a442000102030405060708090a0b00200000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q := webrtc.Asked(allocate, asked)
		datagram, why := webrtc.Datagram(q, b)
		believable(t, datagram)
		whole, wholeWhy, wholeErr := webrtc.Stream(q, bytes.NewReader(b))
		bits, bitsWhy, bitsErr := webrtc.Stream(q, iotest.OneByteReader(bytes.NewReader(b)))
		if diff := cmp.Diff(whole, bits); diff != "" || wholeWhy != bitsWhy || !errors.Is(bitsErr, wholeErr) {
			t.Errorf("in one go %q %v, byte by byte %q %v:\n%s", wholeWhy, wholeErr, bitsWhy, bitsErr, diff)
		}
		believable(t, whole)
		if why == "" {
			if diff := cmp.Diff(datagram, whole); diff != "" || wholeWhy != "" || wholeErr != nil {
				t.Errorf("as a stream: reason %q, error %v, answer (-datagram +stream):\n%s", wholeWhy, wholeErr, diff)
			}
		}
	})
}

func believable(t *testing.T, a webrtc.Answer) {
	t.Helper()
	if a.Code != 0 && (a.Code < 300 || a.Code > 699) {
		t.Errorf("error code %d", a.Code)
	}
	for _, s := range []string{a.Public, a.Alternate} {
		if _, err := netip.ParseAddrPort(s); s != "" && err != nil {
			t.Errorf("address %q", s)
		}
	}
	for _, s := range a.Words {
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > 80 {
			t.Errorf("words %q", s)
		}
		for _, r := range s {
			if unicode.IsControl(r) {
				t.Errorf("words %q", s)
			}
		}
	}
}

// FuzzFeed gives anything to the client of turn/v4: what passes our check must
// not make it panic.
func FuzzFeed(f *testing.F) {
	for _, digits := range captured {
		f.Add(wire(f, digits))
	}
	f.Add(wire(f, "001700042112a442000102030405060708090a0b00120000")) // Data indication, empty peer address
	f.Add(wire(f, "40000004aabbccdd"))
	here, there := net.Pipe()
	f.Cleanup(func() { here.Close(); there.Close() })
	go io.Copy(io.Discard, there) // ends with the pipe
	f.Fuzz(func(t *testing.T, b []byte) {
		if why, err := webrtc.Feed(here, b); err != nil || why != "" && why != agent.Garbage {
			t.Errorf("reason %q, error %v", why, err)
		}
	})
}

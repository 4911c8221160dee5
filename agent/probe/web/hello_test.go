package web_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
	"github.com/sprechprobe/sprechprobe/agent/probe/web"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
)

// firstBytes is a ClientHello whole, as a device on the way would put it together.
func firstBytes(c net.Conn) []byte {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil
	}
	rest := make([]byte, int(head[3])<<8|int(head[4]))
	_, _ = io.ReadFull(c, rest)
	return append(head, rest...)
}

// screen is what a device does that reads the ClientHello first: then shakes
// hands in the target's place, or does not.
func screen(cert tls.Certificate, passes func(hello []byte) bool, otherwise func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		hello := firstBytes(c)
		if !passes(hello) {
			otherwise(c)
			return
		}
		overTLS(cert, hold)(begun{c, io.MultiReader(bytes.NewReader(hello), c)})
	}
}

type begun struct {
	net.Conn
	r io.Reader
}

func (b begun) Read(p []byte) (int, error) { return b.r.Read(p) }

// abort makes the close that follows a reset.
func abort(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

func small(hello []byte) bool { return len(hello) <= 1000 }
func named(hello []byte) bool { return bytes.Contains(hello, []byte(host)) }
func never([]byte) bool       { return false }

// words are the three results, in short.
func words(e agent.Evidence) string {
	return strings.TrimSpace(fmt.Sprintln(e.Values.Text(agent.HelloPlain), e.Values.Text(agent.HelloSmall), e.Values.Text(agent.HelloOther)))
}

func TestHelloTellsWhatIsDisliked(t *testing.T) {
	ca, foreign := trusttest.Named(t, "Test CA"), trusttest.Named(t, "Other CA")
	cert := ca.Leaf(host)
	tests := []struct {
		name string
		do   func(net.Conn)
		want verdict
		says string
	}{
		{"nothing", overTLS(cert, hold), verdict{agent.Answered, agent.GradeA, ""}, "answered answered answered"},
		{"large hellos are swallowed", screen(cert, small, hold), verdict{agent.Silent, agent.GradeE, agent.Timeout}, "timeout answered answered"},
		{"large hellos are reset", screen(cert, small, abort), verdict{agent.Refused, agent.GradeB, agent.ResetAfter}, "rst-after-connect answered answered"},
		{"the name is reset", screen(cert, func(h []byte) bool { return !named(h) }, abort), verdict{agent.Refused, agent.GradeB, agent.ResetAfter}, "rst-after-connect rst-after-connect answered"},
		{"the name is swallowed", screen(cert, func(h []byte) bool { return !named(h) }, hold), verdict{agent.Silent, agent.GradeE, agent.Timeout}, "timeout timeout answered"},
		{"strangers", screen(cert, named, func(c net.Conn) { _, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 112}) }), verdict{agent.Answered, agent.GradeA, ""}, "answered answered tls-alert"},
		{"TLS", screen(cert, never, abort), verdict{agent.Refused, agent.GradeB, agent.ResetAfter}, "rst-after-connect rst-after-connect rst-after-connect"},
		{"TLS, with an alert", say("\x15\x03\x03\x00\x02\x02\x28"), verdict{agent.Refused, agent.GradeB, agent.TLSAlert}, "tls-alert tls-alert tls-alert"},
		{"TLS, with a page", say("HTTP/1.1 403 Forbidden\r\n\r\n"), verdict{agent.Tampered, agent.GradeC, agent.NotTLS}, "not-tls not-tls not-tls"},
		{"another answers", overTLS(foreign.Leaf(host), hold), verdict{agent.Tampered, agent.GradeC, agent.TLSUnknownCA}, "tls-unknown-authority tls-unknown-authority answered"},
	}
	probe := web.Hello(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := probe(t.Context(), serve(t, tt.do))
			if d := cmp.Diff(tt.want, of(e)); d != "" {
				t.Errorf("evidence (-want +got):\n%s%v", d, e.Values)
			}
			if got := words(e); got != tt.says {
				t.Errorf("hellos: %q, want %q", got, tt.says)
			}
			if _, ok := e.Values.Num(agent.ConnectTime); !ok {
				t.Error("connect_ms is missing")
			}
			if _, ok := e.Values.Num(agent.RTT); ok != (tt.want.Outcome != agent.Silent) {
				t.Errorf("rtt_ms is there: %v", ok)
			}
		})
	}
}

// A ClientHello with ML-KEM does not fit into one segment; the small one fits
// into the least that any line carries.
func TestHelloSizes(t *testing.T) {
	sizes := map[bool][]int{}
	heard := make(chan []byte, 3)
	target := serve(t, func(c net.Conn) { heard <- firstBytes(c) })
	web.Hello(trust.Checker{})(t.Context(), target)
	for range 3 {
		hello := <-heard
		sizes[named(hello)] = append(sizes[named(hello)], len(hello))
	}
	if got := sizes[true]; len(got) != 2 || max(got[0], got[1]) < 1300 || min(got[0], got[1]) > 1000 {
		t.Errorf("with the name: %v bytes, want one over 1300 and one under 1000", got)
	}
	if got := sizes[false]; len(got) != 1 || got[0] > 1000 {
		t.Errorf("without: %v bytes, want one under 1000", got)
	}
}

func TestHelloOnlyWhereTLSComesFirst(t *testing.T) {
	const every = "rst-after-connect rst-after-connect rst-after-connect"
	tests := []struct {
		service   agent.Service
		transport agent.Transport
		variant   agent.Variant
		says      string // empty: not looked at
	}{
		{agent.HTTPS, agent.TCP, "", every},
		{agent.HTTPS, agent.TCP, agent.TLS, every},
		{agent.TURN, agent.TCP, agent.TLS, every},
		{agent.TURN, agent.TCP, agent.Plain, ""},
		{agent.TURN, agent.TCP, "", ""},
		{agent.TURN, agent.UDP, agent.DTLS, ""},
		{agent.STUN, agent.UDP, agent.Plain, ""},
		{agent.NATS, agent.TCP, "", every},
		{agent.NATS, agent.TCP, agent.WSS, every},
		{agent.NATS, agent.TCP, agent.TLSFirst, every},
		{agent.NATS, agent.TCP, agent.TLS, ""},
		{agent.NATS, agent.TCP, agent.Plain, ""},
		{agent.NATS, agent.TCP, agent.WS, ""},
		{agent.Range, agent.TCP, "", ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintln(tt.service, tt.transport, tt.variant), func(t *testing.T) {
			t.Parallel()
			target := serve(t, func(c net.Conn) { firstBytes(c); abort(c) })
			target.Service, target.Transport, target.Variant = tt.service, tt.transport, tt.variant
			e := web.Hello(trust.Checker{})(t.Context(), target)
			if got := words(e); got != tt.says {
				t.Errorf("hellos: %q, want %q", got, tt.says)
			}
			if unasked := (verdict{agent.NotLooked, agent.Ungraded, agent.Unsupported}); tt.says == "" && of(e) != unasked {
				t.Errorf("got %v, want %v", of(e), unasked)
			}
		})
	}
}

// Without a name there is nothing to leave out.
func TestHelloToAnAddress(t *testing.T) {
	target := serve(t, overTLS(trusttest.Named(t, "Test CA").Leaf("127.0.0.1"), hold))
	target.Host = "127.0.0.1"
	e := web.Hello(trust.Checker{})(t.Context(), target)
	if got, there := e.Values[agent.HelloOther]; there {
		t.Errorf("hello_other_name = %v, want none", got)
	}
	if got, there := e.Values[agent.HelloSmall]; !there {
		t.Errorf("hello_small = %v, want one", got)
	}
}

// What a round has no time for is no silence.
func TestHelloCutShort(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	want := verdict{agent.NotLooked, agent.Ungraded, agent.Cancelled}
	if got := of(web.Hello(trust.Checker{})(ctx, serve(t, hold))); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHelloConforms(t *testing.T) {
	ca := trusttest.Named(t, "Test CA")
	c := trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)}
	probetest.Conform(t, web.Hello(c), site(t, ca.Leaf(host), status(200)), serve(t, hold))
}

// TestHelloThroughFirewalls puts real packet filters between the box and a
// server.
func TestHelloThroughFirewalls(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "nft", "nftables")
	if !lab.Inside(t) {
		return
	}
	lab.IP(t, `
		link set lo up
		netns add router
		netns add server
		link add box0 type veth peer name lan0 netns router
		addr add 10.0.0.2/24 dev box0
		link set box0 up
		-n router addr add 10.0.0.1/24 dev lan0
		-n router link set lan0 up
		-n router link add wan0 type veth peer name eth0 netns server
		-n router addr add 198.18.0.1/24 dev wan0
		-n router link set wan0 up
		-n server addr add 198.18.0.2/24 dev eth0
		-n server link set eth0 up
		-n server route add default via 198.18.0.1
		route add default via 10.0.0.1`)
	ca := trusttest.Named(t, "Test CA")
	target := agent.Target{Host: host, Port: 443, Transport: agent.TCP, Service: agent.HTTPS}.At(netip.MustParseAddr("198.18.0.2"), "")
	lab.In(t, "server", func() {
		l, err := tls.Listen("tcp", "198.18.0.2:443", &tls.Config{Certificates: []tls.Certificate{ca.Leaf(host)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				go func() { defer c.Close(); hold(c) }()
			}
		}()
	})
	lab.In(t, "router", func() { lab.Set(t, "ipv4/ip_forward 1") })
	probe := web.Hello(trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)})
	// A filter by name, as the kernel has it: the bytes of the name at the place
	// where this ClientHello has them, behind 32 bytes of TCP.
	at := bytes.Index(helloTo(t, host), []byte(host))
	name := fmt.Sprintf("@th,%d,64 0x%x", (32+at)*8, host[:8])
	tests := []struct{ name, rule, says string }{
		{"nothing", "", "answered answered answered"},
		{"no large packets", "tcp dport 443 meta length > 1300 drop", "timeout answered answered"},
		{"not this name", "tcp dport 443 " + name + " reject with tcp reset", "rst-after-connect rst-after-connect answered"},
		{"no TLS", "tcp dport 443 tcp flags psh reject with tcp reset", "rst-after-connect rst-after-connect rst-after-connect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lab.In(t, "router", func() {
				lab.NFT(t, "table ip t { chain c { type filter hook forward priority 0; "+tt.rule+"; }; }")
			})
			e := probe(t.Context(), target)
			if got := words(e); got != tt.says {
				t.Errorf("hellos: %q, want %q\n%v", got, tt.says, e)
			}
		})
	}
}

// helloTo is a ClientHello of this Go release to a name.
func helloTo(t *testing.T, name string) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() { _ = tls.Client(near, &tls.Config{ServerName: name}).Handshake() }()
	return firstBytes(far)
}

package webrtc_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// datagrams answers each datagram that comes in, with reply from the port that
// was asked and with elsewhere from another one. It returns where it listens.
func datagrams(t *testing.T, answer func(request []byte, reply, elsewhere func([]byte))) netip.AddrPort {
	t.Helper()
	return datagramsAt(t, freshAddr(), answer)
}

func datagramsAt(t *testing.T, addr netip.Addr, answer func(request []byte, reply, elsewhere func([]byte))) netip.AddrPort {
	t.Helper()
	listen := func() net.PacketConn {
		c, err := net.ListenPacket("udp4", netip.AddrPortFrom(addr, 0).String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	here, other := listen(), listen()
	var serving sync.WaitGroup
	serving.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := here.ReadFrom(b)
			if err != nil {
				return
			}
			by := func(c net.PacketConn) func([]byte) {
				return func(b []byte) { _, _ = c.WriteTo(b, from) }
			}
			answer(b[:n], by(here), by(other))
		}
	})
	t.Cleanup(func() {
		here.Close()
		other.Close()
		serving.Wait()
	})
	return netip.MustParseAddrPort(here.LocalAddr().String())
}

// connections serves each TCP connection that comes in, and closes it then.
func connections(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", netip.AddrPortFrom(freshAddr(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// respond makes the answer of a class to a request, with more attributes.
func respond(request []byte, class stun.MessageClass, more ...stun.Setter) []byte {
	var m stun.Message
	if err := stun.Decode(request, &m); err != nil {
		return nil
	}
	setters := append([]stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(m.Type.Method, class)}, more...)
	return stun.MustBuild(setters...).Raw
}

// right is the answer that both probes hope for.
func right(request []byte) []byte {
	if binary.BigEndian.Uint16(request) == 1 { // Binding
		return respond(request, stun.ClassSuccessResponse, &stun.XORMappedAddress{IP: net.IPv4(192, 0, 2, 7), Port: 4711})
	}
	return refuse(request, 401)
}

func refuse(request []byte, code stun.ErrorCode) []byte {
	return respond(request, stun.ClassErrorResponse, stun.ErrorCodeAttribute{Code: code},
		stun.NewRealm(realm), stun.NewNonce("0123456789abcdef"))
}

// toOther is the right answer to a request that was not made.
func toOther(request []byte) []byte {
	b := right(request)
	b[19]++
	return b
}

func TestHostileDatagrams(t *testing.T) {
	var (
		silent  = brief{Outcome: agent.Silent, Reason: agent.Timeout}
		garbage = brief{Outcome: agent.Tampered, Reason: agent.Garbage}
		foreign = brief{Outcome: agent.Tampered, Reason: agent.ForeignAnswer}
	)
	tests := []struct {
		name       string
		answer     func(request []byte, reply, elsewhere func([]byte))
		stun, turn brief
	}{
		{"nothing", func([]byte, func([]byte), func([]byte)) {}, silent, silent},
		{"garbage", func(_ []byte, reply, _ func([]byte)) { reply([]byte("go away")) }, garbage, garbage},
		{"nothing in it", func(_ []byte, reply, _ func([]byte)) { reply(nil) }, garbage, garbage},
		{"our request sent back", func(r []byte, reply, _ func([]byte)) { reply(r) }, garbage, garbage},
		{"half an answer", func(r []byte, reply, _ func([]byte)) { reply(right(r)[:24]) }, garbage, garbage},
		{"somebody else's answer", func(r []byte, reply, _ func([]byte)) { reply(toOther(r)) }, foreign, foreign},
		{"from another port", func(r []byte, _, elsewhere func([]byte)) { elsewhere(right(r)) }, foreign, foreign},
		{"garbage from another port", func(_ []byte, _, elsewhere func([]byte)) { elsewhere([]byte("ad")) }, silent, silent},
		{"garbage first", func(r []byte, reply, _ func([]byte)) { reply([]byte("x")); reply(right(r)) },
			brief{Outcome: agent.Answered}, proof},
		{"somebody else's first", func(r []byte, reply, elsewhere func([]byte)) {
			elsewhere(right(r))
			reply(toOther(r))
			reply(right(r))
		}, brief{Outcome: agent.Answered}, proof},
		{"server error", func(r []byte, reply, _ func([]byte)) { reply(refuse(r, 500)) },
			brief{Outcome: agent.Answered, Code: 500}, brief{Outcome: agent.Answered, Code: 500}},
		{"401 without a challenge", func(r []byte, reply, _ func([]byte)) {
			reply(respond(r, stun.ClassErrorResponse, stun.ErrorCodeAttribute{Code: 401}))
		}, brief{Outcome: agent.Answered, Code: 401}, brief{Outcome: agent.Answered, Code: 401}},
	}
	var cases sync.WaitGroup // they wait more than they compute
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				target := at(datagrams(t, tt.answer), agent.UDP, agent.Plain)
				var looks sync.WaitGroup
				looks.Go(func() { check(t, webrtc.STUN(t.Context(), target), tt.stun) })
				looks.Go(func() { check(t, webrtc.TURN(newAuthority(t).checker)(t.Context(), target), tt.turn) })
				looks.Wait()
			})
		})
	}
	cases.Wait()
}

func TestMappedAddress(t *testing.T) {
	mapped := &stun.XORMappedAddress{IP: net.IPv4(192, 0, 2, 7), Port: 4711}
	bare := func(port int) stun.Setter { return &stun.MappedAddress{IP: net.IPv4(192, 0, 2, 7), Port: port} }
	tests := []struct {
		name  string
		attrs []stun.Setter
		want  any // alg_rewrite
		addr  any
	}{
		{"both alike", []stun.Setter{mapped, bare(4711)}, false, "192.0.2.7:4711"},
		{"one rewritten", []stun.Setter{mapped, bare(5060)}, true, "192.0.2.7:4711"},
		{"new form only", []stun.Setter{mapped}, nil, "192.0.2.7:4711"},
		{"old form only", []stun.Setter{bare(4711)}, nil, "192.0.2.7:4711"},
		{"none", nil, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := datagrams(t, func(r []byte, reply, _ func([]byte)) { reply(respond(r, stun.ClassSuccessResponse, tt.attrs...)) })
			e := webrtc.STUN(t.Context(), at(addr, agent.UDP, agent.Plain))
			check(t, e, brief{Outcome: agent.Answered}, agent.RTT)
			if got := e.Values[agent.ALGRewrite]; got != tt.want {
				t.Errorf("alg_rewrite = %v, want %v", got, tt.want)
			}
			if got := e.Values[agent.MappedAddr]; got != tt.addr {
				t.Errorf("mapped_addr = %v, want %v", got, tt.addr)
			}
		})
	}
}

// What gets lost is sent again, as the same transaction.
func TestRetransmission(t *testing.T) {
	t.Parallel()
	seen := make(chan []byte, 8)
	addr := datagrams(t, func(r []byte, reply, _ func([]byte)) {
		if seen <- bytes.Clone(r); len(seen) == 3 {
			reply(right(r))
		}
	})
	e := webrtc.TURN(newAuthority(t).checker)(t.Context(), at(addr, agent.UDP, agent.Plain))
	check(t, e, proof, agent.RTT)
	if n, _ := e.Values.Num(agent.Sends); n < 3 {
		t.Errorf("sends_count = %v, want at least 3", n)
	}
	first := <-seen
	for range 2 {
		if r := <-seen; !bytes.Equal(r, first) {
			t.Errorf("sent %x again as %x", first, r)
		}
	}
}

// server answers one Allocate on a connection, in its own way.
func server(answer func(c net.Conn, request []byte)) func(net.Conn) {
	return func(c net.Conn) {
		request := make([]byte, 28)
		if _, err := io.ReadFull(c, request); err == nil {
			answer(c, request)
		}
	}
}

// hold keeps a connection open until the other side has closed it.
func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func say(b []byte) func(net.Conn, []byte) {
	return func(c net.Conn, _ []byte) {
		_, _ = c.Write(b)
		hold(c)
	}
}

func reset(c net.Conn, _ []byte) {
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

func TestHostileConnections(t *testing.T) {
	a := newAuthority(t, host)
	var (
		silent  = brief{Outcome: agent.Silent, Reason: agent.Timeout}
		garbage = brief{Outcome: agent.Tampered, Reason: agent.Garbage}
		foreign = brief{Outcome: agent.Tampered, Reason: agent.ForeignAnswer}
		http    = brief{Outcome: agent.Tampered, Reason: agent.HTTPAnswer}
		alert   = brief{Outcome: agent.Refused, Reason: agent.TLSAlert}
		closed  = brief{Outcome: agent.Refused, Reason: agent.Closed}
		cut     = brief{Outcome: agent.Refused, Reason: agent.ResetAfter}
	)
	page := []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	tests := []struct {
		name   string
		answer func(c net.Conn, request []byte)
		want   brief
	}{
		{"right, in pieces", func(c net.Conn, r []byte) {
			for _, b := range right(r) {
				_, _ = c.Write([]byte{b})
			}
		}, proof},
		{"somebody else's first", func(c net.Conn, r []byte) { _, _ = c.Write(append(toOther(r), right(r)...)) }, proof},
		{"nothing", func(c net.Conn, _ []byte) { hold(c) }, silent},
		{"close", func(net.Conn, []byte) {}, closed},
		{"reset", reset, cut},
		{"HTTP", say(page), http},
		{"HTTP and close", func(c net.Conn, _ []byte) { _, _ = c.Write(page) }, http},
		{"TLS alert", say([]byte{21, 3, 3, 0, 2, 2, 10}), alert},
		{"TLS alert cut short", func(c net.Conn, _ []byte) { _, _ = c.Write([]byte{21, 3, 3, 0, 2}) }, alert},
		{"greeting of another protocol", say([]byte("SSH-2.0-x\r\n")), garbage},
		{"greeting with an innocent beginning", say([]byte("\x00\x00\x00\x05hello")), garbage},
		{"half of it", func(c net.Conn, r []byte) { say(right(r)[:30])(c, r) }, garbage},
		{"half of it and close", func(c net.Conn, r []byte) { _, _ = c.Write(right(r)[:30]) }, garbage},
		{"one byte and close", func(c net.Conn, _ []byte) { _, _ = c.Write([]byte{1}) }, garbage},
		{"length that is a lie", func(c net.Conn, r []byte) {
			b := right(r)
			binary.BigEndian.PutUint16(b[2:], 65532)
			say(b)(c, r)
		}, garbage},
		{"our request sent back", func(c net.Conn, r []byte) { say(r)(c, r) }, garbage},
		{"somebody else's answer", func(c net.Conn, r []byte) { say(toOther(r))(c, r) }, foreign},
		{"somebody else's answers without end", func(c net.Conn, r []byte) {
			for b := toOther(r); ; {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}, foreign},
		{"zeros without end", func(c net.Conn, _ []byte) {
			for b := make([]byte, 64<<10); ; {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}, garbage},
	}
	var cases sync.WaitGroup // they wait more than they compute
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				target := at(connections(t, server(tt.answer)), agent.TCP, agent.Plain)
				check(t, webrtc.TURN(a.checker)(t.Context(), target), tt.want, agent.ConnectTime)

				secured := connections(t, func(c net.Conn) {
					s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{a.cert}})
					defer s.Close()
					server(tt.answer)(s)
				})
				e := webrtc.TURN(a.checker)(t.Context(), at(secured, agent.TCP, agent.TLS))
				check(t, e, tt.want, agent.ConnectTime, agent.TLSTime, agent.TLSKeyHash)
			})
		})
	}
	cases.Wait()
}

func TestNoTLSHandshake(t *testing.T) {
	hello := func(then func(c net.Conn, b []byte)) func(net.Conn) {
		return func(c net.Conn) {
			if _, err := c.Read(make([]byte, 4096)); err == nil {
				then(c, nil)
			}
		}
	}
	tests := []struct {
		name  string
		serve func(net.Conn)
		want  brief
	}{
		{"nothing", hold, brief{Outcome: agent.Silent, Reason: agent.Timeout}},
		{"not TLS", hello(say([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))), brief{Outcome: agent.Tampered, Reason: agent.NotTLS}},
		{"alert", hello(say([]byte{21, 3, 3, 0, 2, 2, 40})), brief{Outcome: agent.Refused, Reason: agent.TLSAlert}},
		{"reset", hello(reset), brief{Outcome: agent.Refused, Reason: agent.ResetAfter}},
		{"close", hello(func(net.Conn, []byte) {}), brief{Outcome: agent.Refused, Reason: agent.Closed}},
	}
	var cases sync.WaitGroup // they wait more than they compute
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				target := at(connections(t, tt.serve), agent.TCP, agent.TLS)
				check(t, webrtc.TURN(newAuthority(t).checker)(t.Context(), target), tt.want, agent.ConnectTime)
			})
		})
	}
	cases.Wait()
}

func TestNoDTLSHandshake(t *testing.T) {
	record := func(kind byte, body ...byte) []byte {
		head := []byte{kind, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(body))}
		return append(head, body...)
	}
	reply := func(b []byte) func([]byte, func([]byte), func([]byte)) {
		return func(_ []byte, reply, _ func([]byte)) { reply(b) }
	}
	tests := []struct {
		name   string
		answer func(request []byte, reply, elsewhere func([]byte))
		want   brief
	}{
		{"nothing", reply(nil), brief{Outcome: agent.Tampered, Reason: agent.NotTLS}},
		{"not DTLS", reply([]byte("go away")), brief{Outcome: agent.Tampered, Reason: agent.NotTLS}},
		{"silence", func([]byte, func([]byte), func([]byte)) {}, brief{Outcome: agent.Silent, Reason: agent.Timeout}},
		{"alert", reply(record(21, 2, 40)), brief{Outcome: agent.Refused, Reason: agent.TLSAlert}},
		{"alert from elsewhere", func(_ []byte, _, elsewhere func([]byte)) { elsewhere(record(21, 2, 40)) },
			brief{Outcome: agent.Silent, Reason: agent.Timeout}},
		{"our hello sent back", func(r []byte, reply, _ func([]byte)) { reply(r) }, brief{Outcome: agent.Silent, Reason: agent.Timeout}},
		{"lying handshake", reply(record(22, 2, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 2, 254, 253)),
			brief{Outcome: agent.Silent, Reason: agent.Timeout}},
	}
	var cases sync.WaitGroup // they wait more than they compute
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				target := at(datagrams(t, tt.answer), agent.UDP, agent.DTLS)
				check(t, webrtc.TURN(newAuthority(t).checker)(t.Context(), target), tt.want)
			})
		})
	}
	cases.Wait()
}

// A port that nobody listens on refuses each kind of datagram alike.
func TestClosedPort(t *testing.T) {
	addr := netip.AddrPortFrom(freshAddr(), 3478)
	for _, v := range []agent.Variant{agent.Plain, agent.DTLS} {
		e := webrtc.TURN(newAuthority(t).checker)(t.Context(), at(addr, agent.UDP, v))
		check(t, e, brief{Outcome: agent.Refused, Reason: agent.PortUnreachable}, agent.ICMPFrom)
		e = webrtc.Allocate(t.Context(), at(addr, agent.UDP, v), webrtc.Credentials{Username: "u", Password: "p"}, newAuthority(t).checker)
		check(t, e, brief{Outcome: agent.Refused, Reason: agent.PortUnreachable}, agent.ICMPFrom)
	}
	e := webrtc.STUN(t.Context(), at(addr, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.Refused, Reason: agent.PortUnreachable}, agent.ICMPFrom)
	e = webrtc.Mapping(nil)(t.Context(), at(addr, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.Refused, Reason: agent.PortUnreachable}, agent.ICMPFrom)
}

// What cannot be asked was not looked at.
func TestUnaskable(t *testing.T) {
	probes := map[string]agent.Probe{
		"stun": webrtc.STUN, "turn": webrtc.TURN(newAuthority(t).checker), "mapping": webrtc.Mapping(nil),
	}
	for name, probe := range probes {
		e := probe(t.Context(), agent.Target{Host: host, Port: 3478, Transport: agent.UDP, Variant: agent.Plain})
		if want := (brief{Outcome: agent.NotLooked, Reason: agent.NoAddress}); briefly(e) != want {
			t.Errorf("%s: %v, want %v", name, briefly(e), want)
		}
	}
	e := webrtc.TURN(newAuthority(t).checker)(t.Context(), at(netip.AddrPortFrom(freshAddr(), 3478), agent.TCP, agent.DTLS))
	check(t, e, brief{Outcome: agent.NotLooked, Reason: agent.Unsupported})
}

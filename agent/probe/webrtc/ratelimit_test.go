package webrtc_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// limited is a TURN server that gives one 401 a second to an address, whoever
// shares it: what coturn's unauthorized-ratelimit does, which came after 4.6.1.
type limited struct {
	conn   *net.UDPConn
	window time.Time
	spent  bool // by somebody else behind the same address, in each second
	given  int  // 401 of this second
}

func startLimited(t *testing.T, spent bool) *limited {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(freshAddr(), 3478)))
	if err != nil {
		t.Fatal(err)
	}
	l := &limited{conn: conn, spent: spent}
	var running sync.WaitGroup
	running.Go(l.serve)
	t.Cleanup(func() { conn.Close(); running.Wait() })
	return l
}

func (l *limited) serve() {
	b := make([]byte, 1500)
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		m := &stun.Message{Raw: append([]byte(nil), b[:n]...)}
		if m.Decode() != nil {
			continue
		}
		if reply := l.reply(m, from); reply != nil {
			_, _ = l.conn.WriteToUDPAddrPort(reply.Raw, from)
		}
	}
}

func (l *limited) reply(m *stun.Message, from netip.AddrPort) *stun.Message {
	id := stun.NewTransactionIDSetter(m.TransactionID)
	if m.Type.Method == stun.MethodBinding {
		addr := &stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())}
		return stun.MustBuild(id, stun.BindingSuccess, addr)
	}
	if now := time.Now(); now.Sub(l.window) >= time.Second {
		l.window, l.given = now, 0
	}
	if l.given++; l.given > 1 || l.spent {
		return nil
	}
	return stun.MustBuild(id, stun.NewType(m.Type.Method, stun.ClassErrorResponse),
		stun.CodeUnauthorized, stun.NewRealm(realm), stun.NewNonce("nonce"))
}

// Two boxes behind one address share what the server gives: both find it, and
// what was lost to the other they ask for again.
func TestTwoBoxesBehindOneAddress(t *testing.T) {
	t.Parallel()
	l := startLimited(t, false)
	target := at(l.conn.LocalAddr().(*net.UDPAddr).AddrPort(), agent.UDP, agent.Plain)
	var boxes sync.WaitGroup
	for range 2 {
		boxes.Go(func() { check(t, webrtc.TURN(newAuthority(t).checker)(t.Context(), target), proof) })
	}
	boxes.Wait()
}

// Where others take it all, the way is open for all that.
func TestNoChallengeLeft(t *testing.T) {
	t.Parallel()
	l := startLimited(t, true)
	target := at(l.conn.LocalAddr().(*net.UDPAddr).AddrPort(), agent.UDP, agent.Plain)
	e := webrtc.TURN(newAuthority(t).checker)(t.Context(), target)
	check(t, e, brief{Outcome: agent.Answered}, agent.Detail)
	if got := e.Values[agent.Sends]; got != 5.0 {
		t.Errorf("sends_count = %v, want that of the Allocate, 5", got)
	}
}

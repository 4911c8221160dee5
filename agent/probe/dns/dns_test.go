package dns_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

const (
	host = "video.example.org"
	root = host + "."
)

// good is a zone that a video service could have.
var good = []string{root + " A 5.75.182.248", root + " A 128.140.77.77", root + " AAAA 2a01:4f8::1"}

const goodAddrs = "5.75.182.248 128.140.77.77 2a01:4f8::1"

func summary(e agent.Evidence) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", e.Outcome, e.Reason))
}

// garble answers a question with bytes made from the right answer.
func garble(change func(b []byte) []byte) func(query) []packet {
	return func(q query) []packet {
		return []packet{{data: change(q.reply(dnsmessage.RCodeSuccess, root+" A 5.75.182.248"))}}
	}
}

func wrongID(b []byte) []byte { b[0] ^= 0x55; return b }

// loop is an answer whose record is owned by a name that points to itself.
func loop(q query) []packet {
	b := q.reply(dnsmessage.RCodeSuccess)
	at := byte(len(b))
	b[7] = 1 // one answer
	return []packet{{data: append(b, 0xc0, at, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 5, 75, 182, 248)}}
}

// filler is so many records that an answer is as long as it can be.
func filler(n int) []string {
	records := make([]string, n)
	for i := range records {
		records[i] = root + " TXT " + strings.Repeat("x", 200)
	}
	return records
}

// cut answers UDP with TC and TCP with everything.
func cut(full func(query) []packet) func(query) []packet {
	return func(q query) []packet {
		if q.tcp {
			return full(q)
		}
		m := q.message(dnsmessage.RCodeSuccess)
		m.Truncated = true
		return []packet{{data: mustPack(m)}}
	}
}

func chain(links int) []string {
	var records []string
	name := root
	for i := range links {
		next := fmt.Sprintf("c%d.example.net.", i)
		records = append(records, name+" CNAME "+next)
		name = next
	}
	return append(records, name+" A 5.75.182.248")
}

// atOnce makes many looks side by side, for most of their time is waiting.
func atOnce(n int, look func(i int) agent.Evidence) []agent.Evidence {
	seen := make([]agent.Evidence, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { seen[i] = look(i) })
	}
	all.Wait()
	return seen
}

func TestOneServer(t *testing.T) {
	t.Parallel()
	pin := netip.MustParseAddr("10.0.0.5")
	tests := []struct {
		name   string
		behave func(query) []packet
		pins   []netip.Addr
		tcp    bool
		want   string
		values map[agent.Key]any // nil: must be absent
	}{
		{name: "both families", behave: zone(good...), want: "answered",
			values: map[agent.Key]any{agent.Addrs: goodAddrs, agent.RCode: "noerror", agent.Pins: nil, agent.Sends: 1.0}},
		{name: "only IPv4", behave: zone(good[:2]...), want: "answered",
			values: map[agent.Key]any{agent.Addrs: "5.75.182.248 128.140.77.77", agent.RCode: "noerror"}},
		{name: "only IPv6", behave: zone(good[2]), want: "answered",
			values: map[agent.Key]any{agent.Addrs: "2a01:4f8::1", agent.RCode: "noerror"}},
		{name: "the list turned around", behave: zone(good[1], good[2], good[0]), want: "answered",
			values: map[agent.Key]any{agent.Addrs: goodAddrs}},
		{name: "named twice", behave: zone(good[0], good[0]), want: "answered",
			values: map[agent.Key]any{agent.Addrs: "5.75.182.248"}},
		{name: "more than eight", behave: func(q query) []packet {
			if q.q.Type != dnsmessage.TypeA {
				return zone(good[2])(q)
			}
			var records []string
			for i := range 12 {
				records = append(records, fmt.Sprintf("%s A 5.0.0.%d", root, i+1))
			}
			return zone(records...)(q)
		}, want: "answered",
			values: map[agent.Key]any{agent.Addrs: "5.0.0.1 5.0.0.2 5.0.0.3 5.0.0.4 5.0.0.5 5.0.0.6 5.0.0.7 5.0.0.8"}},
		{name: "an alias", behave: zone(chain(1)...), want: "answered", values: map[agent.Key]any{agent.Addrs: "5.75.182.248"}},
		{name: "eight aliases", behave: zone(chain(8)...), want: "answered", values: map[agent.Key]any{agent.Addrs: "5.75.182.248"}},
		{name: "nine aliases", behave: zone(chain(9)...), want: "refused no-data", values: map[agent.Key]any{agent.Addrs: nil}},
		{name: "aliases in a circle", behave: zone(root+" CNAME b.example.net.", "b.example.net. CNAME "+root), want: "refused no-data"},
		{name: "an address of somebody else", behave: func(q query) []packet {
			return []packet{{data: q.reply(dnsmessage.RCodeSuccess, "other.example.net. A 5.75.182.248")}}
		}, want: "refused no-data"},
		{name: "question in capitals", behave: func(q query) []packet {
			q.q.Name = dnsmessage.MustNewName(strings.ToUpper(root))
			return zone(good...)(q)
		}, want: "answered", values: map[agent.Key]any{agent.Addrs: goodAddrs}},

		{name: "no such name", behave: zone(), want: "refused nxdomain", values: map[agent.Key]any{agent.RCode: "nxdomain", agent.Addrs: nil}},
		{name: "no address", behave: zone(root + " TXT x"), want: "refused no-data", values: map[agent.Key]any{agent.RCode: "noerror"}},
		{name: "server failure", behave: always(dnsmessage.RCodeServerFailure), want: "refused servfail", values: map[agent.Key]any{agent.RCode: "servfail"}},
		{name: "refused", behave: always(dnsmessage.RCodeRefused), want: "refused dns-refused", values: map[agent.Key]any{agent.RCode: "refused"}},
		{name: "a code of the future", behave: always(11), want: "refused other-error", values: map[agent.Key]any{agent.RCode: "rcode-11"}},

		{name: "sinkhole", behave: zone(root+" A 0.0.0.0", root+" AAAA ::"), want: "tampered bogon",
			values: map[agent.Key]any{agent.Addrs: "0.0.0.0 ::", agent.RCode: "noerror"}},
		{name: "private", behave: zone(root + " A 192.168.178.1"), want: "tampered bogon"},
		{name: "loopback", behave: zone(root + " A 127.0.0.1"), want: "tampered bogon"},
		{name: "link-local", behave: zone(root+" A 169.254.1.1", root+" AAAA fe80::1"), want: "tampered bogon"},
		{name: "shared by carriers", behave: zone(root + " A 100.64.0.1"), want: "tampered bogon"},
		{name: "documentation", behave: zone(root+" A 192.0.2.1", root+" A 198.51.100.1", root+" A 203.0.113.1", root+" AAAA 2001:db8::1"), want: "tampered bogon"},
		{name: "unique local", behave: zone(root + " AAAA fd00::1"), want: "tampered bogon"},
		{name: "IPv4 in IPv6 clothes", behave: zone(root + " AAAA ::ffff:10.0.0.1"), want: "tampered bogon", values: map[agent.Key]any{agent.Addrs: "10.0.0.1"}},
		{name: "private, but published", behave: zone(root + " A 10.0.0.5"), pins: []netip.Addr{pin}, want: "answered",
			values: map[agent.Key]any{agent.Addrs: "10.0.0.5", agent.Pins: "10.0.0.5"}},
		{name: "private beside public", behave: zone(root+" A 10.0.0.5", good[0]), want: "answered"},

		{name: "AAAA fails", behave: func(q query) []packet {
			if q.q.Type == dnsmessage.TypeAAAA {
				return always(dnsmessage.RCodeServerFailure)(q)
			}
			return zone(good...)(q)
		}, want: "answered", values: map[agent.Key]any{agent.Addrs: "5.75.182.248 128.140.77.77", agent.RCode: "noerror"}},
		{name: "AAAA is dropped", behave: only(dnsmessage.TypeA, zone(good...)), want: "answered",
			values: map[agent.Key]any{agent.Addrs: "5.75.182.248 128.140.77.77"}},
		{name: "A is dropped", behave: only(dnsmessage.TypeAAAA, zone(good...)), want: "answered",
			values: map[agent.Key]any{agent.Addrs: "2a01:4f8::1"}},
		{name: "A is dropped and there is no AAAA", behave: only(dnsmessage.TypeAAAA, zone(good[0])), want: "silent timeout",
			values: map[agent.Key]any{agent.RCode: nil, agent.Sends: 3.0}},

		{name: "dead", behave: nil, want: "silent timeout", values: map[agent.Key]any{agent.RCode: nil, agent.RTT: nil, agent.Sends: 3.0}},
		{name: "wrong id", behave: garble(wrongID), want: "tampered foreign-answer"},
		{name: "a lie first", behave: func(q query) []packet {
			lie := q.reply(dnsmessage.RCodeSuccess, root+" A 6.6.6.6")
			return append([]packet{{data: wrongID(lie)}}, zone(good...)(q)...)
		}, want: "answered", values: map[agent.Key]any{agent.Addrs: goodAddrs}},
		{name: "another question answered", behave: func(q query) []packet {
			q.q.Name = dnsmessage.MustNewName("other.example.org.")
			return []packet{{data: q.reply(dnsmessage.RCodeSuccess, "other.example.org. A 5.75.182.248")}}
		}, want: "tampered foreign-answer"},
		{name: "success without the question", behave: func(q query) []packet {
			m := q.message(dnsmessage.RCodeSuccess, good[0])
			m.Questions = nil
			return []packet{{data: mustPack(m)}}
		}, want: "tampered foreign-answer"},
		{name: "from another port", behave: func(q query) []packet {
			return []packet{{data: q.reply(dnsmessage.RCodeSuccess, good[0]), stray: true}}
		}, want: "silent timeout"},
		{name: "our question sent back", behave: garble(func(b []byte) []byte { b[2] &^= 0x80; return b }), want: "tampered bad-answer"},
		{name: "garbage", behave: garble(func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }), want: "tampered bad-answer"},
		{name: "cut in the middle of a record", behave: garble(func(b []byte) []byte { return b[:len(b)-3] }), want: "tampered bad-answer"},
		{name: "name that points to itself", behave: loop, want: "tampered bad-answer"},
		{name: "too long for a datagram", behave: garble(func(b []byte) []byte { return append(b, make([]byte, 60000)...) }), want: "tampered too-much"},

		{name: "cut, whole by TCP", behave: cut(zone(good...)), tcp: true, want: "answered", values: map[agent.Key]any{agent.Addrs: goodAddrs}},
		{name: "as long as TCP can carry", behave: cut(func(q query) []packet {
			return []packet{{data: q.reply(dnsmessage.RCodeSuccess, append(filler(250), good[0])...)}}
		}), tcp: true, want: "answered", values: map[agent.Key]any{agent.Addrs: "5.75.182.248"}},
		{name: "cut, no TCP", behave: cut(zone(good...)), want: "refused rst"},
		{name: "cut, garbage by TCP", behave: cut(garble(func([]byte) []byte { return bytes.Repeat([]byte{0xff}, 65535) })), tcp: true, want: "tampered bad-answer"},
		{name: "cut, wrong id by TCP", behave: cut(garble(wrongID)), tcp: true, want: "tampered foreign-answer"},
		{name: "cut, TCP closed", behave: cut(func(query) []packet { return nil }), tcp: true, want: "refused closed"},

		{name: "does not know EDNS0", behave: func(q query) []packet {
			if q.edns {
				m := q.message(dnsmessage.RCodeFormatError)
				m.Questions = nil
				return []packet{{data: mustPack(m)}}
			}
			return zone(good...)(q)
		}, want: "answered", values: map[agent.Key]any{agent.Addrs: goodAddrs, agent.Sends: 2.0}},
		{name: "drops EDNS0", behave: func(q query) []packet {
			if q.edns {
				return nil
			}
			return zone(good...)(q)
		}, want: "answered", values: map[agent.Key]any{agent.Addrs: goodAddrs, agent.Sends: 2.0}},
	}
	servers := make([]*server, len(tests))
	for i, tt := range tests {
		servers[i] = serve(t, tt.tcp, tt.behave)
	}
	seen := atOnce(len(tests), func(i int) agent.Evidence {
		target := agent.Target{Host: host, Port: 443, Transport: agent.TCP, Pins: tests[i].pins}
		return dns.Probe([]netip.AddrPort{servers[i].addr})(t.Context(), target)
	})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, s := seen[i], servers[i]
			if got := summary(e); got != tt.want {
				t.Fatalf("outcome = %q, want %q (values %v)", got, tt.want, e.Values)
			}
			if got := e.Values.Text(agent.Resolver); got != s.addr.String() {
				t.Errorf("resolver = %q, want %q", got, s.addr)
			}
			for k, v := range tt.values {
				if diff := cmp.Diff(v, e.Values[k]); diff != "" {
					t.Errorf("value %s (-want +got):\n%s", k, diff)
				}
			}
			if rtt, seen := e.Values.Num(agent.RTT); e.Values.Text(agent.RCode) != "" && (!seen || rtt <= 0) {
				t.Errorf("rtt_ms = %v, want one with an answer", rtt)
			}
		})
	}
}

func TestLateAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, false, late(800*time.Millisecond, zone(good...)))
	e := dns.Probe([]netip.AddrPort{s.addr})(t.Context(), agent.Target{Host: host})
	if got := summary(e); got != "answered" {
		t.Fatalf("outcome = %q, want answered", got)
	}
	if rtt, _ := e.Values.Num(agent.RTT); rtt < 800 {
		t.Errorf("rtt_ms = %v, want at least 800", rtt)
	}
}

// An answer that is later than the second question still tells its own round
// trip, because the two have different ids.
func TestVeryLateAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, false, late(1500*time.Millisecond, zone(good...)))
	e := dns.Probe([]netip.AddrPort{s.addr})(t.Context(), agent.Target{Host: host})
	if got := summary(e); got != "answered" {
		t.Fatalf("outcome = %q, want answered", got)
	}
	if rtt, _ := e.Values.Num(agent.RTT); rtt < 1500 {
		t.Errorf("rtt_ms = %v, want at least 1500", rtt)
	}
}

// closedPort is a loopback address where nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	s := serve(t, false, nil)
	s.udp.Close()
	return s.addr
}

func TestSeveralServers(t *testing.T) {
	t.Parallel()
	elsewhere := zone(root + " A 9.9.9.9")
	tests := []struct {
		name    string
		servers []func(query) []packet
		closed  int // index of a server that is not there; -1: none
		want    string
		from    int // index of the server that counted; -1: all are named
		addrs   string
	}{
		{"first wins", []func(query) []packet{zone(good...), elsewhere}, -1, "answered", 0, goodAddrs},
		{"first dead", []func(query) []packet{nil, elsewhere}, -1, "answered", 1, "9.9.9.9"},
		{"two dead", []func(query) []packet{nil, nil, elsewhere}, -1, "answered", 2, "9.9.9.9"},
		{"all dead", []func(query) []packet{nil, nil, nil}, -1, "silent timeout", -1, ""},
		{"fourth is for nobody", []func(query) []packet{nil, nil, nil, elsewhere}, -1, "silent timeout", -1, ""},
		{"first not there", []func(query) []packet{nil, elsewhere}, 0, "answered", 1, "9.9.9.9"},
		{"only one, not there", []func(query) []packet{nil}, 0, "refused icmp-port-unreachable", 0, ""},
		{"one not there, one dead", []func(query) []packet{nil, nil}, 0, "refused icmp-port-unreachable", 0, ""},
		{"name unknown to the first", []func(query) []packet{zone(), elsewhere}, -1, "refused nxdomain", 0, ""},
		{"first fails", []func(query) []packet{always(dnsmessage.RCodeServerFailure), elsewhere}, -1, "answered", 1, "9.9.9.9"},
		{"first fails, second dead", []func(query) []packet{always(dnsmessage.RCodeServerFailure), nil}, -1, "refused servfail", 0, ""},
		{"first dead, second refuses", []func(query) []packet{nil, always(dnsmessage.RCodeRefused)}, -1, "refused dns-refused", 1, ""},
		{"first slow, second at once", []func(query) []packet{late(1700*time.Millisecond, zone(good...)), elsewhere}, -1, "answered", 1, "9.9.9.9"},
		{"first talks rubbish", []func(query) []packet{garble(func([]byte) []byte { return []byte("?") }), elsewhere}, -1, "answered", 1, "9.9.9.9"},
	}
	all := make([][]netip.AddrPort, len(tests))
	for i, tt := range tests {
		for j, behave := range tt.servers {
			if j == tt.closed {
				all[i] = append(all[i], closedPort(t))
			} else {
				all[i] = append(all[i], serve(t, false, behave).addr)
			}
		}
	}
	seen := atOnce(len(tests), func(i int) agent.Evidence {
		return dns.Probe(all[i])(t.Context(), agent.Target{Host: host})
	})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, servers := seen[i], all[i]
			if got := summary(e); got != tt.want {
				t.Fatalf("outcome = %q, want %q (values %v)", got, tt.want, e.Values)
			}
			if got := e.Values.Text(agent.Addrs); got != tt.addrs {
				t.Errorf("addrs = %q, want %q", got, tt.addrs)
			}
			var want []string
			for i, s := range servers[:min(len(servers), 3)] {
				if tt.from == i || tt.from == -1 {
					want = append(want, s.String())
				}
			}
			if got := e.Values.Text(agent.Resolver); got != strings.Join(want, " ") {
				t.Errorf("resolver = %q, want %q", got, want)
			}
		})
	}
}

func TestICMPNamesItsSender(t *testing.T) {
	t.Parallel()
	to := closedPort(t)
	e := dns.Probe([]netip.AddrPort{to})(t.Context(), agent.Target{Host: host})
	if got := e.Values.Text(agent.ICMPFrom); got != to.Addr().String() {
		t.Errorf("icmp_from = %q, want %q", got, to.Addr())
	}
}

// A server that fails is not waited for: if the next were asked a second later,
// its answer would come too late.
func TestFailureHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	first := serve(t, false, always(dnsmessage.RCodeServerFailure))
	second := serve(t, false, late(2300*time.Millisecond, zone(good...)))
	e := dns.Probe([]netip.AddrPort{first.addr, second.addr})(t.Context(), agent.Target{Host: host})
	if got := summary(e); got != "answered" {
		t.Fatalf("outcome = %q, want answered", got)
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	s := serve(t, false, zone(good...))
	e := dns.Probe([]netip.AddrPort{s.addr})(t.Context(), agent.Target{Host: host + "."})
	if got := summary(e); got != "answered" {
		t.Fatalf("outcome = %q, want answered", got)
	}
	got := s.questions()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"A " + root, "AAAA " + root}, got); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
}

func TestUncached(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		behave func(query) []packet
		want   string
	}{
		{"no such name", zone(good...), "answered"},
		{"no address", func(q query) []packet { return []packet{{data: q.reply(dnsmessage.RCodeSuccess)}} }, "answered"},
		{"an address for everything", func(q query) []packet {
			return []packet{{data: q.reply(dnsmessage.RCodeSuccess, q.q.Name.String()+" A 10.0.0.1")}}
		}, "answered"},
		{"server failure", always(dnsmessage.RCodeServerFailure), "refused servfail"},
		{"refused", always(dnsmessage.RCodeRefused), "refused dns-refused"},
		{"dead", nil, "silent timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, false, tt.behave)
			p := dns.Probe([]netip.AddrPort{s.addr})
			target := agent.Target{Host: host, Variant: agent.Uncached}
			for _, e := range atOnce(2, func(int) agent.Evidence { return p(t.Context(), target) }) {
				if got := summary(e); got != tt.want {
					t.Fatalf("outcome = %q, want %q", got, tt.want)
				}
			}
			asked := s.questions()
			slices.Sort(asked)
			asked = slices.Compact(asked)
			if len(asked) != 2 {
				t.Fatalf("asked %q, want two different names", asked)
			}
			for _, q := range asked {
				if !strings.HasPrefix(q, "A sp-") || len(q) != len("A sp-")+16+len(".")+len(root) || !strings.HasSuffix(q, "."+root) {
					t.Errorf("asked %q, want A of sp-, 16 digits and the host", q)
				}
			}
		})
	}
}

func TestWithoutAsking(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60) + "."
	pins := []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("::1")}
	tests := []struct {
		name    string
		target  agent.Target
		servers int
		want    string
		addrs   string
		pins    string
	}{
		{name: "IPv4 address", target: agent.Target{Host: "127.0.0.9"}, servers: 1, want: "answered", addrs: "127.0.0.9"},
		{name: "IPv6 address", target: agent.Target{Host: "2a01:4f8::1", Pins: pins}, servers: 1, want: "answered", addrs: "2a01:4f8::1", pins: "127.0.0.9 ::1"},
		{name: "address below which nothing is", target: agent.Target{Host: "127.0.0.9", Variant: agent.Uncached}, servers: 1, want: "not-looked unsupported"},
		{name: "no server", target: agent.Target{Host: host}, want: "not-looked no-resolver"},
		{name: "no name", target: agent.Target{}, servers: 1, want: "not-looked other-error"},
		{name: "empty label", target: agent.Target{Host: "video..example"}, servers: 1, want: "not-looked other-error"},
		{name: "long label", target: agent.Target{Host: strings.Repeat("a", 64) + ".example"}, servers: 1, want: "not-looked other-error"},
		{name: "long name", target: agent.Target{Host: strings.Repeat(long, 4) + "exampl.example"}, servers: 1, want: "not-looked other-error"},
		{name: "too long with the random label", target: agent.Target{Host: strings.Repeat(long, 3) + strings.Repeat("b", 60), Variant: agent.Uncached}, servers: 1, want: "not-looked other-error"},
		{name: "letters beyond ASCII", target: agent.Target{Host: "praxis-münchen.example"}, servers: 1, want: "not-looked other-error"},
		{name: "blank", target: agent.Target{Host: "video example"}, servers: 1, want: "not-looked other-error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, false, zone(good...))
			servers := []netip.AddrPort{s.addr}[:tt.servers]
			e := dns.Probe(servers)(t.Context(), tt.target)
			if got := summary(e); got != tt.want {
				t.Errorf("outcome = %q, want %q", got, tt.want)
			}
			if got := e.Values.Text(agent.Addrs); got != tt.addrs {
				t.Errorf("addrs = %q, want %q", got, tt.addrs)
			}
			if got := e.Values.Text(agent.Pins); got != tt.pins {
				t.Errorf("pins = %q, want %q", got, tt.pins)
			}
			if asked := s.questions(); len(asked) > 0 {
				t.Errorf("asked %q, want no question", asked)
			}
		})
	}
}

func TestIPv6Server(t *testing.T) {
	t.Parallel()
	// Nobody listens there; that it says so shows that the question went out.
	e := dns.Probe([]netip.AddrPort{netip.MustParseAddrPort("[::1]:9")})(t.Context(), agent.Target{Host: host})
	if got := summary(e); got != "refused icmp-port-unreachable" {
		t.Errorf("outcome = %q, want refused icmp-port-unreachable", got)
	}
}

func TestDeadlineOfTheRound(t *testing.T) {
	t.Parallel()
	s := serve(t, false, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	e := dns.Probe([]netip.AddrPort{s.addr})(ctx, agent.Target{Host: host})
	if got := summary(e); got != "not-looked cancelled" {
		t.Errorf("outcome = %q, want not-looked cancelled", got)
	}
}

func TestAddrs(t *testing.T) {
	t.Parallel()
	pin := netip.MustParseAddr("10.0.0.5")
	many := strings.Repeat("5.0.0.1 5.0.0.2 5.0.0.3 5.0.0.4 5.0.0.5 5.0.0.6 5.0.0.7 5.0.0.8 5.0.0.9 ", 1000)
	tests := []struct {
		name    string
		outcome agent.Outcome
		target  agent.Target
		value   any
		want    []string
	}{
		{"as the probe writes it", agent.Answered, agent.Target{}, goodAddrs, strings.Fields(goodAddrs)},
		{"nothing", agent.Answered, agent.Target{}, nil, nil},
		{"not answered", agent.Tampered, agent.Target{}, goodAddrs, nil},
		{"of another kind", agent.Answered, agent.Target{}, 5.0, nil},
		{"rubbish between", agent.Answered, agent.Target{}, "x 5.0.0.1 5.0.0 \x00 fe80::1%eth0 5.0.0.1 5.0.0.2/24", []string{"5.0.0.1"}},
		{"neighbours left out", agent.Answered, agent.Target{}, "192.168.1.1 5.0.0.1 127.0.0.1 ::ffff:10.0.0.5", []string{"5.0.0.1"}},
		{"unless published", agent.Answered, agent.Target{Pins: []netip.Addr{pin}}, "192.168.1.1 10.0.0.5", []string{"10.0.0.5"}},
		{"unless it is the host", agent.Answered, agent.Target{Host: "127.0.0.1"}, "127.0.0.1", []string{"127.0.0.1"}},
		{"endless", agent.Answered, agent.Target{}, many, strings.Fields(many)[:8]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := agent.See(agent.ProbeDNS, tt.target, tt.outcome, "")
			if tt.value != nil {
				e = e.With(agent.Addrs, tt.value)
			}
			var want []netip.Addr
			for _, w := range tt.want {
				want = append(want, netip.MustParseAddr(w))
			}
			if diff := cmp.Diff(want, dns.Addrs(e), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("Addrs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConform(t *testing.T) {
	s := serve(t, false, func(q query) []packet {
		if q.q.Name.String() != root {
			return nil
		}
		return zone(good...)(q)
	})
	probetest.Conform(t, dns.Probe([]netip.AddrPort{s.addr}),
		agent.Target{Host: host, Port: 443, Transport: agent.TCP},
		agent.Target{Host: "silent.example.org", Port: 443, Transport: agent.TCP})
}

// Filters that drop AAAA must not make every look as long as it can be (3 s).
func TestDroppedAAAAIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := serve(t, false, only(dnsmessage.TypeA, zone(good...)))
	start := time.Now()
	e := dns.Probe([]netip.AddrPort{s.addr})(t.Context(), agent.Target{Host: host})
	if got := summary(e); got != "answered" {
		t.Fatalf("outcome = %q, want answered", got)
	}
	if took := time.Since(start); took > 2500*time.Millisecond {
		t.Errorf("took %s, want about 0.5 s", took)
	}
}

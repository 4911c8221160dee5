package dns_test

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns"
)

// losing answers questions for A but those whose number, from 0, is lost.
func losing(lost func(n int64) bool, behave func(query) []packet) func(query) []packet {
	var asked atomic.Int64
	return func(q query) []packet {
		if q.q.Type == dnsmessage.TypeA && lost(asked.Add(1)-1) {
			return nil
		}
		return behave(q)
	}
}

func TestWhoWasNoHelp(t *testing.T) {
	t.Parallel()
	first := func(n int64) bool { return n == 0 }
	fourth := func(n int64) bool { return n%4 == 0 }
	fine := zone(good...)
	tests := []struct {
		name    string
		servers []func(query) []packet
		want    string
		from    int // index of the server that answered
		bad     int // index of the one that was no help; -1: none
		counts  string
	}{
		{"all is well", []func(query) []packet{fine, fine}, "answered", 0, -1, ""},
		{"slow", []func(query) []packet{late(800*time.Millisecond, fine)}, "answered", 0, -1, ""},
		{"too slow to count", []func(query) []packet{late(1700*time.Millisecond, fine)}, "answered", 0, 0, ""},
		{"one lost", []func(query) []packet{losing(first, fine)}, "answered", 0, 0, "8 of 8"},
		{"AAAA lost", []func(query) []packet{only(dnsmessage.TypeA, fine)}, "answered", 0, 0, "8 of 8"},
		{"some lost", []func(query) []packet{losing(fourth, fine)}, "answered", 0, 0, "6 of 8"},
		{"some lost, slow", []func(query) []packet{losing(fourth, late(600*time.Millisecond, fine))}, "answered", 0, 0, "6 of 8"},
		{"some lost, and no such name", []func(query) []packet{losing(fourth, zone())}, "refused nxdomain", 0, 0, "6 of 8"},
		{"gone, another is there", []func(query) []packet{nil, fine}, "answered", 1, 0, "0 of 8"},
		{"two gone", []func(query) []packet{nil, nil, fine}, "answered", 2, 0, "0 of 8"},
		{"fails, another does not", []func(query) []packet{always(dnsmessage.RCodeServerFailure), fine}, "answered", 1, 0, ""},
		{"all gone", []func(query) []packet{nil, nil}, "silent timeout", -1, -1, ""},
		{"fails", []func(query) []packet{always(dnsmessage.RCodeServerFailure)}, "refused servfail", 0, -1, ""},
		{"knows no EDNS0", []func(query) []packet{func(q query) []packet {
			if q.edns {
				return always(dnsmessage.RCodeFormatError)(q)
			}
			return fine(q)
		}}, "answered", 0, -1, ""},
	}
	all := make([][]netip.AddrPort, len(tests))
	for i, tt := range tests {
		for _, behave := range tt.servers {
			all[i] = append(all[i], serve(t, false, behave).addr)
		}
	}
	seen := atOnce(len(tests), func(i int) agent.Evidence {
		return dns.Probe(all[i])(t.Context(), agent.Target{Host: host})
	})
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := seen[i]
			if got := summary(e); got != tt.want {
				t.Errorf("outcome = %q, want %q", got, tt.want)
			}
			if got := e.Values.Text(agent.Resolver); tt.from >= 0 && got != all[i][tt.from].String() {
				t.Errorf("resolver = %q, want %q", got, all[i][tt.from])
			}
			want := ""
			if tt.bad >= 0 {
				want = all[i][tt.bad].String()
			}
			if got := e.Values.Text(agent.BadResolver); got != want {
				t.Errorf("bad_resolver = %q, want %q", got, want)
			}
			if got := counts(e); got != tt.counts {
				t.Errorf("answered %q, want %q", got, tt.counts)
			}
		})
	}
}

// counts is how many questions of the series were answered; empty: none was
// asked.
func counts(e agent.Evidence) string {
	sent, ok := e.Values.Num(agent.Sent)
	received, too := e.Values.Num(agent.Received)
	if !ok && !too {
		return ""
	}
	return fmt.Sprintf("%v of %v", received, sent)
}

// TestLossyNetwork drops every third answer of a real forwarder.
func TestLossyNetwork(t *testing.T) {
	lab.Program(t, "nft", "nftables")
	lab.Program(t, "dnsmasq", "dnsmasq-base")
	if !lab.Inside(t) {
		return
	}
	lab.IP(t, "link set lo up")
	addr := dnsmasq(t, "--host-record="+host+",5.75.182.248")
	lab.NFT(t, fmt.Sprintf("table ip t { chain c { type filter hook output priority 0; udp sport %d numgen inc mod 3 0 drop; }; }", addr.Port()))
	lost := 0.0
	for range 6 {
		e := dns.Probe([]netip.AddrPort{addr})(t.Context(), agent.Target{Host: host})
		if got := summary(e); got != "answered" {
			t.Errorf("outcome = %q, want answered", got)
		}
		sent, _ := e.Values.Num(agent.Sent)
		received, _ := e.Values.Num(agent.Received)
		lost += sent - received
	}
	if lost < 2 {
		t.Errorf("%v answers lost, want a series that shows it", lost)
	}
}

package history

import (
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Whatever a report says where, a shortcut shortens what package fleet does.
func FuzzTells(f *testing.F) {
	for _, s := range []string{"198.51.100.7", "198.51.100.7/32", "198.51.100.0/24", "198.51.100.9/24", "10.1.2.3", "10.1.2.3/24", "192.168.0.1:99", "fe80::1%eth0", "fd00::1",
		"2001:db8::1", "2001:db8::/48", "::ffff:10.0.0.1", "* 10.0.0.1 198.51.100.7", "fritz.box", "", " ", "127.0.0.1", "fe80::1% 0000", "::ffff:198.51.100.0/120"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var all []agent.Report
		for _, k := range []agent.Key{agent.MappedAddr, agent.LocalAddr, agent.Gateway, agent.ICMPFrom, agent.Resolver, agent.BadResolver, agent.Hops,
			agent.LastHopFrom, agent.ClientAddr, agent.Realm, agent.NATSVersion} {
			all = append(all, agent.Report{Evidence: []agent.Evidence{{Values: agent.Values{agent.RTT: 1.5, k: s}}}})
		}
		for _, arg := range []string{"gateway", "sender", "resolver", "host"} {
			all = append(all, agent.Report{Findings: []agent.Finding{{Args: map[string]string{arg: s}}}})
		}
		for _, r := range all {
			if got, want := tells(r), shortened(r, fleet.Redact(r)); got != want {
				t.Errorf("%s in %+v: %v, want %v", strings.ToValidUTF8(s, "?"), r, got, want)
			}
		}
	})
}

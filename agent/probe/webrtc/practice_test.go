package webrtc_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// The way in tests that break it: box - gate - line - server.
var (
	gate4            = netip.MustParseAddr("10.0.1.2")
	server4, server6 = netip.MustParseAddr("10.0.3.2"), netip.MustParseAddr("fd00:3::2")
)

// inPractice reports whether this is a run of the calling test inside, with that
// way made and coturn at its end.
func inPractice(t *testing.T, flags ...string) bool {
	t.Helper()
	for program, debian := range map[string]string{"ip": "iproute2", "nft": "nftables", "turnserver": "coturn"} {
		lab.Program(t, program, debian)
	}
	t.Parallel() // each has its own network, and mostly waits
	if !lab.Inside(t) {
		return false
	}
	lab.Chain(t, "gate", "line", "server")
	lab.In(t, "server", func() {
		coturnAt(t, []netip.Addr{server4, server6}, append([]string{
			"--lt-cred-mech", "--realm", realm, "--user", username + ":" + password, "--no-tls", "--no-dtls"}, flags...)...)
	})
	return true
}

// rules replaces a network's firewall by one chain.
func rules(t *testing.T, network, hook string, rules ...string) {
	t.Helper()
	lab.In(t, network, func() {
		lab.NFT(t, "table inet t {\nchain c {\ntype filter hook "+hook+" priority 0;\n"+strings.Join(rules, "\n")+"\n}\n}")
	})
}

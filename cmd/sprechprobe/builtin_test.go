package main_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// The two services of the built-in profiles, on the loopback of a network of the
// test's own: their names, their published addresses and their ports, spoken by
// real servers.
var (
	webpraxNATS = map[string]string{"nats1": "5.75.182.248", "nats2": "128.140.77.77", "nats3": "157.90.226.181"}
	webpraxWeb  = "198.18.7.10"
	webpraxTURN = "198.18.7.20"
	meetoneWeb  = "198.18.7.30"
	meetoneSTUN = "198.18.7.40"
)

func TestBuiltinProfiles(t *testing.T) {
	program(t, "nft", "nftables")
	if !inOwnNetwork(t) {
		return
	}
	v := builtinServices(t)
	sprechprobe := build(t)
	r, code := v.check(t, sprechprobe)
	expect(t, r, code, 0, agent.Ready)
	faults := []struct {
		rules   string
		code    int
		verdict agent.Verdict
		want    []agent.Code
	}{
		{"tcp dport 8443 drop", 2, agent.Blocked, []agent.Code{agent.GroupBlockAll}},
		{"udp dport 3478 ip daddr " + webpraxTURN + " drop", 1, agent.VerdictLimited, []agent.Code{agent.STUNUDPBlock}},
		{"udp dport { 443, 3478, 5349, 10000-20000 } drop", 2, agent.Blocked, []agent.Code{agent.UDPAllBlock, agent.STUNUDPBlock, agent.PortRangeUnknown}},
	}
	for _, f := range faults {
		lab.NFT(t, "table inet practice { chain in { type filter hook input priority 0; "+f.rules+"; }; }")
		r, code := v.check(t, sprechprobe)
		expect(t, r, code, f.code, f.verdict, f.want...)
		if f.want[0] == agent.GroupBlockAll {
			text := v.box(t, []string{sprechprobe}, "request", "--config", v.config).out
			for _, want := range []string{"8443", "TCP", "ausgehend", webpraxNATS["nats1"], webpraxNATS["nats2"], webpraxNATS["nats3"]} {
				if !strings.Contains(text, want) {
					t.Errorf("the release request lacks %q:\n%s", want, text)
				}
			}
			if strings.Contains(text, "3478") || strings.Contains(text, "5349") {
				t.Errorf("the release request asks for what is open:\n%s", text)
			}
		}
		lab.NFT(t, "")
	}
}

func builtinServices(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{dir: t.TempDir(), nats: map[string]*server.Server{}}
	addresses := []string{"--local=/webprax.de/", "--local=/meetone.io/",
		"--address=/coturn.webprax.de/" + webpraxTURN, "--address=/stun.zpp-hd.meetone.io/" + meetoneSTUN}
	for _, name := range []string{"video", "pnm", "test"} {
		addresses = append(addresses, "--address=/"+name+".webprax.de/"+webpraxWeb)
	}
	addresses = append(addresses, "--address=/zpp-hd.meetone.io/"+meetoneWeb)
	for name, addr := range webpraxNATS {
		addresses = append(addresses, "--address=/"+name+".webprax.de/"+addr)
	}
	for _, a := range []string{webpraxWeb, webpraxTURN, meetoneWeb, meetoneSTUN, webpraxNATS["nats1"], webpraxNATS["nats2"], webpraxNATS["nats3"]} {
		lab.IP(t, "addr add "+a+"/32 dev lo")
	}
	cert := v.certificates(t, "*.webprax.de", "*.meetone.io", "*.zpp-hd.meetone.io")
	v.startNames(t, program(t, "dnsmasq", "dnsmasq-base"), "video.webprax.de", addresses...)
	v.startWeb(t, webpraxWeb, 443, cert)
	v.startWeb(t, meetoneWeb, 443, cert)
	turnserver := program(t, "turnserver", "coturn")
	v.startCoturn(t, turnserver, webpraxTURN)
	v.startCoturn(t, turnserver, meetoneSTUN)
	for _, addr := range webpraxNATS {
		v.startNATS(t, "wss", addr, cert)
	}
	v.config = v.write(t, "sprechprobe.toml", fmt.Appendf(nil,
		"profiles = [\"webprax\", \"zpp-hd\"]\n[box]\nid = \"praxis-nord-1\"\nname = \"Praxis Nord\"\n[network]\nresolvers = [%q]\n[lights]\ndriver = \"none\"\n", v.names))
	return v
}

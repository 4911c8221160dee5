package daemon

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns"
	"github.com/sprechprobe/sprechprobe/agent/probe/ipv6"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/probe/nats"
	"github.com/sprechprobe/sprechprobe/agent/probe/path"
	"github.com/sprechprobe/sprechprobe/agent/probe/ports"
	"github.com/sprechprobe/sprechprobe/agent/probe/proxy"
	"github.com/sprechprobe/sprechprobe/agent/probe/self"
	"github.com/sprechprobe/sprechprobe/agent/probe/web"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// sampledPorts of a range are asked in one round: both ends, the middle and a
// few between.
const sampledPorts = 6

// probes lists every probe of the box.
func probes(here link.System, resolvers []netip.AddrPort, relay webrtc.Credentials, state string) round.Probes {
	var checker trust.Checker
	return round.Probes{
		Relay:   relayProbe(relay, checker),
		Link:    link.Probe(here),
		DNS:     dns.Probe(resolvers),
		Addrs:   dns.Addrs,
		HTTPS:   web.HTTPS(checker),
		Captive: web.Captive,
		STUN:    webrtc.STUN,
		TURN:    webrtc.TURN(checker),
		Mapping: webrtc.Mapping,
		NATS:    nats.Probe(checker),
		Ports:   ports.Probe(sampledPorts),
		IPv6:    hasIPv6,
		Public:  public,

		Hello:     web.Hello(checker),
		Proxy:     proxy.Probe(proxy.Network{Resolvers: resolvers}),
		Self:      self.Probe(self.System{State: state}),
		V6:        ipv6.Probe(here, resolvers),
		Translate: translate,
		Path:      path.Path,
		Walk:      path.Walk,
		MTU:       webrtc.MTU,
		Gateway:   link.Gateway(here),
		Burst:     webrtc.Burst,
		Flows:     webrtc.Flows,
	}
}

// translate is where a translator that a look at IPv6 has found leads.
func translate(e agent.Evidence, a netip.Addr) netip.Addr {
	prefix, err := netip.ParsePrefix(e.Values.Text(agent.NAT64))
	if err != nil {
		return a
	}
	return ipv6.Synthesize(prefix, a)
}

// relayProbe gets an allocation with credentials, nil without them.
func relayProbe(cred webrtc.Credentials, c trust.Checker) agent.Probe {
	if cred.Username == "" {
		return nil
	}
	return func(ctx context.Context, t agent.Target) agent.Evidence { return webrtc.Allocate(ctx, t, cred, c) }
}

// hasIPv6 reports whether there is a route to the public IPv6 internet. Opening
// a UDP socket asks the kernel for the route and sends nothing.
func hasIPv6() bool {
	c, err := net.DialTimeout("udp6", "[2001:db8::1]:9", time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	return ok && a.AddrPort().Addr().IsGlobalUnicast()
}

// Package dns asks the practice's own name servers for a host's addresses, with
// questions of its own, so that it sees which server said what and how a
// question was rejected. Names are absolute: it knows no search list and no
// hosts file. It does not know whether an address that came back is the
// service's (it hands on the published ones beside it) and speaks neither DNS
// over TLS nor over HTTPS.
package dns

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns/resolvconf"
)

const (
	// limit is when a look-up is over, whoever has not answered yet.
	limit = 3 * time.Second
	// resend is how long one datagram is waited for before the next, and one
	// server before the next is asked as well.
	resend = time.Second
	// settle is how long an address waits for those of the other family.
	settle = 500 * time.Millisecond

	port     = 53
	maxAddrs = 8
)

// Probe returns the probe of a name. It asks t.Host for A and AAAA at the given
// name servers, or at those of /etc/resolv.conf if there are none given, at most
// three of them. t.Addr is not looked at.
//
// Like the C library it takes the first answer that settles the matter: an
// address, "no such name" or "no address". A server that fails, refuses or keeps
// silent hands over to the next. Addresses that no public service can have,
// unless t.Pins lists them, are Tampered with reason bogon; a resolver that
// misleads with public addresses is for the web probe to find.
//
// Where the first server asked was no help, or not before it was asked again, it
// is bad_resolver beside the answer. If it kept silent it gets a series of
// questions, each sent once: sent_count and received_count tell a server that is
// gone from one that loses some and from one datagram that was lost.
//
// With t.Variant Uncached it asks a random name below t.Host for A instead, and
// any answer that a cache cannot have is Answered.
func Probe(resolvers []netip.AddrPort) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if ctx.Err() != nil {
			return agent.See(agent.ProbeDNS, t, agent.NotLooked, agent.Cancelled)
		}
		if a, err := netip.ParseAddr(t.Host); err == nil {
			return literal(t, a)
		}
		name, err := question(t)
		if err != nil {
			return agent.See(agent.ProbeDNS, t, agent.NotLooked, agent.OtherError).With(agent.Detail, err.Error())
		}
		servers := resolvers
		if servers == nil {
			servers = systemServers()
		}
		if len(servers) == 0 {
			return agent.See(agent.ProbeDNS, t, agent.NotLooked, agent.NoResolver)
		}
		l := lookup{name: name, types: types(t), servers: servers[:min(len(servers), resolvconf.Max)], until: time.Now().Add(limit)}
		found, failed := l.run(ctx)
		if found.isVague() && ctx.Err() != nil {
			return agent.See(agent.ProbeDNS, t, agent.NotLooked, agent.Cancelled)
		}
		return l.blame(ctx, l.evidence(t, found), failed)
	}
}

// blame adds to e who was no help at first.
func (l lookup) blame(ctx context.Context, e agent.Evidence, failed found) agent.Evidence {
	if !failed.server.IsValid() {
		return e
	}
	e = e.With(agent.BadResolver, serverWord(failed.server))
	if sent, received, ok := l.count(ctx, failed); ok {
		e = e.With(agent.Sent, sent).With(agent.Received, received)
	}
	return e
}

func types(t agent.Target) []dnsmessage.Type {
	if t.Variant == agent.Uncached {
		return []dnsmessage.Type{dnsmessage.TypeA} // one question proves as much as two
	}
	return []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}
}

// literal is the evidence of a host that needs no look-up.
func literal(t agent.Target, a netip.Addr) agent.Evidence {
	if t.Variant == agent.Uncached {
		return agent.See(agent.ProbeDNS, t, agent.NotLooked, agent.Unsupported)
	}
	return withPins(agent.See(agent.ProbeDNS, t, agent.Answered, "").With(agent.Addrs, a.Unmap().String()))
}

func systemServers() []netip.AddrPort {
	var servers []netip.AddrPort
	for _, a := range resolvconf.Read("") {
		servers = append(servers, netip.AddrPortFrom(a, port))
	}
	return servers
}

// evidence words what the look-up found.
func (l lookup) evidence(t agent.Target, f found) agent.Evidence {
	outcome, why := f.outcome(t)
	r := f.result
	r.Outcome, r.Reason, r.RTT = outcome, why, 0
	e := r.Evidence(agent.ProbeDNS, t).With(agent.Resolver, l.asked(f))
	if f.result.RTT > 0 {
		e = e.With(agent.RTT, f.result.RTT)
	}
	if f.answered() {
		e = e.With(agent.RCode, rcodeWord(f.rcode))
	}
	if len(f.addrs) > 0 {
		e = e.With(agent.Addrs, join(f.addrs))
	}
	return withPins(e)
}

// asked names the server that f came from, or all of them if none said a word.
func (l lookup) asked(f found) string {
	if f.server.IsValid() && f.result.Outcome != agent.Silent {
		return serverWord(f.server)
	}
	var words []string
	for _, s := range l.servers {
		words = append(words, serverWord(s))
	}
	return strings.Join(words, " ")
}

func serverWord(s netip.AddrPort) string {
	if s.Port() == port {
		return s.Addr().String()
	}
	return s.String()
}

func withPins(e agent.Evidence) agent.Evidence {
	if len(e.Target.Pins) == 0 {
		return e
	}
	return e.With(agent.Pins, join(e.Target.Pins))
}

func join(addrs []netip.Addr) string {
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, " ")
}

// Lookup returns the addresses of a name as the given name servers, or those of
// /etc/resolv.conf if nil, have them: at most eight, IPv4 first. It is for names
// of the practice's own, where any address may be right.
func Lookup(ctx context.Context, resolvers []netip.AddrPort, host string) []netip.Addr {
	return parseAddrs(Probe(resolvers)(ctx, agent.Target{Host: host}))
}

// parseAddrs reads the addresses that evidence names.
func parseAddrs(e agent.Evidence) []netip.Addr {
	var all []netip.Addr
	for _, word := range strings.Fields(e.Values.Text(agent.Addrs)) {
		if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" {
			all = append(all, a.Unmap())
		}
	}
	return all
}

// Addrs returns the addresses of an answered look-up that may be asked, at most
// eight, IPv4 first. Those that no public service can have are left out unless
// the target lists them itself, so that no answer of a name server makes the
// box talk to its neighbours.
func Addrs(e agent.Evidence) []netip.Addr {
	if e.Outcome != agent.Answered {
		return nil
	}
	literal, _ := netip.ParseAddr(e.Target.Host)
	var kept []netip.Addr
	for _, a := range parseAddrs(e) {
		known := a == literal.Unmap() || e.Target.Pinned(a)
		if (known || !isBogon(a)) && !slices.Contains(kept, a) {
			kept = append(kept, a)
		}
		if len(kept) == maxAddrs {
			break
		}
	}
	return kept
}

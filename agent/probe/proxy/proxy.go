// Package proxy finds out whether a network offers an HTTP proxy to those who
// ask for one: in the environment of the program, or by the name wpad in the
// practice's own domain. It asks no name outside that domain, talks only to
// private addresses, and sends nothing through a proxy.
//
// It does not run the script that says which proxy is for which host, and knows
// neither option 252 of DHCP nor proxies that nobody announces.
package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns/resolvconf"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	bound       = 5800 * time.Millisecond // the whole look
	step        = 2 * time.Second         // the script, and the tunnel
	mostDomains = 3                       // in which wpad is looked for
	domainPort  = 53
)

// Network is what the machine knows of the network it is in. The zero value is
// this machine.
type Network struct {
	Root      string              // where etc lies; empty: "/"
	Resolvers []netip.AddrPort    // nil: those of etc/resolv.conf
	Getenv    func(string) string // nil: os.Getenv
}

// Probe returns the probe of the proxy that n offers. Where there is one it is
// Answered, with its address or public name and its port as proxy; "?" stands
// for a name of the practice's that leads nowhere near. Otherwise it is
// NotLooked, no-proxy.
//
// With t.Host set, the proxy is asked once for a tunnel to t.Host and t.Port, if
// it has a private address, and the answer is http_status: 200 says that it
// would let the service pass, 407 that it wants a password. What came in place
// of an answer is in detail.
func Probe(n Network) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		n := n.withDefaults()
		within, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		o, ok := n.offered(within)
		switch {
		case ctx.Err() != nil:
			return agent.See(agent.ProbeProxy, t, agent.NotLooked, agent.Cancelled)
		case !ok:
			return agent.See(agent.ProbeProxy, t, agent.NotLooked, agent.NoProxy)
		}
		at, name := n.locate(within, o)
		e := agent.See(agent.ProbeProxy, t, agent.Answered, "").With(agent.Proxy, name)
		if t.Host != "" && at.IsValid() {
			e = tunnel(within, e, at)
		}
		if ctx.Err() != nil {
			return agent.See(agent.ProbeProxy, t, agent.NotLooked, agent.Cancelled)
		}
		return e
	}
}

func (n Network) withDefaults() Network {
	if n.Resolvers == nil {
		for _, a := range resolvconf.Read(n.Root) {
			n.Resolvers = append(n.Resolvers, netip.AddrPortFrom(a, domainPort))
		}
	}
	if n.Getenv == nil {
		n.Getenv = os.Getenv
	}
	return n
}

// offered is the first proxy that anybody names.
func (n Network) offered(ctx context.Context) (offer, bool) {
	for _, name := range []string{"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"} {
		if o, ok := parseEnv(n.Getenv(name)); ok {
			return o, true
		}
	}
	if found := parsePAC(n.script(ctx)); len(found) > 0 {
		return found[0], true
	}
	return offer{}, false
}

// parseEnv reads a proxy as environments have it: a URL, or host and port.
func parseEnv(s string) (offer, bool) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" {
		return offer{}, false
	}
	return parseOffer(u.Host)
}

// script fetches the proxy auto-configuration file from the first host called
// wpad that the practice's domains have.
func (n Network) script(ctx context.Context) []byte {
	domains := resolvconf.ReadDomains(n.Root)
	hosts := make([]netip.Addr, min(len(domains), mostDomains))
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() { hosts[i] = n.lookup(ctx, "wpad."+domains[i]) })
	}
	wg.Wait()
	for i, a := range hosts {
		if a.IsValid() {
			return fetch(ctx, a, "wpad."+domains[i])
		}
	}
	return nil
}

// lookup is the first private address of a name, invalid if it has none.
func (n Network) lookup(ctx context.Context, name string) netip.Addr {
	for _, a := range dns.Lookup(ctx, n.Resolvers, name) {
		if a.IsPrivate() {
			return a
		}
	}
	return netip.Addr{}
}

func fetch(ctx context.Context, a netip.Addr, host string) []byte {
	ctx, cancel := context.WithTimeout(ctx, step)
	defer cancel()
	conn, _ := reach.TCP(ctx, netip.AddrPortFrom(a, 80))
	if conn == nil {
		return nil
	}
	defer conn.Close()
	defer http1.Bind(ctx, conn)()
	got, err := http1.Get(conn, "http://"+host+"/wpad.dat")
	if err != nil || got.Status != http.StatusOK {
		return nil
	}
	return got.Body(pacLimit)
}

// locate is where the proxy is, if that is a private address, and how it may be
// called in a report: no name of the practice's leaves it.
func (n Network) locate(ctx context.Context, o offer) (netip.AddrPort, string) {
	a, err := netip.ParseAddr(o.host)
	if err != nil {
		name, own := n.own(o.host)
		if !own {
			return netip.AddrPort{}, o.String()
		}
		if a = n.lookup(ctx, name); !a.IsValid() {
			return netip.AddrPort{}, offer{"?", o.port}.String()
		}
		o.host = a.String()
	}
	if !a.IsPrivate() {
		return netip.AddrPort{}, o.String()
	}
	return netip.AddrPortFrom(a, o.port), o.String()
}

// own is the whole of a name that belongs to the practice, if it does.
func (n Network) own(name string) (string, bool) {
	domains := resolvconf.ReadDomains(n.Root)
	if !strings.Contains(name, ".") {
		if len(domains) == 0 {
			return "", true
		}
		return name + "." + domains[0], true
	}
	for _, d := range domains {
		if strings.HasSuffix(name, "."+d) {
			return name, true
		}
	}
	return "", false
}

// tunnel asks the proxy for a way to e's target.
func tunnel(ctx context.Context, e agent.Evidence, at netip.AddrPort) agent.Evidence {
	ctx, cancel := context.WithTimeout(ctx, step)
	defer cancel()
	conn, r := reach.TCP(ctx, at)
	if conn == nil {
		return e.With(agent.Detail, "tunnel: "+string(r.Reason))
	}
	defer conn.Close()
	defer http1.Bind(ctx, conn)()
	a, err := http1.Connect(conn, net.JoinHostPort(http1.Host(e.Target), strconv.Itoa(int(e.Target.Port))))
	if err != nil {
		return e.With(agent.Detail, "tunnel: "+string(reason(err, at.Addr())))
	}
	return e.With(agent.HTTPStatus, a.Status).With(agent.RTT, a.RTT)
}

// reason says what came in place of a proxy's answer.
func reason(err error, from netip.Addr) agent.Reason {
	switch {
	case errors.Is(err, http1.ErrNotHTTP):
		return agent.Garbage
	case errors.Is(err, http1.ErrTooMuch):
		return agent.TooMuch
	}
	return reach.Classify(err, from).Reason
}

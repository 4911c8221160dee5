package practice

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/middlebox"
	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
)

// ProxyPort is where [Practice.OfferProxy] listens.
const ProxyPort = 3128

// OfferProxy runs an HTTP proxy on the practice router, and a configuration that
// tells of it. [Resolver.WPAD] tells where that is.
func (pr *Practice) OfferProxy() (stop func()) {
	pr.t.Helper()
	_, stopProxy := pr.Router.Serve(ProxyPort, middlebox.Proxy(pr.Router.Dial, pr.lookup))
	pac := fmt.Sprintf("function FindProxyForURL(url, host) { return \"PROXY %s:%d\"; }\n", pr.Host(1), ProxyPort)
	_, stopPage := pr.Router.Serve(80, middlebox.Page("application/x-ns-proxy-autoconfig", pac))
	return func() {
		stopProxy()
		stopPage()
	}
}

// lookup asks the internet's name server from the practice router.
func (pr *Practice) lookup(ctx context.Context, host string) (netip.Addr, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return pr.Router.Dial(ctx, network, net.JoinHostPort(internet.NamesAddr.String(), "53"))
	}}
	addrs, err := r.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return addrs[0].Unmap(), nil
}

// CatchAll puts a captive portal in the place of everything: TCP ends there, UDP
// but for names and leases nowhere.
func (pr *Practice) CatchAll() (undo func()) {
	pr.t.Helper()
	stop := pr.Router.Divert("tcp dport != 53", middlebox.Portal(pr.Foreign("Hotspot CA"), "login.hotspot.example"))
	drop := pr.Router.Block("meta l4proto { udp, icmp }", "drop")
	return func() {
		stop()
		drop.Remove()
	}
}

// Foreign is an authority that nobody outside the practice trusts, the box neither.
func (pr *Practice) Foreign(name string) *pki.Authority {
	pr.t.Helper()
	ca, err := pki.New(name)
	if err != nil {
		pr.t.Fatal(err)
	}
	return ca
}

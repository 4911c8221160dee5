package dns_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns"
)

// dnsmasq starts the forwarder that OpenWrt and many routers use; it ends with
// the test.
func dnsmasq(t *testing.T, options ...string) netip.AddrPort {
	t.Helper()
	path := lab.Program(t, "dnsmasq", "dnsmasq-base")
	addr := freePort(t)
	args := append([]string{
		"--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-", "--user=", "--no-resolv", "--no-hosts", "--bind-interfaces",
		"--listen-address=" + addr.Addr().String(), fmt.Sprintf("--port=%d", addr.Port()),
	}, options...)
	lab.Start(t, exec.Command(path, args...), lab.Listens(addr.String()))
	return addr
}

// freePort is an address where nobody listens just now.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.54:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func TestDnsmasq(t *testing.T) {
	t.Parallel()
	var long []string
	for i := range 120 {
		long = append(long, fmt.Sprintf("--host-record=long.example.org,5.1.1.%d", i+1))
	}
	upstream := serve(t, true, zone(good...))
	deaf := serve(t, false, nil)
	addr := dnsmasq(t, append(long,
		"--host-record=both.example.org,5.75.182.248,2a01:4f8::1",
		"--host-record=real.example.org,5.75.182.248", "--cname=alias.example.org,real.example.org",
		"--address=/filtered.example.org/",
		"--address=/sink.example.org/0.0.0.0", "--address=/sink.example.org/::",
		"--address=/portal.example.org/192.168.1.1",
		"--txt-record=text.example.org,hello", "--local=/text.example.org/",
		fmt.Sprintf("--server=/%s/%s#%d", host, upstream.addr.Addr(), upstream.addr.Port()),
		fmt.Sprintf("--server=/deaf.example.org/%s#%d", deaf.addr.Addr(), deaf.addr.Port()),
	)...)
	tests := []struct {
		host    string
		variant agent.Variant
		want    string
		addrs   string
	}{
		{host: "both.example.org", want: "answered", addrs: "5.75.182.248 2a01:4f8::1"},
		{host: "alias.example.org", want: "answered", addrs: "5.75.182.248"},
		{host: "long.example.org", want: "answered", addrs: "5.1.1.1 5.1.1.2 5.1.1.3 5.1.1.4 5.1.1.5 5.1.1.6 5.1.1.7 5.1.1.8"}, // by TCP
		{host: host, want: "answered", addrs: goodAddrs},                                                                       // forwarded
		{host: host, variant: agent.Uncached, want: "answered"},
		{host: "filtered.example.org", want: "refused nxdomain"},
		{host: "sink.example.org", want: "tampered bogon", addrs: "0.0.0.0 ::"},
		{host: "portal.example.org", want: "tampered bogon", addrs: "192.168.1.1"},
		{host: "text.example.org", want: "refused no-data"},
		{host: "nobody.example.org", want: "refused dns-refused"}, // no upstream for it
		{host: "deaf.example.org", want: "silent timeout"},
	}
	seen := atOnce(len(tests), func(i int) agent.Evidence {
		return dns.Probe([]netip.AddrPort{addr})(t.Context(), agent.Target{Host: tests[i].host, Variant: tests[i].variant})
	})
	for i, tt := range tests {
		t.Run(strings.TrimSpace(tt.host+" "+string(tt.variant)), func(t *testing.T) {
			if got := summary(seen[i]); got != tt.want {
				t.Errorf("outcome = %q, want %q (values %v)", got, tt.want, seen[i].Values)
			}
			if got := seen[i].Values.Text(agent.Addrs); got != tt.addrs {
				t.Errorf("addrs = %q, want %q", got, tt.addrs)
			}
		})
	}
}

package practice

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
)

// NAT64 is the provider's prefix where there is no IPv4 in the practice. It is not
// the well-known one of RFC 6052: by that no translator takes a host for public
// whose address is from the range for benchmarks.
var NAT64 = netip.MustParsePrefix("2001:2:0:64ff::/96")

// translate runs tayga at the provider, and DNS64 at the name server.
func (pr *Practice) translate() {
	pr.t.Helper()
	if unix.Access("/dev/net/tun", unix.R_OK|unix.W_OK) != nil {
		lab.LeaveOut(pr.t, "this system gives no TUN devices, which NAT64 needs")
	}
	dir, program := pr.t.TempDir(), lab.Program(pr.t, "tayga", "tayga")
	conf := filepath.Join(dir, "tayga.conf")
	text := fmt.Sprintf("tun-device nat64\nipv4-addr 192.168.255.1\nprefix %s\ndynamic-pool 192.168.255.0/24\ndata-dir %s\n", NAT64, dir)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		pr.t.Fatal(err)
	}
	pr.Provider.output("", program, "-c", conf, "--mktun")
	pr.Provider.IP(fmt.Sprintf("link set nat64 up\nroute add 192.168.255.0/24 dev nat64\nroute add %s dev nat64", NAT64))
	pr.Provider.run("add rule inet practice outward ip saddr 192.168.255.0/24 masquerade")
	var p *lab.Process
	pr.Provider.do(func() {
		p = lab.Start(pr.t, exec.Command(program, "-c", conf, "-d", "-p", filepath.Join(dir, "pid")), nil)
	})
	ip := lab.Program(pr.t, "ip", "iproute2")
	p.Await(pr.t, "it holds its device", func() bool {
		return strings.Contains(string(pr.Provider.output("", ip, "link", "show", "nat64")), "LOWER_UP")
	})
	pr.Internet.Names.Change(func(z *internet.Zone) { z.DNS64 = NAT64 })
}

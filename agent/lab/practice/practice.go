package practice

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
)

// Uplink is what the practice router is plugged into.
type Uplink string

// The kinds of uplink.
const (
	PublicAddress Uplink = ""
	CarrierNAT    Uplink = "carrier NAT"   // a shared address (RFC 6598) outside, NAT at the provider
	SecondRouter  Uplink = "second router" // another private network in between
)

// Plan says what a practice is like before anything is broken. The zero value is
// one behind a FRITZ!Box, with IPv4 only and a fixed address for the box.
type Plan struct {
	NAT      NAT // of the practice router
	Uplink   Uplink
	IPv6     bool // everywhere; names tell once [internet.Zone.Dual] is called
	DHCP     bool // the box asks for its address, see [Practice.Ask]
	IPv6Only bool // in the practice; IPv4 by NAT64 and DNS64 of the provider
	PC       bool // another host in the LAN, see [Practice.PC]
	NIC      NIC
	LAN      netip.Prefix // zero is 192.168.178.0/24; a FRITZ!Box has its guests in 192.168.179.0/24
	Internet internet.Plan
}

// Where things are in the practice, unless its [Plan] has another LAN.
var (
	LAN      = netip.MustParsePrefix("192.168.178.0/24")
	LAN6     = netip.MustParsePrefix("2001:2:0:178::/64")
	Gateway  = netip.MustParseAddr("192.168.178.1")
	Gateway6 = netip.MustParseAddr("2001:2:0:178::1")
	BoxAddr  = netip.MustParseAddr("192.168.178.20")
	PCAddr   = netip.MustParseAddr("192.168.178.21")
)

// Interface is the box's.
const Interface = "eth0"

// Practice is a network that stands.
type Practice struct {
	Router   *Router // of the practice: lan0, wan0
	Second   *Router // in between, or nil: lan0, wan0
	Provider *Router // line0, core0
	Core     *Router // provider0, inet0; the way to everywhere
	PC       *lab.Network
	Internet *internet.Internet
	LANLine  *Line // between switch and practice router
	WANLine  *Line // between the last router here and the provider

	t          testing.TB
	plan       Plan
	resolvConf string
	names      *lab.Process
	nic        *cable // nil for a virtual cable
}

// New builds a practice around this process, which becomes its box: sockets and
// programs of the test are the box's, /sys shows its interface and
// /etc/resolv.conf names its resolver. It stands inside [lab.Inside] only, once a
// process. All is gone with the process.
func New(t testing.TB, p Plan) *Practice {
	t.Helper()
	p.IPv6 = p.IPv6 || p.IPv6Only
	if !p.LAN.IsValid() {
		p.LAN = LAN
	}
	pr := &Practice{t: t, plan: p}
	pr.networks()
	in := lab.Open(t, "inet")
	pr.routers()
	pr.Internet = internet.Start(t, in, pr.internetPlan())
	pr.lines()
	if p.IPv6Only {
		pr.translate()
		pr.writeResolvers(Gateway6)
	} else {
		pr.writeResolvers(pr.Host(1))
	}
	pr.Resolve(Resolver{})
	if p.DHCP {
		pr.Ask()
	}
	return pr
}

// Host is an address of the LAN by its last number: the router's is 1, the box's 20
// and the PC's 21.
func (pr *Practice) Host(number byte) netip.Addr {
	b := pr.plan.LAN.Addr().As4()
	b[3] = number
	return netip.AddrFrom4(b)
}

func (pr *Practice) internetPlan() internet.Plan {
	p := pr.plan.Internet
	p.IPv6 = p.IPv6 || pr.plan.IPv6
	return p
}

// networks makes the networks, cables and addresses.
func (pr *Practice) networks() {
	pr.t.Helper()
	lab.Batch(pr.t, "", `netns add fw
netns add isp
netns add core
netns add inet
link set lo up`)
	// Addresses of version 6 are used as they come: nobody else is there.
	for _, n := range []string{"", "fw", "isp", "core", "inet"} {
		pr.in(n, func() { lab.Set(pr.t, "ipv6/conf/default/accept_dad 0\nipv6/conf/all/accept_dad 0") })
	}
	if pr.plan.NIC == (NIC{}) {
		lab.Batch(pr.t, "", "link add eth0 type veth peer name port1 netns fw")
	} else {
		pr.plugNIC()
	}
	lab.Batch(pr.t, "", `link add line0 netns isp type veth peer name wan0 netns fw
link add core0 netns isp type veth peer name provider0 netns core
link add inet0 netns core type veth peer name core0 netns inet
link set eth0 address 02:00:c0:a8:b2:14 gso_max_segs 1`)
	lab.Batch(pr.t, "fw", fmt.Sprintf(`link set lo up
link add lan0 type bridge forward_delay 0
link set port1 master lan0 up
link set lan0 up
link set wan0 up
address add %s/24 dev lan0
address add 2001:2:0:178::1/64 dev lan0 nodad
address add 198.18.64.2/24 dev wan0
address add 2001:2:0:64::2/64 dev wan0 nodad
route add default via 198.18.64.1
route add default via 2001:2:0:64::1`, pr.Host(1)))
	pr.box()
	lab.Batch(pr.t, "isp", `link set lo up
link set line0 up
link set core0 up
address add 198.18.64.1/24 dev line0
address add 198.18.65.1/24 dev line0
address add 198.19.64.1/24 dev line0
address add 100.64.10.1/24 dev line0
address add 2001:2:0:64::1/64 dev line0 nodad
address add 198.18.1.2/30 dev core0
address add 2001:2:0:1::2/64 dev core0 nodad
route add default via 198.18.1.1
route add default via 2001:2:0:1::1
route add 2001:2:0:178::/64 via 2001:2:0:64::2`)
	lab.Batch(pr.t, "core", `link set lo up
link set provider0 up
link set inet0 up
address add 198.18.1.1/30 dev provider0
address add 198.18.2.1/30 dev inet0
address add 2001:2:0:1::1/64 dev provider0 nodad
address add 2001:2:0:2::1/64 dev inet0 nodad
route add 198.18.64.0/18 via 198.18.1.2
route add 198.19.64.0/18 via 198.18.1.2
route add 2001:2:0:64::/64 via 2001:2:0:1::2
route add 2001:2:0:178::/64 via 2001:2:0:1::2
route add default via 198.18.2.2
route add default via 2001:2:0:2::2`)
	lab.Batch(pr.t, "inet", `link set core0 up gso_max_segs 1
address add 198.18.2.2/30 dev core0
address add 2001:2:0:2::2/64 dev core0 nodad
route add default via 198.18.2.1
route add default via 2001:2:0:2::1`)
}

// box gives this network the box's address, unless it has to ask for one.
func (pr *Practice) box() {
	pr.t.Helper()
	// After the switch: the kernel hurries with the news of a carrier only where
	// the other end is up already, and takes a second else.
	lab.Batch(pr.t, "", "link set eth0 up")
	if !pr.plan.DHCP && !pr.plan.IPv6Only {
		lab.Batch(pr.t, "", fmt.Sprintf("address add %s/24 dev eth0\nroute add default via %s", pr.Host(20), pr.Host(1)))
	}
	if pr.plan.IPv6 {
		lab.Batch(pr.t, "", "address add 2001:2:0:178::20/64 dev eth0 nodad\nroute add default via 2001:2:0:178::1")
	}
}

// in calls do in a network of this lab; empty is the box's.
func (pr *Practice) in(network string, do func()) {
	pr.t.Helper()
	if network == "" {
		do()
		return
	}
	lab.In(pr.t, network, do)
}

// routers makes the networks route.
func (pr *Practice) routers() {
	pr.t.Helper()
	nat := NoNAT
	switch pr.plan.Uplink {
	case CarrierNAT:
		lab.Batch(pr.t, "fw", `address del 198.18.64.2/24 dev wan0
address add 100.64.10.2/24 dev wan0
route add default via 100.64.10.1`)
		nat = PortPreserving
	case SecondRouter:
		pr.secondRouter()
	}
	pr.Router = newRouter(pr.t, "fw", "lan0", "wan0", pr.plan.NAT, pr.Host(20))
	pr.Provider = newRouter(pr.t, "isp", "line0", "core0", nat, netip.Addr{})
	pr.Core = newRouter(pr.t, "core", "provider0", "inet0", NoNAT, netip.Addr{})
	if pr.plan.PC {
		pr.addPC()
	}
}

func (pr *Practice) secondRouter() {
	pr.t.Helper()
	lab.Batch(pr.t, "", "netns add cpe")
	lab.Batch(pr.t, "fw", `link set wan0 name old0 netns cpe
link add wan0 type veth peer name lan0 netns cpe
link set wan0 up
address add 192.168.0.2/24 dev wan0
route add default via 192.168.0.1`)
	lab.Batch(pr.t, "cpe", `link set lo up
link set old0 name wan0
link set wan0 up
link set lan0 up
address add 192.168.0.1/24 dev lan0
address add 198.18.64.2/24 dev wan0
route add default via 198.18.64.1`)
	pr.Second = newRouter(pr.t, "cpe", "lan0", "wan0", PortPreserving, netip.Addr{})
}

func (pr *Practice) addPC() {
	pr.t.Helper()
	lab.Batch(pr.t, "", "netns add pc")
	lab.Batch(pr.t, "fw", "link add port2 type veth peer name eth0 netns pc\nlink set port2 master lan0 up")
	lab.Batch(pr.t, "pc", fmt.Sprintf(`link set lo up
link set eth0 up gso_max_segs 1
address add %s/24 dev eth0
route add default via %s`, pr.Host(21), pr.Host(1)))
	pr.PC = lab.Open(pr.t, "pc")
}

// writeResolvers puts a resolv.conf of the lab in the place of this machine's,
// for this process and its children.
func (pr *Practice) writeResolvers(addrs ...netip.Addr) {
	pr.t.Helper()
	const place = "/etc/resolv.conf"
	if pr.resolvConf == "" {
		pr.resolvConf = filepath.Join(pr.t.TempDir(), "resolv.conf")
		pr.write("")
		if err := unix.Mount(pr.resolvConf, place, "", unix.MS_BIND, ""); err != nil {
			lab.LeaveOut(pr.t, "this system lets nobody mount on "+place+": "+err.Error())
		}
		pr.t.Cleanup(func() { _ = unix.Unmount(place, unix.MNT_DETACH) })
	}
	text := "# of the lab\n"
	for _, a := range addrs {
		text += fmt.Sprintf("nameserver %s\n", a)
	}
	pr.write(text)
}

func (pr *Practice) write(text string) {
	pr.t.Helper()
	if err := os.WriteFile(pr.resolvConf, []byte(text), 0o644); err != nil {
		pr.t.Fatal(err)
	}
}

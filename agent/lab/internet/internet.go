// Package internet is the far side of a practice's line for a lab: the hosts of
// the two built-in profiles by their names and published addresses, a report
// server and what else a practice asks of the internet, all real servers in one
// network. Each can be stopped, and be run in another way, while a test goes on.
// It does not know how a practice gets there.
package internet

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
)

// Where things are. The product takes the range for benchmarks (RFC 2544) as
// public; the NATS addresses are published ones.
var (
	WebAddr    = netip.MustParseAddr("198.18.7.10") // video, pnm and test.webprax.de
	TURNAddr   = netip.MustParseAddr("198.18.7.20") // coturn.webprax.de
	TURNOther  = netip.MustParseAddr("198.18.7.21") // its other address (RFC 5780)
	MeetAddr   = netip.MustParseAddr("198.18.7.30") // zpp-hd.meetone.io
	STUNAddr   = netip.MustParseAddr("198.18.7.40") // stun.zpp-hd.meetone.io
	NamesAddr  = netip.MustParseAddr("198.18.7.53")
	ReportAddr = netip.MustParseAddr("198.18.7.60") // report.fleet.example
	SpeedAddr  = netip.MustParseAddr("198.18.7.70") // speed.fleet.example
	TimeAddr   = netip.MustParseAddr("198.18.7.123")
	NATSAddrs  = [3]netip.Addr{
		netip.MustParseAddr("5.75.182.248"), netip.MustParseAddr("128.140.77.77"), netip.MustParseAddr("157.90.226.181"),
	}
)

// Where [SpeedAddr] takes all there is (RFC 863), and gives without end.
const (
	DiscardPort = 9
	ChargenPort = 19
)

// NATSPort is where NATS servers listen, the report server too.
const NATSPort = 8443

// V6 is the address of the same host in the benchmark range of IPv6 (RFC 5180).
func V6(a netip.Addr) netip.Addr {
	return embed(netip.MustParsePrefix("2001:2:0:7::/96"), a)
}

// Plan says what there is in the beginning. The zero value is a vendor in best
// order.
type Plan struct {
	TURN   Relay
	NATS   [3]Bus
	Report Bus
	IPv6   bool // hosts have addresses of both families; names do not tell, see [Zone]
	Speed  bool // with an iperf3 server
}

// Internet is what runs.
type Internet struct {
	Net    *lab.Network
	CA     *pki.Authority
	CAFile string // PEM

	Names  *Names
	Web    *Web
	Meet   *Web // meetone's
	TURN   *Coturn
	STUN   *Coturn // meetone's
	NATS   [3]*NATS
	Report *NATS
	Time   *Clock

	t    testing.TB
	plan Plan
}

// Names of hosts, which all certificates here are good for.
var certified = []string{"*.webprax.de", "*.meetone.io", "*.zpp-hd.meetone.io", "*.fleet.example"}

// Start furnishes a network, which has only to be connected, and returns once
// every server answers.
func Start(t testing.TB, in *lab.Network, p Plan) *Internet {
	t.Helper()
	i := &Internet{Net: in, t: t, plan: p, Time: &Clock{}, Names: &Names{}}
	i.addresses()
	ca, err := pki.New("Lab Root")
	i.must(err)
	i.CA, i.CAFile = ca, filepath.Join(t.TempDir(), "ca.pem")
	i.must(os.WriteFile(i.CAFile, ca.PEM(), 0o644))
	now := time.Now()
	good, expired := files(t, ca, now.AddDate(0, 0, 50), certified...), files(t, ca, now.AddDate(0, 0, -1), certified...)
	i.TURN = newCoturn(t, in, good, expired, i.both(TURNAddr, TURNOther)...)
	i.STUN = newCoturn(t, in, good, expired, i.both(STUNAddr)...)
	i.TURN.start(p.TURN) // these two take the longest
	i.STUN.start(Relay{STUNOnly: true})
	speed := i.speed()
	i.names()
	leaf := i.Leaf(now.AddDate(0, 0, 50))
	i.Web = serveWeb(leaf, i.listen(WebAddr, 80), i.listen(WebAddr, 443))
	i.Meet = serveWeb(leaf, i.listen(MeetAddr, 80), i.listen(MeetAddr, 443))
	t.Cleanup(i.Web.Stop)
	t.Cleanup(i.Meet.Stop)
	i.small()
	bus := func(name string, addr netip.Addr, b Bus) *NATS {
		n := &NATS{t: t, in: in, name: name, port: NATSPort, right: leaf, store: t.TempDir()}
		for _, a := range i.both(addr) {
			n.addrs = append(n.addrs, a.String())
		}
		n.Restart(b)
		t.Cleanup(n.Stop)
		return n
	}
	for k, b := range p.NATS {
		i.NATS[k] = bus(fmt.Sprintf("nats%d", k+1), NATSAddrs[k], b)
	}
	i.Report = bus("report", ReportAddr, p.Report)
	i.TURN.await()
	i.STUN.await()
	speed()
	return i
}

// Leaf is a certificate for all hosts that is good until then.
func (i *Internet) Leaf(until time.Time) *tls.Certificate {
	i.t.Helper()
	leaf, err := i.CA.Leaf(until, certified...)
	i.must(err)
	return leaf
}

func (i *Internet) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

// both is each address in the families there are.
func (i *Internet) both(addrs ...netip.Addr) (out []netip.Addr) {
	for _, a := range addrs {
		out = append(out, a)
		if i.plan.IPv6 {
			out = append(out, V6(a))
		}
	}
	return out
}

func (i *Internet) addresses() {
	i.t.Helper()
	all := append([]netip.Addr{WebAddr, TURNAddr, TURNOther, MeetAddr, STUNAddr, NamesAddr, ReportAddr, SpeedAddr, TimeAddr}, NATSAddrs[:]...)
	lines := []string{"link set lo up"}
	for _, a := range i.both(all...) {
		lines = append(lines, fmt.Sprintf("address add %s/%d dev lo", a, a.BitLen()))
	}
	lab.Batch(i.t, i.Net.Name(), strings.Join(lines, "\n"))
	// Rounds follow each other faster here than rejections are told in life.
	i.must(i.Net.Do(func() { lab.Set(i.t, "ipv4/icmp_ratelimit 0\nipv6/icmp/ratelimit 0") }))
}

func (i *Internet) listen(a netip.Addr, port int) (out []net.Listener) {
	i.t.Helper()
	for _, a := range i.both(a) {
		l, err := i.Net.Listen("tcp", net.JoinHostPort(a.String(), strconv.Itoa(port)))
		i.must(err)
		i.t.Cleanup(func() { l.Close() })
		out = append(out, l)
	}
	return out
}

func (i *Internet) packets(a netip.Addr, port int) (out []net.PacketConn) {
	i.t.Helper()
	for _, a := range i.both(a) {
		c, err := i.Net.ListenPacket("udp", net.JoinHostPort(a.String(), strconv.Itoa(port)))
		i.must(err)
		i.t.Cleanup(func() { c.Close() })
		out = append(out, c)
	}
	return out
}

// names starts the name server.
func (i *Internet) names() {
	i.t.Helper()
	hosts := map[string][]netip.Addr{
		"coturn.webprax.de": {TURNAddr}, "stun.zpp-hd.meetone.io": {STUNAddr}, "zpp-hd.meetone.io": {MeetAddr},
		"report.fleet.example": {ReportAddr}, "speed.fleet.example": {SpeedAddr}, "ntp.fleet.example": {TimeAddr},
		// By which a client of DNS64 finds the prefix (RFC 7050).
		"ipv4only.arpa": {netip.MustParseAddr("192.0.0.170"), netip.MustParseAddr("192.0.0.171")},
	}
	for _, name := range []string{"video", "pnm", "test"} {
		hosts[name+".webprax.de"] = []netip.Addr{WebAddr}
	}
	for k, a := range NATSAddrs {
		hosts[fmt.Sprintf("nats%d.webprax.de", k+1)] = []netip.Addr{a}
	}
	i.Names.Change(func(z *Zone) { z.Hosts = hosts })
	for _, c := range i.packets(NamesAddr, 53) {
		go i.Names.serveUDP(c)
	}
	for _, l := range i.listen(NamesAddr, 53) {
		go accept(l, i.Names.serveTCP)
	}
}

// Dual gives every name AAAA records too.
func (z *Zone) Dual() {
	for name, addrs := range z.Hosts {
		for _, a := range addrs {
			if a.Is4() {
				z.Hosts[name] = append(slices.Clone(z.Hosts[name]), V6(a))
			}
		}
	}
}

// echoPort is where the range of ports ends up.
const echoPort = 10000

// small starts the time server and the echo.
func (i *Internet) small() {
	i.t.Helper()
	for _, c := range i.packets(TimeAddr, 123) {
		go i.Time.serve(c)
	}
	for _, c := range i.packets(STUNAddr, echoPort) {
		go serveEcho(c)
	}
	for _, l := range i.listen(STUNAddr, echoPort) {
		go accept(l, echo)
	}
	i.Range(Closed, Closed)
	for port, serve := range map[int]func(net.Conn){DiscardPort: discard, ChargenPort: chargen} {
		for _, l := range i.listen(SpeedAddr, port) {
			go accept(l, serve)
		}
	}
}

// Fate is what becomes of a packet to meetone's range of ports, 10000-20000.
type Fate string

// The fates of a packet.
const (
	Echoed  Fate = "echoed"
	Dropped Fate = "dropped"
	Closed  Fate = "closed" // reset or port unreachable, as where nothing listens
)

// Range settles the fate of meetone's range of ports. At first it is closed: an
// echo answers STUN with the question, as nothing in life does.
func (i *Internet) Range(udp, tcp Fate) {
	i.t.Helper()
	verdicts := map[Fate]string{Dropped: "drop", Closed: "reject"}
	var filter, nat strings.Builder
	for transport, fate := range map[string]Fate{"udp": udp, "tcp": tcp} {
		ports := transport + " dport 10000-20000"
		for _, a := range i.both(STUNAddr) {
			family := "ip"
			if a.Is6() {
				family = "ip6"
			}
			if fate == Echoed {
				fmt.Fprintf(&nat, "%s daddr %s %s dnat %s to %s\n", family, a, ports, family, netip.AddrPortFrom(a, echoPort))
			} else {
				fmt.Fprintf(&filter, "%s daddr %s %s %s\n", family, a, ports, verdicts[fate])
			}
		}
	}
	filtered := strings.ReplaceAll(filter.String(), "tcp dport 10000-20000 reject", "tcp dport 10000-20000 reject with tcp reset")
	i.must(i.Net.Do(func() {
		lab.Table(i.t, "range", "chain filter { type filter hook input priority 0;\n"+filtered+
			"}\nchain nat { type nat hook prerouting priority -100;\n"+nat.String()+
			"}\nchain relayed { type nat hook output priority -100;\n"+nat.String()+"}")
	}))
}

// LoseRelayed has coturn lose what it relays, though it allocates and permits as
// ever.
func (i *Internet) LoseRelayed() (undo func()) {
	i.t.Helper()
	set := func(rules string) { i.must(i.Net.Do(func() { lab.Table(i.t, "relayed", rules) })) }
	set("chain out { type filter hook output priority 0; ip saddr " + TURNAddr.String() + " udp sport 49152-65535 drop; }")
	return func() { set("") }
}

// speed starts iperf3 where the plan has one. The function returned waits for it.
func (i *Internet) speed() (await func()) {
	i.t.Helper()
	if !i.plan.Speed {
		return func() {}
	}
	program := lab.Program(i.t, "iperf3", "iperf3")
	var p *lab.Process
	i.must(i.Net.Do(func() {
		p = lab.Start(i.t, exec.Command(program, "-s", "--forceflush", "-B", SpeedAddr.String()), nil)
	}))
	return func() {
		p.Await(i.t, "it listens", func() bool { return strings.Contains(p.Said(), "Server listening") })
	}
}

package practice

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// The faults that take more than one rule. Each returns what takes it back.

// Unplug pulls the box's cable: its interface has no carrier.
func (pr *Practice) Unplug() (plug func()) {
	pr.t.Helper()
	pr.setPort("down", "0")
	return func() { pr.setPort("up", "1") }
}

// setPort waits until the box notices: the kernel takes up to a second.
func (pr *Practice) setPort(state, carrier string) {
	pr.t.Helper()
	lab.Batch(pr.t, "fw", "link set port1 "+state)
	if pr.nic != nil {
		pr.nic.setCarrier(state == "up")
	}
	pr.await("the carrier is "+carrier, func() bool {
		b, err := os.ReadFile("/sys/class/net/" + Interface + "/carrier")
		return err == nil && strings.TrimSpace(string(b)) == carrier
	})
	if state == "up" {
		pr.await("the switch forwards", func() bool {
			return strings.Contains(string(pr.Router.output("", lab.Program(pr.t, "ip", "iproute2"), "link", "show", "lan0")), "state UP")
		})
	}
}

// patience is how long anything here may take on a busy machine.
const patience = time.Minute

// await asks ok until it says yes.
func (pr *Practice) await(what string, ok func() bool) {
	pr.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			pr.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// MuteGateway makes the practice router answer no ARP and no neighbour
// solicitation, and the box forget that it ever did.
func (pr *Practice) MuteGateway() (undo func()) {
	pr.t.Helper()
	pr.Router.Set("ipv4/conf/lan0/arp_ignore 8")
	solicited := pr.Router.Rule(Answers, "icmpv6 type nd-neighbor-solicit", "drop")
	lab.Batch(pr.t, "", "neigh flush dev "+Interface)
	return func() {
		pr.Router.Set("ipv4/conf/lan0/arp_ignore 0")
		solicited.Remove()
		lab.Batch(pr.t, "", "neigh flush dev "+Interface)
	}
}

// CutOff takes the practice router's way to the internet and has it say nothing
// of what it swallows.
func (pr *Practice) CutOff() (undo func()) {
	pr.t.Helper()
	pr.Router.IP("route replace blackhole 0.0.0.0/1\nroute replace blackhole 128.0.0.0/1\nroute replace blackhole 2000::/3")
	return func() {
		pr.Router.IP("route del blackhole 0.0.0.0/1\nroute del blackhole 128.0.0.0/1\nroute del blackhole 2000::/3")
	}
}

// Where the line leads: the address outside and the provider's.
const (
	mainLine   = "198.18.64."
	redialled  = "198.18.65."
	backupLine = "198.19.64."
)

// Redial gives the line another address, as providers do every night: all
// connections break.
func (pr *Practice) Redial() (undo func()) {
	pr.t.Helper()
	pr.dial(mainLine, redialled)
	return func() { pr.dial(redialled, mainLine) }
}

// Failover swaps the line for a slower one of another provider.
func (pr *Practice) Failover(q Quality) (undo func()) {
	pr.t.Helper()
	pr.dial(mainLine, backupLine)
	pr.WANLine.Set(q)
	return func() {
		pr.dial(backupLine, mainLine)
		pr.WANLine.Set(Quality{})
	}
}

// dial moves the last router here from one network of the provider to another.
func (pr *Practice) dial(from, to string) {
	pr.t.Helper()
	last := pr.WANLine.near
	last.IP(fmt.Sprintf("address del %[1]s2/24 dev wan0\naddress add %[2]s2/24 dev wan0\nroute replace default via %[2]s1", from, to))
	last.ForgetConnections()
}

// SetMTU makes the line pass IP packets up to this size only, bytes. A silent line
// does not tell who sends larger ones.
func (l *Line) SetMTU(mtu int, silent bool) (undo func()) {
	l.t.Helper()
	set := func(mtu int) {
		l.near.IP(fmt.Sprintf("link set %s mtu %d", l.up, mtu))
		l.far.IP(fmt.Sprintf("link set %s mtu %d", l.down, mtu))
	}
	set(mtu)
	var rules []*Rule
	if silent {
		for _, r := range []*Router{l.near, l.far} {
			rules = append(rules, r.Rule(Words, "icmp type destination-unreachable icmp code frag-needed", "drop"),
				r.Rule(Words, "icmpv6 type packet-too-big", "drop"))
		}
	}
	return func() {
		set(1500)
		for _, r := range rules {
			r.Remove()
		}
	}
}

// ClampMSS makes the router lower the segment size that both ends of a TCP
// connection offer, so that IPv4 packets have at most mtu bytes.
func (r *Router) ClampMSS(mtu int) *Rule {
	r.t.Helper()
	return r.Rule(Mangled, "tcp flags & (syn | rst) == syn", fmt.Sprintf("tcp option maxseg size set %d", mtu-40))
}

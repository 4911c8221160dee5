package practice

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// NAT is how a router gives its own address to what leaves.
type NAT string

// The kinds of NAT (RFC 4787). Linux keeps the port where it is free, which looks
// like endpoint-independent mapping, and filters by address and port.
const (
	PortPreserving NAT = ""                    // "port restricted cone": a FRITZ!Box
	FullCone       NAT = "full cone"           // and lets everybody answer, to the box only
	Symmetric      NAT = "random,fully-random" // another port for each destination
	NoNAT          NAT = "none"
	// TwoAddresses gives connections two public addresses in turn, as a router with
	// two lines does.
	TwoAddresses NAT = "two addresses"
)

// otherWAN is the router's second public address.
const otherWAN = "198.18.64.3"

// Router is a Linux router whose rules and options change while packets flow.
type Router struct {
	Net *lab.Network

	t               testing.TB
	inside, outside string     // interfaces
	guest           netip.Addr // behind a full cone
	queues          uint16     // used so far
	nft             string
}

func newRouter(t testing.TB, network, inside, outside string, nat NAT, guest netip.Addr) *Router {
	t.Helper()
	r := &Router{Net: lab.Open(t, network), t: t, inside: inside, outside: outside, guest: guest, nft: lab.Program(t, "nft", "nftables")}
	r.do(func() {
		lab.Set(t, "ipv4/ip_forward 1\nipv6/conf/all/forwarding 1")
		// A lab asks in seconds what a practice asks in days.
		lab.Set(t, "ipv4/icmp_ratelimit 0\nipv6/icmp/ratelimit 0")
	})
	if nat != NoNAT { // whoever has forgotten a connection does not take it up again
		r.do(func() { lab.Set(t, "netfilter/nf_conntrack_tcp_loose 0") })
	}
	r.run(r.table(nat != NoNAT))
	r.SetNAT(nat)
	return r
}

// table is the router's own rules, with empty chains for those of a test. What
// comes from outside must belong to what went out before, unless there is no NAT.
func (r *Router) table(closed bool) string {
	guard := ""
	if closed {
		guard = "ct state established,related accept; ct state invalid drop; iifname != " + r.outside + " accept; ct status dnat accept; meta l4proto ipv6-icmp accept; drop;"
	}
	return `table inet practice {
	set seen4 { type ipv4_addr . inet_proto . inet_service; flags dynamic; counter; size 65535; }
	set seen6 { type ipv6_addr . inet_proto . inet_service; flags dynamic; counter; size 65535; }
	set others4 { type ipv4_addr . inet_proto; flags dynamic; counter; size 65535; }
	set others6 { type ipv6_addr . inet_proto; flags dynamic; counter; size 65535; }
	chain seen {
		type filter hook prerouting priority raw;
		iifname != ` + r.inside + ` return
		meta l4proto igmp return
		meta l4proto ipv6-icmp ip6 daddr ff00::/8 return
		meta nfproto ipv4 meta l4proto { tcp, udp } update @seen4 { ip daddr . meta l4proto . th dport } return
		meta nfproto ipv4 update @others4 { ip daddr . meta l4proto } return
		meta l4proto { tcp, udp } update @seen6 { ip6 daddr . meta l4proto . th dport } return
		meta nfproto ipv6 update @others6 { ip6 daddr . meta l4proto }
	}
	chain released { }
	chain blocked { }
	chain forward { type filter hook forward priority 0; jump released; jump blocked; ` + guard + ` }
	chain answers { }
	chain input { type filter hook input priority 0; jump answers; }
	chain words { }
	chain output { type filter hook output priority 0; jump words; }
	chain diverted { }
	chain prerouting { type nat hook prerouting priority dstnat; jump diverted; }
	chain guest { type nat hook prerouting priority dstnat + 1; }
	chain outward { type nat hook postrouting priority srcnat; }
	chain mangled { type filter hook forward priority mangle; }
}
table arp practice {
	set asked { type ipv4_addr; flags dynamic; size 65535; }
	chain input { type filter hook input priority 0; iifname ` + r.inside + ` arp operation request update @asked { arp daddr ip }; }
}`
}

// SetNAT changes the kind of NAT for connections to come, and forgets those
// there are.
func (r *Router) SetNAT(n NAT) {
	r.t.Helper()
	cmds := []string{"flush chain inet practice outward", "flush chain inet practice guest"}
	if n != NoNAT {
		how := "masquerade"
		switch n {
		case Symmetric:
			how += " " + string(n)
		case TwoAddresses:
			r.IP("address replace " + otherWAN + "/24 dev " + r.outside)
			how = "snat ip to numgen inc mod 2 map { 0 : 198.18.64.2, 1 : " + otherWAN + " }"
		}
		cmds = append(cmds, fmt.Sprintf("add rule inet practice outward meta nfproto ipv4 oifname %s %s", r.outside, how))
	}
	if n == FullCone {
		cmds = append(cmds, fmt.Sprintf("add rule inet practice guest iifname %s meta nfproto ipv4 udp dport 1024-65535 dnat ip to %s", r.outside, r.guest))
	}
	r.run(strings.Join(cmds, "\n"))
	r.ForgetConnections()
}

// Chain is where a rule acts.
type Chain string

// The chains for rules of a test, in the order of their power.
const (
	Released Chain = "released" // forwarded packets, before those blocked
	Blocked  Chain = "blocked"  // forwarded packets
	Answers  Chain = "answers"  // to the router itself
	Words    Chain = "words"    // from the router itself
	Diverted Chain = "diverted" // new connections, before the routing: dnat, redirect
	Mangled  Chain = "mangled"  // forwarded packets that are to be changed: MSS
)

// Rule is a rule that can be taken back.
type Rule struct {
	r      *Router
	chain  Chain
	handle int
}

var handle = regexp.MustCompile(`(?m)^add rule .* # handle (\d+)$`)

// Rule adds a rule behind those of its chain: first what it matches, then what
// becomes of that, both as nft has them ("udp dport 3478", "drop").
func (r *Router) Rule(c Chain, match, verdict string) *Rule {
	r.t.Helper()
	out := r.run(fmt.Sprintf("add rule inet practice %s %s counter %s", c, match, verdict))
	m := handle.FindStringSubmatch(out)
	if m == nil {
		r.t.Fatalf("nft told no handle: %q", out)
	}
	h, _ := strconv.Atoi(m[1])
	return &Rule{r, c, h}
}

// Block is a [Rule] for what is forwarded.
func (r *Router) Block(match, verdict string) *Rule {
	r.t.Helper()
	return r.Rule(Blocked, match, verdict)
}

// Release lets through what a rule for Blocked would stop.
func (r *Router) Release(match string) *Rule {
	r.t.Helper()
	return r.Rule(Released, match, "accept")
}

// Remove takes the rule back.
func (rule *Rule) Remove() {
	rule.r.t.Helper()
	rule.r.run(fmt.Sprintf("delete rule inet practice %s handle %d", rule.chain, rule.handle))
}

// Packets is how many packets the rule matched.
func (rule *Rule) Packets() int {
	rule.r.t.Helper()
	var list struct {
		Nftables []struct {
			Rule struct {
				Handle int
				Expr   []struct{ Counter *counter }
			}
		}
	}
	rule.r.list(&list, "chain", "inet", string(rule.chain))
	for _, o := range list.Nftables {
		for _, e := range o.Rule.Expr {
			if o.Rule.Handle == rule.handle && e.Counter != nil {
				return e.Counter.Packets
			}
		}
	}
	rule.r.t.Fatalf("rule %d of %s is gone", rule.handle, rule.chain)
	return 0
}

type counter struct{ Packets, Bytes int }

// Flow is what went from inside to one destination since [Router.Forget].
type Flow struct {
	To       netip.AddrPort // as the sender wrote it; port 0 for ICMP and others
	Protocol string         // "tcp", "udp", "icmp" ...
	Packets  int
	Bytes    int // with IP headers
}

// Seen is everything that reached the router from inside, dropped or not, but for
// the kernel's own multicast about neighbours and groups.
func (r *Router) Seen() (flows []Flow) {
	r.t.Helper()
	for _, set := range []string{"seen4", "seen6", "others4", "others6"} {
		var list struct {
			Nftables []struct {
				Set struct {
					Elem []struct {
						Elem struct {
							Val     struct{ Concat []any }
							Counter counter
						}
					}
				}
			}
		}
		r.list(&list, "set", "inet", set)
		for _, o := range list.Nftables {
			for _, e := range o.Set.Elem {
				flows = append(flows, flow(e.Elem.Val.Concat, e.Elem.Counter))
			}
		}
	}
	return flows
}

func flow(key []any, c counter) Flow {
	f := Flow{Packets: c.Packets, Bytes: c.Bytes}
	var port float64
	if len(key) > 2 {
		port, _ = key[2].(float64)
	}
	if len(key) > 1 {
		addr, _ := netip.ParseAddr(fmt.Sprint(key[0]))
		f.To, f.Protocol = netip.AddrPortFrom(addr, uint16(port)), fmt.Sprint(key[1])
	}
	return f
}

// Asked is every address that somebody inside looked for by ARP: who scans a LAN
// shows here, for the switch keeps the rest from the router.
func (r *Router) Asked() (addrs []netip.Addr) {
	r.t.Helper()
	var list struct {
		Nftables []struct{ Set struct{ Elem []netip.Addr } }
	}
	r.list(&list, "set", "arp", "asked")
	for _, o := range list.Nftables {
		addrs = append(addrs, o.Set.Elem...)
	}
	return addrs
}

// Forget makes [Router.Seen] and [Router.Asked] begin anew.
func (r *Router) Forget() {
	r.t.Helper()
	for _, set := range []string{"seen4", "seen6", "others4", "others6"} {
		r.run("flush set inet practice " + set)
	}
	r.run("flush set arp practice asked")
}

// Set writes kernel options of the router, as [lab.Set] does: the life of a UDP
// mapping is netfilter/nf_conntrack_udp_timeout.
func (r *Router) Set(lines string) {
	r.t.Helper()
	r.do(func() { lab.Set(r.t, lines) })
}

// IP runs ip on the router, as [lab.Batch] does.
func (r *Router) IP(lines string) {
	r.t.Helper()
	lab.Batch(r.t, r.Net.Name(), lines)
}

func (r *Router) do(do func()) {
	r.t.Helper()
	if r.Net == nil { // the box's own
		do()
		return
	}
	if err := r.Net.Do(do); err != nil {
		r.t.Fatal(err)
	}
}

// run feeds nft and returns its echo, with handles.
func (r *Router) run(script string) string {
	r.t.Helper()
	return string(r.output(script, r.nft, "--echo", "--handle", "-f", "-"))
}

func (r *Router) list(into any, kind, family, name string) {
	r.t.Helper()
	if err := json.Unmarshal(r.output("", r.nft, "--json", "list", kind, family, "practice", name), into); err != nil {
		r.t.Fatal(err)
	}
}

func (r *Router) output(input, program string, args ...string) (out []byte) {
	r.t.Helper()
	r.do(func() {
		var err error
		if out, err = command(input, program, args...); err != nil {
			r.t.Fatal(err)
		}
	})
	return out
}

// command runs a program to its end.
func command(input, program string, args ...string) ([]byte, error) {
	var said strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%q: %w\n%s%s", cmd.Args, err, said.String(), input)
	}
	return out, err
}

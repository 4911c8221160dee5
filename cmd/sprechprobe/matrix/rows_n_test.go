package matrix

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
)

// Healthy but unusual: the box stays quiet.
var healthy = []row{
	{id: "N01", what: "a usual practice"},
	{id: "N04", what: "no IPv6 anywhere"},
	{id: "N05", what: "the router answers no echo requests", inject: func(s *scene) {
		s.later(s.Router.Rule(practice.Answers, "icmp type echo-request", "drop").Remove)
		s.block("icmp type echo-request", "drop")
	}},
	{id: "N06", what: "no ICMP passes at all", inject: func(s *scene) {
		s.later(s.Router.Rule(practice.Answers, "meta l4proto icmp", "drop").Remove)
		s.later(s.Router.Rule(practice.Words, "meta l4proto icmp", "drop").Remove)
		s.block("meta l4proto icmp", "drop")
	}},
	{id: "N07", what: "group servers ask for credentials", inject: func(s *scene) {
		for i := range s.Internet.NATS {
			s.bus(i, internet.Bus{User: "praxis", Password: "geheim"})
		}
	}},
	{id: "N08", what: "one of three group servers stopped", notes: "group-server:vendor", inject: func(s *scene) {
		s.Internet.NATS[1].Stop()
		s.later(func() { s.Internet.NATS[1].Restart(internet.Bus{}) })
	}},
	{id: "N09", what: "names take 0.8 s", notes: "dns-slow", inject: func(s *scene) {
		s.later(s.Internet.Names.Change(func(z *internet.Zone) { z.Delay = 800 * time.Millisecond }))
	}},
	{id: "N10", what: "a box without Wi-Fi"},
	{id: "N11", what: "another public port for each destination", notes: "nat-edm", caps: "loo", inject: func(s *scene) {
		s.Router.SetNAT(practice.Symmetric)
		s.later(func() { s.Router.SetNAT(practice.PortPreserving) })
	}},
	{id: "N12", what: "relay without TLS and DTLS", inject: func(s *scene) {
		s.relay(internet.Relay{NoTLS: true, NoDTLS: true})
	}},
	{id: "N13", what: "relay without plain TCP", inject: func(s *scene) { s.relay(internet.Relay{NoTCP: true}) }},
	{id: "N14", what: "relay asks for credentials"},
	{id: "N15", what: "relay denies only once a second", inject: func(s *scene) {
		// What coturn does to 401 answers over UDP, done before they leave it.
		s.later(s.Core.Block("ip saddr "+internet.TURNAddr.String()+" udp sport 5349 limit rate over 1/second burst 1 packets", "drop").Remove)
	}},
	{id: "N16", what: "STUN without a second address", inject: func(s *scene) { s.relay(internet.Relay{NoRFC5780: true}) }},
	{id: "N21", what: "PPPoE", notes: "mtu-low:unknown", inject: func(s *scene) { s.smallLine(1492) }},
	{id: "N20", what: "DS-Lite", notes: "mtu-low:unknown", inject: func(s *scene) { s.smallLine(1460) }},
	{id: "N22", what: "QUIC rejected", inject: func(s *scene) { s.block("udp dport 443", "reject") }},
	{id: "N23", what: "SIP dropped", inject: func(s *scene) { s.block("udp dport 5060", "drop") }},
	{id: "N24", what: "STUN over TCP rejected, which nobody needs", inject: func(s *scene) { s.block("tcp dport 3478", "reject") }},
	{id: "N25", what: "a list of what may go out, made by the vendor's page", inject: func(s *scene) {
		s.block("udp dport 53", "accept")
		s.block("ip daddr "+internet.WebAddr.String()+" tcp dport 443", "accept")
		s.block("ip daddr "+internet.TURNAddr.String()+" udp dport { 3478, 5349 }", "accept")
		s.block("ip daddr "+internet.TURNAddr.String()+" tcp dport 5349", "accept")
		s.block("ip daddr { 5.75.182.248, 128.140.77.77, 157.90.226.181 } tcp dport 8443", "accept")
		s.block("iifname lan0 ct state new", "drop")
	}},
	{id: "N26", what: "a group server has a second address", notes: "dns-drift:vendor", also: []string{"198.18.7.99"}, inject: func(s *scene) {
		s.secondNATS("198.18.7.99")
	}},
	{id: "N28", what: "group servers without TLS", inject: func(s *scene) {
		for i := range s.Internet.NATS {
			s.bus(i, internet.Bus{Speech: internet.Plain})
		}
	}},
	{id: "N29", what: "group servers speak WebSocket over TLS"},
	{id: "N30", what: "80 ms more to everywhere", inject: func(s *scene) {
		s.WANLine.Set(practice.Quality{RTT: 80 * time.Millisecond})
		s.later(func() { s.WANLine.Set(practice.Quality{}) })
	}},
	{id: "N31", what: "port range: TCP closed, UDP silent", profile: "zpp-hd", caps: "o--", notes: "portrange-unknown:unknown", inject: func(s *scene) {
		s.Internet.Range(internet.Dropped, internet.Closed)
		s.later(func() { s.Internet.Range(internet.Closed, internet.Closed) })
	}},
	{id: "N43", what: "the TCP part of a port range rejected, which no browser needs", profile: "zpp-hd", caps: "o--", notes: "portrange-block-tcp",
		inject: func(s *scene) { s.block("tcp dport 10000-20000", "reject with icmp admin-prohibited") }},
	{id: "N44", what: "a relay that asks for no credentials", notes: "turn-open:vendor", inject: func(s *scene) { s.relay(internet.Relay{Open: true}) }},
	{id: "N45", what: "a router with two public addresses", notes: "nat-ip-flap", caps: "loo", inject: func(s *scene) {
		s.Router.SetNAT(practice.TwoAddresses)
		s.later(func() { s.Router.SetNAT(practice.PortPreserving) })
	}},
	{id: "N32", what: "certificate for five days more", notes: "cert-soon:vendor", inject: func(s *scene) {
		s.Internet.Web.Show(internet.Page{Cert: s.Internet.Leaf(time.Now().AddDate(0, 0, 5))})
		s.later(func() { s.Internet.Web.Show(internet.Page{}) })
	}},
	{id: "N34", what: "the clock two days ahead, and no time server", want: "clock-wrong:box", report: agent.Limited,
		look: func(s *scene) agent.Report { return s.checkAhead(48*time.Hour, "") }, inject: func(s *scene) {
			s.block("udp dport 123", "drop")
		}},
	{id: "N37", what: "no plain HTTP to the vendor", inject: func(s *scene) { s.block("tcp dport 80", "drop") }},
}

func TestHealthy(t *testing.T) { play(t, practice.Plan{}, ready(healthy)) }

// ready fills in what all healthy rows want.
func ready(rows []row) []row {
	out := make([]row, len(rows))
	for i, r := range rows {
		if r.verdict = agent.Ready; r.caps == "" {
			r.caps = "ooo"
		}
		out[i] = r
	}
	return out
}

func TestCarrierNAT(t *testing.T) {
	play(t, practice.Plan{Uplink: practice.CarrierNAT}, ready([]row{
		{id: "N02", what: "the provider translates too", caps: "loo", notes: "nat-cgn:isp"},
	}))
}

func TestSecondRouter(t *testing.T) {
	play(t, practice.Plan{Uplink: practice.SecondRouter}, ready([]row{
		{id: "N03", what: "two routers in a row", caps: "loo", notes: "nat-double"},
	}))
}

func TestBrokenIPv6(t *testing.T) {
	play(t, practice.Plan{IPv6: true}, ready([]row{
		{id: "N27", what: "IPv6 leads nowhere", notes: "ipv6-broken", inject: func(s *scene) {
			s.later(s.Internet.Names.Change((*internet.Zone).Dual))
			s.block("meta nfproto ipv6", "drop")
		}},
	}))
}

func TestIPv6Only(t *testing.T) {
	play(t, practice.Plan{IPv6Only: true}, ready([]row{
		{id: "N19", what: "no IPv4, but a translator", notes: "net-v6only"},
	}))
}

// Scenes that several rows share.

// forget sets for how many seconds the practice's router knows a connection.
func (s *scene) forget(what string, seconds, usual int) {
	s.Router.Set(fmt.Sprintf("netfilter/nf_conntrack_%s %d", what, seconds))
	s.later(func() { s.Router.Set(fmt.Sprintf("netfilter/nf_conntrack_%s %d", what, usual)) })
}

func (s *scene) relay(r internet.Relay) {
	s.Internet.TURN.Restart(r)
	s.later(func() { s.Internet.TURN.Restart(internet.Relay{}) })
}

func (s *scene) bus(i int, b internet.Bus) {
	s.Internet.NATS[i].Restart(b)
	s.later(func() { s.Internet.NATS[i].Restart(internet.Bus{}) })
}

// checkAhead lets the box look with a clock that is ahead.
func (s *scene) checkAhead(by time.Duration, config string) agent.Report {
	s.t.Helper()
	cmd := exec.Command(os.Getenv(programVar), "check", "--format", "json", "--config", s.config(config))
	return s.read(s.RunAhead(cmd, by))
}

// smallLine is a line that carries less, and says so.
func (s *scene) smallLine(mtu int) {
	s.lineMTU(mtu)
	s.later(s.Router.Rule(practice.Mangled, "tcp flags syn", "tcp option maxseg size set rt mtu").Remove)
}

// lineMTU is how large a packet the line to the provider carries.
func (s *scene) lineMTU(mtu int) {
	set := func(mtu int) {
		s.Router.IP(fmt.Sprintf("link set wan0 mtu %d", mtu))
		s.Provider.IP(fmt.Sprintf("link set line0 mtu %d", mtu))
	}
	set(mtu)
	s.later(func() { set(1500) })
}

// secondNATS gives the second group server one more address.
func (s *scene) secondNATS(addr string) {
	s.later(s.Core.Rule(practice.Diverted, "ip daddr "+addr, "dnat ip to "+internet.NATSAddrs[1].String()).Remove)
	s.later(s.Internet.Names.Change(func(z *internet.Zone) {
		z.Hosts["nats2.webprax.de"] = append(z.Hosts["nats2.webprax.de"], netip.MustParseAddr(addr))
	}))
}

package agent

import "time"

// Finding is one judgement, with the evidence it rests on.
type Finding struct {
	Code     Code              `json:"code"`
	Severity Severity          `json:"severity"`
	Cause    Cause             `json:"cause"`
	Profile  string            `json:"profile,omitempty"` // empty: concerns every profile
	Target   string            `json:"target,omitempty"`  // host:port/transport
	SinceAt  time.Time         `json:"since_at,omitzero"`
	Args     map[string]string `json:"args,omitempty"`
	Evidence []int             `json:"evidence"` // indexes into Report.Evidence
}

// Severity says how bad a finding is.
type Severity uint8

// The severities. Info never changes a verdict.
const (
	Info Severity = iota
	Minor
	Major
	Critical
)

var severityWords = []string{"info", "minor", "major", "critical"}

func (s Severity) String() string { return name(severityWords, uint8(s)) }

// MarshalText writes the severity's word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity's word.
func (s *Severity) UnmarshalText(text []byte) error {
	v, err := parse("severity", severityWords, text)
	*s = Severity(v)
	return err
}

// Cause says who has to act.
type Cause uint8

// The causes.
const (
	CauseUnknown  Cause = iota
	CausePractice       // the practice's network: its router, firewall, cabling
	CauseISP            // the internet provider
	CauseVendor         // the video service
	CauseBox            // the box itself
)

var causeWords = []string{"unknown", "practice", "isp", "vendor", "box"}

func (c Cause) String() string { return name(causeWords, uint8(c)) }

// MarshalText writes the cause's word.
func (c Cause) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a cause's word.
func (c *Cause) UnmarshalText(text []byte) error {
	v, err := parse("cause", causeWords, text)
	*c = Cause(v)
	return err
}

// Code names a finding, in lower-kebab-case. Codes are stable: texts, lights
// and the fleet's filters hang on them.
type Code string

// The catalogue, in the order in which it is evaluated.
const (
	LinkDown           Code = "link-down"
	LinkSlow           Code = "link-slow"
	AddressConflict    Code = "addr-conflict"
	BoxPower           Code = "box-power"
	BoxStorage         Code = "box-storage"
	DHCPNone           Code = "dhcp-none"
	GatewayUnreachable Code = "gw-unreach"
	RouteLocal         Code = "route-local"
	WANDown            Code = "wan-down"
	LANUnstable        Code = "lan-unstable"
	Interrupted        Code = "interrupted"
	WANRedial          Code = "wan-redial"
	LineFailover       Code = "line-failover"
	MTUBlackhole       Code = "mtu-blackhole"
	MTULow             Code = "mtu-low"
	IPv6Only           Code = "net-v6only"
	IPv6Broken         Code = "ipv6-broken"
	ClockWrong         Code = "clock-wrong"
	Captive            Code = "captive"
	DNSFail            Code = "dns-fail"
	DNSSlow            Code = "dns-slow"
	DNSFlaky           Code = "dns-flaky"
	DNSNX              Code = "dns-nx"
	DNSBogon           Code = "dns-bogon"
	DNSDrift           Code = "dns-drift"
	DNSDriftBlock      Code = "dns-drift-block"
	DNSPartBlock       Code = "dns-part-block"
	TISeries           Code = "ti-series"
	GuestNet           Code = "guest-net"
	ProxyRequired      Code = "proxy-required"
	TLSBigHello        Code = "tls-big-hello"
	TLSSNIReset        Code = "tls-sni-reset"
	HTTPSBlock         Code = "https-block"
	HTTPSServer        Code = "https-server"
	TLSIntercept       Code = "tls-intercept"
	CertBad            Code = "cert-bad"
	CertSoon           Code = "cert-soon"
	NATTableFull       Code = "nat-table-full"
	UDPRateLimited     Code = "udp-rate-limited"
	UDPAllBlock        Code = "udp-all-block"
	STUNUDPBlock       Code = "stun-udp-block"
	STUNServer         Code = "stun-server"
	STUNALG            Code = "stun-alg"
	TURNUDPBlock       Code = "turn-udp-block"
	TURNUDPServer      Code = "turn-udp-server"
	TURNTCPBlock       Code = "turn-tcp-block"
	TURNTCPServer      Code = "turn-tcp-server"
	TURNAllBlock       Code = "turn-all-block"
	TURNServer         Code = "turn-server"
	TURNDPIPlain       Code = "turn-dpi-plain"
	TURNOpen           Code = "turn-open"
	TURNAuth           Code = "turn-auth"
	TURNQuota          Code = "turn-quota"
	TURNRelay403       Code = "turn-relay-403"
	TURNNoMedia        Code = "turn-no-media"
	TURNTCPOnly        Code = "turn-tcp-only"
	TURNDPITLS         Code = "turn-dpi-tls"
	HighPortUDPBlock   Code = "highport-udp-block"
	NATEDM             Code = "nat-edm"
	NATEDMNoRelay      Code = "nat-edm-no-relay"
	NATIPFlap          Code = "nat-ip-flap"
	NATDouble          Code = "nat-double"
	NATCGN             Code = "nat-cgn"
	NATShort           Code = "nat-short"
	NATSIdleCut        Code = "nats-idle-cut"
	GroupBlockAll      Code = "group-block-all"
	GroupBlockSome     Code = "group-block-some"
	GroupServer        Code = "group-server"
	WSStripped         Code = "ws-stripped"
	NATSProtoBad       Code = "nats-port-ok-proto-bad"
	PortRangeUDP       Code = "portrange-block-udp"
	PortRangeTCP       Code = "portrange-block-tcp"
	PortRangePartial   Code = "portrange-partial"
	PortRangeUnknown   Code = "portrange-unknown"
	BandwidthMin       Code = "bw-min"
	BandwidthHD        Code = "bw-hd"
	Bloat              Code = "bloat"
	Loss               Code = "loss"
	Jittery            Code = "jitter"
	Distant            Code = "rtt"
	TrendCongestion    Code = "trend-congestion"
	BandwidthPostponed Code = "bw-postponed"
	BandwidthCapped    Code = "bw-capped"
	CentralDown        Code = "central-down"
	CentralAuth        Code = "central-auth"
	CentralFallback    Code = "central-fallback"
	ProfileRejected    Code = "profile-rejected"
)

// Codes lists the catalogue in order.
var Codes = []Code{
	LinkDown, LinkSlow, AddressConflict, BoxPower, BoxStorage, DHCPNone, GatewayUnreachable, RouteLocal, WANDown,
	LANUnstable, Interrupted, WANRedial, LineFailover, MTUBlackhole, MTULow, IPv6Only, IPv6Broken,
	ClockWrong, Captive, DNSFail, DNSSlow, DNSFlaky, DNSNX, DNSBogon, DNSDrift, DNSDriftBlock,
	DNSPartBlock, TISeries, GuestNet, ProxyRequired, TLSBigHello, TLSSNIReset, HTTPSBlock,
	HTTPSServer, TLSIntercept, CertBad, CertSoon, NATTableFull, UDPRateLimited, UDPAllBlock,
	STUNUDPBlock, STUNServer, STUNALG, TURNUDPBlock, TURNUDPServer, TURNTCPBlock, TURNTCPServer,
	TURNAllBlock, TURNServer, TURNDPIPlain, TURNOpen, TURNAuth, TURNQuota, TURNRelay403, TURNNoMedia, TURNTCPOnly, TURNDPITLS, HighPortUDPBlock, NATEDM, NATEDMNoRelay, NATIPFlap,
	NATDouble, NATCGN, NATShort, NATSIdleCut, GroupBlockAll, GroupBlockSome, GroupServer, WSStripped,
	NATSProtoBad, PortRangeUDP, PortRangeTCP, PortRangePartial, PortRangeUnknown, BandwidthMin, BandwidthHD, Bloat,
	Loss, Jittery, Distant, TrendCongestion, BandwidthPostponed, BandwidthCapped, CentralDown,
	CentralAuth, CentralFallback, ProfileRejected,
}

package agent

// ArgOutage marks, beside a finding's own arguments, what the vendor knows to be an
// outage: it holds the cause. No report leaves the box with it.
const ArgOutage = "outage"

// Args lists, for each code, the arguments that its rule supplies and its texts
// may use. An argument that a finding cannot fill is absent, never empty, and
// those in brackets may be absent.
//
//	host hosts   names, or addresses where there is no name; hosts by ", "
//	port ports   one port; several by ", ", a range by "-"; the ports of
//	             turn-all-block, turn-server and guest-net say "UDP 5349"
//	addrs        addresses by ", "
//	lost of      how many of how many were lost
//	sender       address of the device that rejected, from its ICMP error
//	open of      how many of how many answered
var Args = map[Code][]string{
	LinkDown:           {"interface"},
	LinkSlow:           {"interface", "[speed]", "[duplex]"}, // speed in Mbit/s
	AddressConflict:    {"addr"},
	BoxPower:           {},
	BoxStorage:         {},
	LANUnstable:        {"gateway", "[lost]", "[of]", "[jitter_ms]"},
	Interrupted:        {"hosts"},
	WANRedial:          {},
	LineFailover:       {"rtt_ms", "usual_ms"},
	MTUBlackhole:       {"mtu", "[lost]"}, // bytes: passes, is lost
	MTULow:             {"mtu"},
	IPv6Only:           {"[prefix]"},
	IPv6Broken:         {"hosts"},
	DNSSlow:            {"ms", "[resolver]"},
	DNSFlaky:           {"lost", "of", "[resolver]"},
	DNSPartBlock:       {"host", "open", "blocked"}, // addresses here
	TISeries:           {"ports"},
	ProxyRequired:      {"hosts", "proxy"},
	TLSBigHello:        {"hosts", "ports"},
	TLSSNIReset:        {"hosts", "ports"},
	CertSoon:           {"host", "port", "expires"},
	NATTableFull:       {"lost", "of"},
	UDPRateLimited:     {"lost", "of"},
	STUNALG:            {"host", "port"},
	NATIPFlap:          {},
	NATDouble:          {"hops"}, // addresses by ", "
	NATCGN:             {"hop"},
	NATShort:           {"seconds"},
	NATSIdleCut:        {"host", "port", "seconds"},
	DHCPNone:           {"interface"},
	GatewayUnreachable: {"gateway"},
	RouteLocal:         {"host"},
	WANDown:            {"[gateway]", "[sender]"},
	ClockWrong:         {"[skew_s]"}, // far end's clock minus ours, whole seconds
	Captive:            {"host", "[portal]"},
	DNSFail:            {"[resolver]"},
	DNSNX:              {"hosts", "[resolver]"},
	DNSBogon:           {"hosts", "addrs", "[resolver]"},
	DNSDrift:           {"host", "addrs", "pins"},
	DNSDriftBlock:      {"host", "open", "blocked"}, // addresses here
	GuestNet:           {"ports"},
	HTTPSBlock:         {"host", "port", "[sender]"},
	HTTPSServer:        {"host", "port", "[status]"},
	TLSIntercept:       {"hosts", "issuer", "[maker]"},
	CertBad:            {"host", "port", "[expires]"},
	UDPAllBlock:        {"hosts", "ports", "[sender]"},
	STUNUDPBlock:       {"host", "port", "[sender]"},
	STUNServer:         {"host", "port"},
	TURNUDPBlock:       {"host", "port", "[sender]"},
	TURNUDPServer:      {"host", "port"},
	TURNTCPBlock:       {"host", "port", "[sender]"},
	TURNTCPServer:      {"host", "port"},
	TURNAllBlock:       {"hosts", "ports", "[sender]"},
	TURNServer:         {"hosts", "ports"},
	TURNDPIPlain:       {"host", "port"},
	TURNOpen:           {"host", "port"},
	TURNAuth:           {"host", "port"},
	TURNQuota:          {"host", "port"},
	TURNRelay403:       {"host", "port"},
	TURNNoMedia:        {"host", "port"},
	TURNTCPOnly:        {"host", "port"},
	TURNDPITLS:         {"host", "port"},
	HighPortUDPBlock:   {"host", "port"},
	NATEDM:             {},
	NATEDMNoRelay:      {},
	GroupBlockAll:      {"hosts", "addrs", "port", "[sender]"},
	GroupBlockSome:     {"hosts", "addrs", "port", "open", "of", "[sender]"}, // hosts and addrs that are blocked
	GroupServer:        {"hosts", "addrs", "port", "open", "of"},
	WSStripped:         {"hosts", "port", "[status]"},
	NATSProtoBad:       {"hosts", "port"},
	PortRangeUDP:       {"host", "ports", "[sender]"},
	PortRangeTCP:       {"host", "ports", "[sender]"},
	PortRangePartial:   {"host", "ports", "transport", "blocked"}, // blocked ports
	PortRangeUnknown:   {"host", "ports", "transport"},
	BandwidthMin:       {"[down]", "[up]", "[need_down]", "[need_up]", "[rule]"}, // Mbit/s; rule: what the law asks for
	BandwidthHD:        {"[down]", "[up]", "[need_down]", "[need_up]"},
	Bloat:              {"idle_ms", "[down_ms]", "[up_ms]"},
	Loss:               {"percent", "[least]", "limit"}, // least: with 95 % confidence
	Jittery:            {"jitter_ms", "limit"},
	Distant:            {"rtt_ms", "limit"},
	TrendCongestion:    {"from", "until", "poor", "of"}, // hours by the clock on the wall; days
	BandwidthPostponed: {"[host]"},
	BandwidthCapped:    {"[down]", "[up]"},
	CentralDown:        {"host"},
	CentralAuth:        {"host"},
	CentralFallback:    {"hosts"},     // "host:port", those that were passed over
	ProfileRejected:    {"[version]"}, // of the settings
}

package agent

// Key names a value of evidence. Its unit is part of the name.
type Key string

// Kind is the kind of value that a key holds.
type Kind uint8

// The kinds.
const (
	Number Kind = iota
	Words
	Fact
)

// The keys of evidence.
const (
	RTT           Key = "rtt_ms"
	Sends         Key = "sends_count"
	ConnectTime   Key = "connect_ms"
	TLSTime       Key = "tls_ms"
	ICMPType      Key = "icmp_type"
	ICMPCode      Key = "icmp_code"
	ICMPFrom      Key = "icmp_from"
	MappedAddr    Key = "mapped_addr"
	ALGRewrite    Key = "alg_rewrite"
	OtherAddr     Key = "other_addr"
	Mapping       Key = "nat_mapping"
	Filtering     Key = "nat_filtering"
	Destinations  Key = "destinations_count"
	MappedPorts   Key = "mapped_ports_count"
	MappedIPs     Key = "mapped_ips_count"
	STUNError     Key = "stun_error_code"
	Realm         Key = "realm"
	Relayed       Key = "relayed"
	Software      Key = "software"
	TLSVersion    Key = "tls_version"
	TLSIssuer     Key = "tls_issuer"
	TLSMaker      Key = "tls_maker"
	TLSKeyHash    Key = "tls_key_sha256"
	CertExpires   Key = "cert_expires_at"
	ClockSkew     Key = "clock_skew_s"
	HTTPStatus    Key = "http_status"
	LocationHost  Key = "location_host"
	HTTPVia       Key = "http_via"
	WSStatus      Key = "ws_status"
	WSUpgrade     Key = "ws_upgrade"
	NATSVersion   Key = "nats_version"
	NATSNeedsAuth Key = "nats_auth_required"
	NATSNeedsTLS  Key = "nats_tls_required"
	Rungs         Key = "rungs"
	Resolver      Key = "resolver"
	BadResolver   Key = "bad_resolver"
	Addrs         Key = "addrs"
	Pins          Key = "pins"
	RCode         Key = "rcode"
	Interface     Key = "interface"
	Carrier       Key = "carrier"
	Speed         Key = "speed_bits_per_s"
	Duplex        Key = "duplex"
	LocalAddr     Key = "local_addr"
	Gateway       Key = "gateway"
	Neighbour     Key = "gateway_neighbour"
	MTU           Key = "mtu_bytes"
	ClockSynced   Key = "clock_synced"
	BeforeBuild   Key = "clock_before_build"
	Sampled       Key = "sampled_count"
	Open          Key = "open_count"
	Barred        Key = "rejected_count"
	Quiet         Key = "silent_count"
	BarredPorts   Key = "rejected_ports"
	Queued        Key = "queued_count"
	Dropped       Key = "dropped_count"
	Hops          Key = "hops"
	LastHop       Key = "last_hop_count"
	LastHopFrom   Key = "last_hop_from"
	ControlHop    Key = "control_hop_count"
	PathMTU       Key = "path_mtu_bytes"
	LostSize      Key = "lost_size_bytes"
	Sent          Key = "sent_count"
	Received      Key = "received_count"
	SendRate      Key = "rate_per_s"
	Jitter        Key = "jitter_ms"
	RTTMax        Key = "rtt_max_ms"
	IdleAlive     Key = "idle_alive_s"
	IdleDead      Key = "idle_dead_s"
	HelloPlain    Key = "hello_plain"
	HelloSmall    Key = "hello_small"
	HelloOther    Key = "hello_other_name"
	Proxy         Key = "proxy"
	IPv6Addr      Key = "ipv6_addr"
	IPv6Route     Key = "ipv6_route"
	NAT64         Key = "nat64_prefix"
	ClientAddr    Key = "client_addr"
	AddrConflict  Key = "addr_conflict"
	Undervoltage  Key = "undervoltage"
	StateWritable Key = "state_writable"
	StateFree     Key = "state_free_bytes"
	Retried       Key = "retried_count"
	Damaged       Key = "damaged_count"
	SpoolBytes    Key = "spool_bytes"
	InMemory      Key = "spool_in_memory"
	PassedOver    Key = "passed_over"
	Version       Key = "assignment_version"
	DownRate      Key = "down_bits_per_s"
	UpRate        Key = "up_bits_per_s"
	DownLimit     Key = "down_limited_by"
	UpLimit       Key = "up_limited_by"
	IdleRTT       Key = "idle_rtt_ms"
	DownLoadedRTT Key = "down_loaded_rtt_ms"
	UpLoadedRTT   Key = "up_loaded_rtt_ms"
	DownLoss      Key = "down_loss_ratio"
	UpLoss        Key = "up_loss_ratio"
	DownJitter    Key = "down_jitter_ms"
	UpJitter      Key = "up_jitter_ms"
	LocalDrops    Key = "local_drop_ratio"
	TestBytes     Key = "test_bytes"
	RetryIn       Key = "retry_in_s"
	PutOff        Key = "put_off_by"
	FromHour      Key = "from_hour"
	UntilHour     Key = "until_hour"
	PoorDays      Key = "poor_days"
	LookedDays    Key = "looked_days"
	InHours       Key = "in_hours"
	LossBothWays  Key = "loss_ratio"
	Reordered     Key = "reordered_count"
	Duplicates    Key = "duplicate_count"
	VideoRate     Key = "video_bits_per_s"
	VideoLoss     Key = "video_loss_ratio"
	MOS           Key = "mos_score"
	HighPort      Key = "high_port"
	Punched       Key = "hole_punched"
	PortKept      Key = "mapping_kept"
	OwnCPU        Key = "own_cpu_ratio"
	Late          Key = "late_ms"
	LossLow       Key = "loss_low_ratio"
	LossHigh      Key = "loss_high_ratio"
	DownLossLow   Key = "down_loss_low_ratio"
	DownLossHigh  Key = "down_loss_high_ratio"
	UpLossLow     Key = "up_loss_low_ratio"
	UpLossHigh    Key = "up_loss_high_ratio"
	Detail        Key = "detail"
)

// KeyInfo says what a key holds.
type KeyInfo struct {
	Kind    Kind
	Meaning string
}

// Keys lists every key that evidence may carry.
var Keys = map[Key]KeyInfo{
	RTT:           {Number, "round trip of the answer that counted, milliseconds"},
	Sends:         {Number, "datagrams sent until the answer came"},
	ConnectTime:   {Number, "TCP connection set-up, milliseconds"},
	TLSTime:       {Number, "TLS or DTLS handshake, milliseconds"},
	ICMPType:      {Number, "type of the ICMP error that came back"},
	ICMPCode:      {Number, "code of the ICMP error that came back"},
	ICMPFrom:      {Words, "address that sent the ICMP error"},
	MappedAddr:    {Words, "address and port that the far end saw (cut in reports)"},
	ALGRewrite:    {Fact, "MAPPED-ADDRESS and XOR-MAPPED-ADDRESS differ"},
	OtherAddr:     {Words, "another address of the STUN server, which it offers for comparisons (RFC 5780)"},
	Mapping:       {Words, "endpoint-independent, address-dependent or several-addresses"},
	Filtering:     {Words, "endpoint-independent, address-dependent or address-and-port-dependent"},
	Destinations:  {Number, "destinations that answered the one socket"},
	MappedPorts:   {Number, "different public ports they saw"},
	MappedIPs:     {Number, "different public addresses they saw"},
	STUNError:     {Number, "ERROR-CODE of the STUN answer"},
	Relayed:       {Fact, "a datagram came back through the relay; false proves nothing"},
	Realm:         {Words, "REALM of the TURN answer"},
	Software:      {Words, "SOFTWARE of the STUN answer"},
	TLSVersion:    {Words, "negotiated protocol version"},
	TLSIssuer:     {Words, "issuer of the certificate shown"},
	TLSMaker:      {Words, "maker of the appliance that the issuer names"},
	TLSKeyHash:    {Words, "SHA-256 of the leaf's public key, hex, first 16 digits"},
	CertExpires:   {Words, "end of the leaf certificate, RFC 3339"},
	ClockSkew:     {Number, "far end's clock minus ours, seconds"},
	HTTPStatus:    {Number, "HTTP status of the answer"},
	LocationHost:  {Words, "host that a redirect points to"},
	HTTPVia:       {Fact, "the answer says that it passed an HTTP proxy, the service's or the network's"},
	WSStatus:      {Number, "HTTP status of the WebSocket upgrade"},
	WSUpgrade:     {Fact, "the WebSocket upgrade was accepted with our key"},
	NATSVersion:   {Words, "server version of NATS INFO"},
	NATSNeedsAuth: {Fact, "auth_required of NATS INFO"},
	NATSNeedsTLS:  {Fact, "tls_required of NATS INFO"},
	Rungs:         {Words, "ladder steps tried and how each ended"},
	Resolver:      {Words, "name server that was asked"},
	BadResolver:   {Words, "name server that was asked first and was no help, or not at once"},
	Addrs:         {Words, "addresses in the answer, separated by blanks"},
	Pins:          {Words, "addresses that the service has published"},
	RCode:         {Words, "DNS response code"},
	Interface:     {Words, "network interface"},
	Carrier:       {Fact, "the cable has a link"},
	Speed:         {Number, "link speed, bits per second"},
	Duplex:        {Words, "full or half"},
	LocalAddr:     {Words, "own address with prefix length"},
	Gateway:       {Words, "default gateway"},
	Neighbour:     {Words, "reachable, failed or unknown"},
	MTU:           {Number, "interface MTU, bytes"},
	ClockSynced:   {Fact, "the kernel's clock is disciplined by NTP"},
	BeforeBuild:   {Fact, "the clock is before this program was built"},
	Sampled:       {Number, "ports sampled"},
	Open:          {Number, "sampled ports that the target itself answered or refused"},
	Barred:        {Number, "sampled ports that a middlebox rejected"},
	Quiet:         {Number, "sampled ports without any answer"},
	BarredPorts:   {Words, "ports that a middlebox rejected, ascending, by \", \""},
	Queued:        {Number, "reports waiting to be sent"},
	Hops:          {Words, "routers that answered on the way, nearest first; * for one that did not"},
	LastHop:       {Number, "how far this target's packets came: routers that answered to them"},
	LastHopFrom:   {Words, "address of the last of these routers"},
	ControlHop:    {Number, "how far packets to the control target came, by the same count"},
	PathMTU:       {Number, "largest IP packet that came through unbroken"},
	LostSize:      {Number, "smallest IP packet that was lost without notice while smaller ones passed"},
	Sent:          {Number, "datagrams or questions sent"},
	Received:      {Number, "of these, how many were answered"},
	SendRate:      {Number, "datagrams a second while sending"},
	Jitter:        {Number, "RFC 3550 interarrival jitter of the answers, milliseconds"},
	RTTMax:        {Number, "slowest answer, milliseconds"},
	IdleAlive:     {Number, "longest silence that the connection survived, seconds"},
	IdleDead:      {Number, "shortest silence after which it was dead, seconds"},
	HelloPlain:    {Words, "how a usual ClientHello with the real name ended: answered, or the reason"},
	HelloSmall:    {Words, "the same, small enough for one segment of 1,000 bytes"},
	HelloOther:    {Words, "the same with a neutral name"},
	Proxy:         {Words, "host and port of the proxy that this network offers"},
	IPv6Addr:      {Fact, "there is a public IPv6 address"},
	IPv6Route:     {Fact, "there is a default route for IPv6"},
	NAT64:         {Words, "prefix of this network's IPv4 translator (RFC 7050)"},
	ClientAddr:    {Words, "address that the far end saw over TCP (dropped from reports)"},
	AddrConflict:  {Fact, "another device uses the box's address"},
	Undervoltage:  {Fact, "the board's supply voltage was too low at a look since the program started"},
	StateWritable: {Fact, "the box can keep what must outlive a restart"},
	StateFree:     {Number, "space for that, bytes"},
	Retried:       {Number, "looks that failed just before this one answered"},
	Dropped:       {Number, "reports lost ever, because too many waited or the vendor would not take their size"},
	Damaged:       {Number, "reports lost ever, because the box's disk lost them"},
	SpoolBytes:    {Number, "what the waiting reports take, bytes"},
	PassedOver:    {Words, "host:port of servers that were tried first and let nobody in, by blanks"},
	InMemory:      {Fact, "the box's disk takes no reports: those that wait end with the power"},
	Version:       {Number, "version of the settings that the vendor assigned"},
	DownRate:      {Number, "what arrived at the box, bits per second of payload"},
	UpRate:        {Number, "what arrived at the far end, bits per second of payload"},
	DownLimit:     {Words, "what held down_bits_per_s down: offer (no more was asked for), server, box or line"},
	UpLimit:       {Words, "what held up_bits_per_s down, likewise"},
	IdleRTT:       {Number, "median round trip before the line was used, milliseconds"},
	DownLoadedRTT: {Number, "median round trip while the box received, milliseconds"},
	UpLoadedRTT:   {Number, "median round trip while the box sent, milliseconds"},
	DownLoss:      {Number, "datagrams to the box that the network lost, 0 to 1"},
	UpLoss:        {Number, "datagrams from the box that the network lost, 0 to 1"},
	DownJitter:    {Number, "RFC 3550 interarrival jitter of datagrams to the box, milliseconds"},
	UpJitter:      {Number, "RFC 3550 interarrival jitter of datagrams from the box, milliseconds"},
	LocalDrops:    {Number, "datagrams that reached the box and found no room in it, 0 to 1"},
	TestBytes:     {Number, "payload that the measurement moved, both directions"},
	PutOff:        {Words, "why the last measurement was put off, by its reason; the figures are those of the one before"},
	FromHour:      {Number, "hour by the practice's clock from which the line is regularly poor, 0 to 23"},
	UntilHour:     {Number, "hour from which it is well again, likewise"},
	PoorDays:      {Number, "days of the last two weeks on which the line was poor in those hours"},
	LookedDays:    {Number, "days on which it was looked at in them"},
	InHours:       {Fact, "it is one of those hours now"},
	LossBothWays:  {Number, "packets of media lost on the way there and back, 0 to 1"},
	Reordered:     {Number, "packets of media that came after a later one"},
	Duplicates:    {Number, "packets of media that came again"},
	VideoRate:     {Number, "largest picture that came through, bits per second"},
	VideoLoss:     {Number, "packets lost of the largest picture that was tried, 0 to 1"},
	MOS:           {Number, "guess at how people would rate the sound, 1 to 4.5 (ITU-T G.107): a headline only"},
	HighPort:      {Fact, "datagrams reach a high port of the relay's that no rule names"},
	Punched:       {Fact, "the relay's answer to them came back: what two peers do to meet"},
	PortKept:      {Fact, "the relay saw them come from where the STUN server did"},
	OwnCPU:        {Number, "share of its processors' time that the box itself used meanwhile, 0 to 1"},
	Late:          {Number, "how late the box sent all but one packet in a hundred, milliseconds"},
	LossLow:       {Number, "the least that loss_ratio is, with 95 % confidence for the number of packets (Wilson)"},
	LossHigh:      {Number, "the most that loss_ratio is, likewise"},
	DownLossLow:   {Number, "the least that down_loss_ratio is, likewise"},
	DownLossHigh:  {Number, "the most that down_loss_ratio is, likewise"},
	UpLossLow:     {Number, "the least that up_loss_ratio is, likewise"},
	UpLossHigh:    {Number, "the most that up_loss_ratio is, likewise"},
	RetryIn:       {Number, "when the far end wants to be asked again, seconds"},
	Detail:        {Words, "the system's own words about an error, without addresses"},
}

// Reason says why an outcome is what it is: a closed list, lower-kebab-case.
type Reason string

// The reasons.
const (
	Timeout         Reason = "timeout"
	Reset           Reason = "rst"                       // TCP RST while connecting
	ResetAfter      Reason = "rst-after-connect"         // TCP RST after connecting
	Closed          Reason = "closed"                    // orderly close before an answer
	PortUnreachable Reason = "icmp-port-unreachable"     // 3/3, ICMPv6 1/4
	HostUnreachable Reason = "icmp-host-unreachable"     // 3/1, ICMPv6 1/3
	NetUnreachable  Reason = "icmp-net-unreachable"      // 3/0, ICMPv6 1/0
	AdminProhibited Reason = "icmp-admin-prohibited"     // 3/9, 3/10, 3/13, ICMPv6 1/1
	ProtoUnreach    Reason = "icmp-protocol-unreachable" // 3/2
	TTLExceeded     Reason = "icmp-ttl-exceeded"         // 11/0
	NoRoute         Reason = "no-route"                  // own route: none
	LocalReject     Reason = "local-reject"              // own firewall or route policy
	NoNeighbour     Reason = "no-neighbour"              // next hop does not answer ARP or ND
	Garbage         Reason = "bad-answer"                // bytes that are not the protocol's
	ForeignAnswer   Reason = "foreign-answer"            // right form, but not an answer to us
	TooMuch         Reason = "too-much"                  // answer over the size limit
	NotTLS          Reason = "not-tls"                   // no TLS record came back
	TLSAlert        Reason = "tls-alert"                 // the far end ended the handshake
	TLSUnknownCA    Reason = "tls-unknown-authority"     // chain leads to no root we know
	TLSWrongName    Reason = "tls-wrong-name"            // certificate for another name
	TLSExpired      Reason = "tls-expired"               // expired by any clock we have
	TLSClock        Reason = "tls-clock"                 // valid by the far end's clock, not by ours
	HTTPAnswer      Reason = "http-answer"               // HTTP where another protocol belongs
	HTTPError       Reason = "http-error"                // 5xx of the service
	BlockPage       Reason = "block-page"                // 4xx or foreign redirect in the service's place
	Redirect        Reason = "foreign-redirect"          // plain HTTP sent to a foreign host
	UpgradeRefused  Reason = "upgrade-refused"           // HTTP answered, but no 101 with our key
	NoInfo          Reason = "no-info"                   // connected, but no NATS INFO by any rung
	Unauthorized    Reason = "unauthorized"              // 401 with REALM and NONCE: the proof we look for
	OpenRelay       Reason = "open-relay"                // TURN gave an allocation without credentials
	AuthRefused     Reason = "auth-refused"              // credentials were refused
	NXDomain        Reason = "nxdomain"                  // DNS: no such name
	NoData          Reason = "no-data"                   // DNS: the name has no address
	ServFail        Reason = "servfail"                  // DNS: the resolver could not find out
	DNSRefused      Reason = "dns-refused"               // DNS: the resolver will not say
	Bogon           Reason = "bogon"                     // DNS: an address that cannot be the service's
	NoResolver      Reason = "no-resolver"               // no name server configured
	NoAddress       Reason = "no-address"                // the name gave no address to ask
	NoCarrier       Reason = "no-carrier"                // cable out
	NoLease         Reason = "no-lease"                  // no usable local address
	NoGateway       Reason = "no-gateway"                // no default route
	Cancelled       Reason = "cancelled"                 // the round ended first
	Unsupported     Reason = "unsupported"               // this system cannot look
	ServerBusy      Reason = "server-busy"               // the measuring server serves others first
	LineInUse       Reason = "line-in-use"               // a measurement would disturb somebody
	BackupLine      Reason = "backup-line"               // nothing is measured on it
	BudgetUsed      Reason = "budget-used"               // measurements may move no more data now
	TooFew          Reason = "too-few-answers"           // not enough answers to compare
	LostLarge       Reason = "large-lost"                // small packets pass, large ones vanish
	LostSome        Reason = "some-lost"                 // a part was not answered
	NoMedia         Reason = "no-media"                  // a relay gave allocations, but nothing came back by them
	PeerDenied      Reason = "peer-denied"               // a relay does not relay back to its own clients
	DTLSLost        Reason = "dtls-lost"                 // datagrams pass, the handshake of DTLS does not
	NoCredentials   Reason = "no-credentials"            // nobody gave any
	BoxBusy         Reason = "box-busy"                  // the box was too busy to measure
	NoProxy         Reason = "no-proxy"                  // this network offers none
	NoIPv6          Reason = "no-ipv6"                   // no public IPv6 address or route
	Unclaimed       Reason = "unclaimed"                 // the box belongs to no vendor yet
	NotAccepted     Reason = "not-accepted"              // assigned settings that the box will not use
	Panicked        Reason = "panic"                     // our own mistake, caught
	OtherError      Reason = "other-error"               // see detail
)

// Reasons lists every reason that evidence may give.
var Reasons = []Reason{
	Timeout, Reset, ResetAfter, Closed, PortUnreachable, HostUnreachable, NetUnreachable,
	AdminProhibited, ProtoUnreach, TTLExceeded, NoRoute, LocalReject, NoNeighbour, Garbage,
	ForeignAnswer, TooMuch, NotTLS, TLSAlert, TLSUnknownCA, TLSWrongName, TLSExpired, TLSClock,
	HTTPAnswer, HTTPError, BlockPage, Redirect, UpgradeRefused, NoInfo, Unauthorized, OpenRelay,
	AuthRefused, NXDomain, NoData, ServFail, DNSRefused, Bogon, NoResolver, NoAddress, NoCarrier,
	NoLease, NoGateway, Cancelled, Unsupported, TooFew, LostLarge, LostSome, NoProxy, NoIPv6,
	Unclaimed, NotAccepted, Panicked, OtherError, ServerBusy, LineInUse, BackupLine, BudgetUsed,
	NoMedia, PeerDenied, DTLSLost, NoCredentials, BoxBusy,
}

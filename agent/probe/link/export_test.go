package link

import "net/netip"

// The parsers of what the kernel prints, for fuzzing without files.
var (
	ParseRoutes4 = parseRoutes4
	ParseRoutes6 = parseRoutes6
	ParseIfInet6 = parseIfInet6
	IoctlAddr    = ioctlAddr
	NetlinkAddrs = netlinkAddrs
	Outward      = outward
	Conflict     = conflict
	ARPProbe     = arpProbe
	Claims       = claims
	IsClaim      = isClaim
)

// Neighbour is what an ARP table says of a gateway.
func Neighbour(table []byte, a netip.Addr, device string) string {
	return string(parseARP(table, a, device))
}

// Device, Gateway and Metric are the parts of a route.
func (r route) Device() string      { return r.device }
func (r route) Gateway() netip.Addr { return r.gateway }
func (r route) Metric() uint64      { return r.metric }

// The echo messages, for fuzzing.
var (
	EchoRequest = echoRequest
	EchoReply   = echoReply
	Checksum    = checksum
)

package reach

import (
	"net"
	"net/netip"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Types and codes of ICMP (RFC 792, RFC 1812 section 5.2.7) and ICMPv6
// (RFC 4443 section 3).
const (
	unreachable    = 3
	timeExceeded   = 11
	unreachable6   = 1
	timeExceeded6  = 3
	paramProblem6  = 4
	unknownHeader6 = 1 // code
)

// grade says what an entry of the error queue means for an attempt to reach
// an address. It is false for entries that decide nothing, such as "packet too
// big", on which the kernel acts by itself.
func grade(n notice, to netip.Addr) (Result, bool) {
	var why agent.Reason
	switch n.origin {
	case fromLocal:
		return ownErrno(n.errno), true
	case fromICMP:
		why = reason4(n.icmp)
	case fromICMP6:
		why = reason6(n.icmp)
	}
	if why == "" || !n.icmp.From.IsValid() {
		return Result{}, false
	}
	r := Result{Outcome: agent.Rejected, Reason: why, ICMP: n.icmp}
	switch {
	case n.icmp.From == to.WithZone(""):
		r.Outcome = agent.Refused
	case isOwn(n.icmp.From):
		// The kernel reports its own troubles as ICMP errors to itself.
		r = Result{Outcome: agent.NotLooked, Reason: agent.LocalReject}
		if why == agent.HostUnreachable {
			r.Reason = agent.NoNeighbour
		}
	}
	return r, true
}

// isOwn reports whether this machine has an address.
func isOwn(a netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, have := range addrs {
		p, err := netip.ParsePrefix(have.String())
		if err == nil && p.Addr().WithZone("") == a {
			return true
		}
	}
	return false
}

func reason4(m ICMP) agent.Reason {
	switch m.Type {
	case timeExceeded:
		if m.Code == 0 { // 1 is about reassembly
			return agent.TTLExceeded
		}
		return ""
	case unreachable:
	default:
		return ""
	}
	switch m.Code {
	case 0, 5, 6, 11:
		return agent.NetUnreachable
	case 1, 7, 8, 12:
		return agent.HostUnreachable
	case 2:
		return agent.ProtoUnreach
	case 3:
		return agent.PortUnreachable
	case 9, 10, 13, 14, 15:
		return agent.AdminProhibited
	}
	return "" // 4 is "packet too big"
}

func reason6(m ICMP) agent.Reason {
	switch {
	case m.Type == timeExceeded6 && m.Code == 0:
		return agent.TTLExceeded
	case m.Type == paramProblem6 && m.Code == unknownHeader6:
		return agent.ProtoUnreach
	case m.Type != unreachable6:
		return ""
	}
	switch m.Code {
	case 0:
		return agent.NetUnreachable
	case 1, 5, 6: // 5 and 6 are special cases of 1, RFC 4443 section 3.1
		return agent.AdminProhibited
	case 2, 3:
		return agent.HostUnreachable
	case 4:
		return agent.PortUnreachable
	}
	return ""
}

// isSoft reports whether an entry may be about a passing state of the routes
// (RFC 1122 section 4.2.3.9): it counts only if nothing better comes.
func isSoft(r Result) bool {
	if r.Outcome == agent.Refused {
		return false
	}
	switch r.Reason {
	case agent.NetUnreachable, agent.HostUnreachable, agent.NoNeighbour:
		return true
	}
	return false
}

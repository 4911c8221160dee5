package agent

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Transport is how packets travel to a target.
type Transport string

// The transports.
const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
)

// Service is the protocol that a target speaks.
type Service string

// The services a profile can name.
const (
	HTTPS Service = "https" // web application and signalling
	STUN  Service = "stun"  // RFC 8489 Binding
	TURN  Service = "turn"  // RFC 8656 Allocate
	NATS  Service = "nats"  // NATS client protocol, by any of its variants
	Range Service = "range" // a range of ports, no protocol known
)

// Variant is the way a service may be spoken on one port.
type Variant string

// The variants.
const (
	Plain    Variant = "plain"
	TLS      Variant = "tls"       // TLS over TCP; for NATS: INFO first, then TLS
	DTLS     Variant = "dtls"      // DTLS over UDP
	TLSFirst Variant = "tls-first" // NATS: TLS handshake before INFO
	WS       Variant = "ws"        // NATS over WebSocket without TLS
	WSS      Variant = "wss"       // NATS over WebSocket over TLS
	Uncached Variant = "uncached"  // DNS: a name that no cache can know
)

// Target is one thing a video service needs to reach. A profile's target may
// name several addresses, ports and variants; a probe gets it narrowed to one
// of each by [Target.At]. In reports only host, addr, port, transport and
// variant are written.
type Target struct {
	Host      string     `json:"host,omitempty"`      // DNS name or address literal
	Addr      netip.Addr `json:"addr,omitzero"`       // the one address to ask; zero: not narrowed
	Port      uint16     `json:"port,omitempty"`      // the port, or the first of a range
	LastPort  uint16     `json:"last_port,omitempty"` // the last port of a range; 0: just Port
	Transport Transport  `json:"transport,omitempty"`
	Variant   Variant    `json:"variant,omitempty"` // the one variant to speak; empty: not narrowed

	Service  Service      `json:"-"`
	Pins     []netip.Addr `json:"-"` // addresses that the service has published for Host
	Variants []Variant    `json:"-"` // what to try, in this order
	AltPorts []uint16     `json:"-"` // ports that serve as well; one answer of all is enough
	Path     string       `json:"-"` // path for a WebSocket upgrade; empty: not known
	Required bool         `json:"-"` // false: reported, but never harms
	Feeds    []Capability `json:"-"` // what needs it
	Pushed   bool         `json:"-"` // named by the vendor over the network: only asked on the public internet, and never told credentials
}

// At returns t narrowed to one address and variant.
func (t Target) At(addr netip.Addr, v Variant) Target {
	t.Addr, t.Variant = addr.Unmap(), v
	return t
}

// AddrPort is where a narrowed target is asked.
func (t Target) AddrPort() netip.AddrPort { return netip.AddrPortFrom(t.Addr, t.Port) }

// Pinned reports whether the service has published a for this target.
func (t Target) Pinned(a netip.Addr) bool {
	for _, p := range t.Pins {
		if p.Unmap() == a.Unmap() {
			return true
		}
	}
	return false
}

// String is the target as a person or a rule would write it:
// host:port/transport, with the address in place of a missing host.
func (t Target) String() string {
	host := t.Host
	if host == "" && t.Addr.IsValid() {
		host = t.Addr.String()
	}
	if t.Port == 0 {
		return host
	}
	port := strconv.Itoa(int(t.Port))
	if t.LastPort > t.Port {
		port += "-" + strconv.Itoa(int(t.LastPort))
	}
	return fmt.Sprintf("%s/%s", net.JoinHostPort(host, port), t.Transport)
}

// Profile is what one video service needs, as data.
type Profile struct {
	Name       string // lower-kebab-case
	Title      string // as people call the service
	Version    string
	Source     string // URL of the vendor's page
	Date       string // of that page, RFC 3339 date or year and month
	Contact    string // who answers questions; may be empty
	Targets    []Target
	Thresholds Thresholds
	// Capacity asks what the practice's line carries at most, which fills it for some
	// seconds.
	Capacity bool
}

// Offers reports whether any target of the profile feeds c.
func (p Profile) Offers(c Capability) bool {
	for _, t := range p.Targets {
		for _, f := range t.Feeds {
			if f == c {
				return true
			}
		}
	}
	return false
}

// Thresholds are the quality limits of a profile. Zero means that the service
// names none.
type Thresholds struct {
	MinDownBitsPerS float64 // below: calls suffer
	MinUpBitsPerS   float64
	HDDownBitsPerS  float64 // below: no high definition
	HDUpBitsPerS    float64
	// RegulatedDownBitsPerS is what the law asks of the practice's line,
	// which can be more than the service does.
	RegulatedDownBitsPerS float64
	LossWarnRatio         float64 // 0 to 1
	LossBadRatio          float64
	RTTWarnMS             float64
	RTTBadMS              float64
	JitterWarnMS          float64
	JitterBadMS           float64
}

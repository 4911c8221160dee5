package internet

import (
	"encoding/binary"
	"io"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Zone is what the internet's name server knows and how it behaves. The zero
// value knows nothing and says so at once.
type Zone struct {
	Hosts    map[string][]netip.Addr // by name without a dot at the end
	Delay    time.Duration           // before each answer
	Drop     float64                 // how many questions stay unanswered, 0 to 1
	Unknown  []string                // these and all names below are NXDOMAIN
	Sinkhole map[string]netip.Addr   // these and all names below lead there
	Rotate   bool                    // one of a name's addresses an answer, in turn
	DNS64    netip.Prefix            // where set, names without AAAA get one from their A (RFC 6147)
}

// Names is an authoritative name server for everything. It is safe for use by
// several goroutines.
type Names struct {
	mu    sync.Mutex
	zone  Zone
	asked int
}

// Change lets edit change what the server knows, and undo brings the old state
// back. The maps and slices in the zone are edit's own.
func (n *Names) Change(edit func(z *Zone)) (undo func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.zone
	z := old
	z.Hosts, z.Sinkhole, z.Unknown = maps.Clone(z.Hosts), maps.Clone(z.Sinkhole), slices.Clone(z.Unknown)
	edit(&z)
	n.zone = z
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.zone = old
	}
}

// look is the zone now, and how many questions came before this one.
func (n *Names) look() (Zone, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	return n.zone, n.asked - 1
}

// drops reports whether a question, by its number, is one that stays unanswered:
// they are spread evenly, so that a few show the share.
func (z *Zone) drops(count int) bool {
	return math.Floor(float64(count+1)*z.Drop) > math.Floor(float64(count)*z.Drop)
}

// serveUDP answers until the socket is closed.
func (n *Names) serveUDP(c net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		size, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		z, count := n.look()
		if z.drops(count) {
			continue
		}
		answer := z.answer(buf[:size], count)
		time.AfterFunc(z.Delay, func() { _, _ = c.WriteTo(answer, from) })
	}
}

// serveTCP answers questions with a length before them (RFC 1035, 4.2.2).
func (n *Names) serveTCP(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		z, count := n.look()
		if z.drops(count) {
			continue
		}
		answer := z.answer(q, count)
		time.AfterFunc(z.Delay, func() {
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
		})
	}
}

// answer is empty where no question can be read.
func (z Zone) answer(packet []byte, count int) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(packet)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	addrs, known := z.lookup(name)
	h = dnsmessage.Header{ID: h.ID, Response: true, RecursionDesired: h.RecursionDesired, RecursionAvailable: true}
	if !known {
		h.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, h)
	b.EnableCompression()
	_ = b.StartQuestions()
	_ = b.Question(q)
	_ = b.StartAnswers()
	rh := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 30}
	for _, a := range z.rotate(of(q.Type, addrs, z.DNS64), count) {
		if a.Is4() {
			_ = b.AResource(rh, dnsmessage.AResource{A: a.As4()})
		} else {
			_ = b.AAAAResource(rh, dnsmessage.AAAAResource{AAAA: a.As16()})
		}
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

func (z Zone) lookup(name string) (addrs []netip.Addr, known bool) {
	for above, to := range z.Sinkhole {
		if within(name, above) {
			return []netip.Addr{to}, true
		}
	}
	if slices.ContainsFunc(z.Unknown, func(above string) bool { return within(name, above) }) {
		return nil, false
	}
	addrs, known = z.Hosts[name]
	return addrs, known
}

func within(name, above string) bool {
	return name == above || strings.HasSuffix(name, "."+above)
}

func (z Zone) rotate(addrs []netip.Addr, count int) []netip.Addr {
	if !z.Rotate || len(addrs) < 2 {
		return addrs
	}
	return addrs[count%len(addrs):][:1]
}

// of picks the addresses of one record type.
func of(kind dnsmessage.Type, addrs []netip.Addr, nat64 netip.Prefix) (out []netip.Addr) {
	for _, a := range addrs {
		if kind == dnsmessage.TypeA && a.Is4() || kind == dnsmessage.TypeAAAA && a.Is6() {
			out = append(out, a)
		}
	}
	if kind == dnsmessage.TypeAAAA && len(out) == 0 && nat64.IsValid() {
		for _, a := range addrs {
			if a.Is4() {
				out = append(out, embed(nat64, a))
			}
		}
	}
	return out
}

// embed writes an IPv4 address into the end of a prefix of 96 bits (RFC 6052).
func embed(prefix netip.Prefix, a netip.Addr) netip.Addr {
	b, v4 := prefix.Addr().As16(), a.As4()
	copy(b[12:], v4[:])
	return netip.AddrFrom16(b)
}

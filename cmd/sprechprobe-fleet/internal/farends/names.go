package farends

import (
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is the name server: it knows the service's names and no other.
type zone struct {
	addr func(host string) netip.Addr
	mu   sync.Mutex
	gone map[string]bool // names that do not exist for now
}

func (s *Service) openNames() error {
	z := &zone{addr: s.addr, gone: map[string]bool{}}
	door, err := newPacketDoor(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return err
	}
	s.zone, s.doors.dns = z, door
	done := make(chan struct{})
	go func() {
		defer close(done)
		z.serve(door)
	}()
	s.later(closer(func() error {
		err := door.Close()
		<-done
		return err
	}))
	return nil
}

func (z *zone) serve(c net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := z.answer(buf[:n]); answer != nil {
			_, _ = c.WriteTo(answer, from)
		}
	}
}

// hide makes a name unknown, or known again.
func (z *zone) hide(name string, gone bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.gone[name] = gone
}

func (z *zone) lookup(name string) (netip.Addr, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	_, ok := numbers[name]
	return z.addr(name), ok && !z.gone[name]
}

// answer is the reply to a question, nil for what is none.
func (z *zone) answer(query []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	addr, known := z.lookup(name)
	head := dnsmessage.Header{ID: h.ID, Response: true, RecursionDesired: h.RecursionDesired, RecursionAvailable: true}
	if !known {
		head.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, head)
	b.EnableCompression()
	if b.StartQuestions() != nil || b.Question(q) != nil || b.StartAnswers() != nil {
		return nil
	}
	if known && q.Type == dnsmessage.TypeA && q.Class == dnsmessage.ClassINET {
		rr := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 5}
		if b.AResource(rr, dnsmessage.AResource{A: addr.As4()}) != nil {
			return nil
		}
	}
	out, err := b.Finish()
	if err != nil {
		return nil
	}
	return out
}

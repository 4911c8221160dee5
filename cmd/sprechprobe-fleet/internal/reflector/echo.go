package reflector

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v2"
)

// Bounds of what is answered in a second. A box asks 50 times.
const (
	perSource  = 200
	perSecond  = 20_000
	maxSources = 10_000
)

// echo answers STUN Binding requests: the far end of latency probes. An answer
// is hardly larger than its question, and is no question itself.
type echo struct {
	mu      sync.Mutex
	second  int64
	sources map[netip.Addr]int
	all     int
}

func (e *echo) answer(b []byte, from netip.AddrPort) []byte {
	if !stun.IsMessage(b) || !e.admits(from.Addr(), time.Now().Unix()) {
		return nil
	}
	var m stun.Message
	m.Raw = append(m.Raw, b...)
	if m.Decode() != nil || m.Type != stun.BindingRequest {
		return nil
	}
	out, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: net.IP(from.Addr().AsSlice()), Port: int(from.Port())})
	if err != nil {
		return nil
	}
	return out.Raw
}

// admits counts a datagram of an address in a second.
func (e *echo) admits(from netip.Addr, second int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if second != e.second || e.sources == nil {
		e.second, e.all, e.sources = second, 0, map[netip.Addr]int{}
	}
	if e.all >= perSecond || e.sources[from] >= perSource || len(e.sources) >= maxSources && e.sources[from] == 0 {
		return false
	}
	e.all++
	e.sources[from]++
	return true
}

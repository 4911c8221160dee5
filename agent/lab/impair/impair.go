// Package impair makes the packets of a network late, lost, out of order or other
// than they were sent: the kernel hands them to this process (NFQUEUE) and waits
// for its verdict. This needs no netem, which few kernels have. It does not know
// which packets these are, the caller's firewall rules do.
package impair

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// How is what befalls packets. The zero value lets them pass.
type How struct {
	Delay   time.Duration
	Jitter  time.Duration // more delay, up to this and evenly spread; the order stays
	Reorder float64       // how many overtake those that wait, 0 to 1
	Loss    float64       // how many are lost, 0 to 1
	Burst   float64       // mean number of packets lost in a row; below 1 they are lost singly
	// Rewrite returns what goes on instead of an IP packet, nil for no change. Its
	// checksums are the callee's duty.
	Rewrite func(packet []byte) []byte
}

// Queue is an NFQUEUE. It is safe for use by several goroutines.
type Queue struct {
	nf     *nfqueue.Nfqueue
	cancel context.CancelFunc
	wait   chan held
	hurry  chan struct{} // closed when nothing has to wait any more
	done   chan struct{}

	mu    sync.Mutex
	how   How
	lossy bool // amid a burst
}

// held is a packet without a verdict.
type held struct {
	id   uint32
	till time.Time
	with []byte // instead, if any
	last bool   // is no packet, but the end of them
}

// capacity is how many packets may wait: 2 s of a 50 Mbit/s line.
const capacity = 8192

// Open takes over a queue of a network by its number. Packets of a queue that is
// not open are lost, unless the firewall's rule says "bypass".
func Open(n *lab.Network, number uint16, how How) (*Queue, error) {
	q := &Queue{how: how, wait: make(chan held, capacity), hurry: make(chan struct{}), done: make(chan struct{})}
	var err error
	inside := n.Do(func() {
		q.nf, err = nfqueue.Open(&nfqueue.Config{
			NfQueue: number, MaxQueueLen: capacity, MaxPacketLen: 0xffff, Copymode: nfqueue.NfQnlCopyPacket, AfFamily: unix.AF_UNSPEC,
		})
	})
	if inside != nil {
		return nil, inside
	}
	if err != nil {
		return nil, fmt.Errorf("queue %d of %s: %w", number, n.Name(), err)
	}
	_ = q.nf.Con.SetReadBuffer(4 << 20)
	_ = q.nf.SetOption(netlink.NoENOBUFS, true) // an overflow is a loss, as on a line
	ctx, cancel := context.WithCancel(context.Background())
	q.cancel = cancel
	if err := q.nf.RegisterWithErrorFunc(ctx, q.take, func(error) int { return 0 }); err != nil {
		cancel()
		_ = q.nf.Close()
		return nil, fmt.Errorf("queue %d of %s: %w", number, n.Name(), err)
	}
	go q.release()
	return q, nil
}

// Set changes what befalls packets to come.
func (q *Queue) Set(how How) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.how, q.lossy = how, false
}

// Close lets go what still waits and gives the queue back. No rule should lead to
// it any more.
func (q *Queue) Close() {
	close(q.hurry)
	q.wait <- held{last: true}
	<-q.done
	q.cancel()
	_ = q.nf.Close()
}

// take decides about one packet.
func (q *Queue) take(a nfqueue.Attribute) int {
	if a.PacketID == nil {
		return 0
	}
	q.mu.Lock()
	how := q.how
	lost := q.loses()
	q.mu.Unlock()
	if lost {
		_ = q.nf.SetVerdict(*a.PacketID, nfqueue.NfDrop)
		return 0
	}
	p := held{id: *a.PacketID, till: time.Now().Add(how.Delay)}
	if how.Rewrite != nil && a.Payload != nil {
		p.with = how.Rewrite(*a.Payload)
	}
	if how.Jitter > 0 {
		p.till = p.till.Add(rand.N(how.Jitter))
	}
	if how.Reorder > 0 && rand.Float64() < how.Reorder {
		q.pass(p)
		return 0
	}
	select {
	case q.wait <- p:
	default:
		_ = q.nf.SetVerdict(p.id, nfqueue.NfDrop)
	}
	return 0
}

// loses throws the dice, for bursts those of Gilbert (1960).
func (q *Queue) loses() bool {
	h := q.how
	if h.Loss <= 0 {
		return false
	}
	if h.Burst < 1 {
		return rand.Float64() < h.Loss
	}
	out := 1 / h.Burst // of the bad state
	if q.lossy {
		q.lossy = rand.Float64() >= out
	} else {
		q.lossy = rand.Float64() < out*h.Loss/(1-h.Loss)
	}
	return q.lossy
}

// release lets packets go when their time has come.
func (q *Queue) release() {
	defer close(q.done)
	for p := <-q.wait; !p.last; p = <-q.wait {
		select {
		case <-q.hurry:
		case <-time.After(time.Until(p.till)):
		}
		q.pass(p)
	}
}

func (q *Queue) pass(p held) {
	if p.with != nil {
		_ = q.nf.SetVerdictWithOption(p.id, nfqueue.NfAccept, nfqueue.WithAlteredPacket(p.with))
		return
	}
	_ = q.nf.SetVerdict(p.id, nfqueue.NfAccept)
}

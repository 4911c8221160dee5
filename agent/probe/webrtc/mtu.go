package webrtc

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	// filler is an attribute that nobody has registered; who does not know it
	// passes over it (RFC 8489 section 14).
	filler stun.AttrType = 0xC0D1

	largest  = 1500 // bytes of an IP packet; more does not come through the internet
	steps    = 7    // how many sizes are tried between one that passed and one that did not
	nearby   = 8    // bytes of difference that nobody cares about
	smallest = 48   // an empty Binding request over IPv4
)

// usual are sizes of IP packets that lines and tunnels are known to carry.
var usual = []int{576, 1200, 1280, 1400, 1420, 1440, 1452, 1460, 1480, 1492}

// MTU looks for the largest packet that travels to t in one piece.
//
// Over UDP it sends Binding requests filled up to the interface's MTU, at most
// 1500 bytes, which must not be cut into fragments, after one of usual size.
// Answered means that t answered to one; path_mtu_bytes is the largest that did,
// or the size that a router named and to which t answered. Reason large-lost is
// said only where larger ones vanished without an ICMP error, thrice, while a
// small one was answered and a large one as well, once it might be cut: then it is
// the path, and lost_size_bytes is the smallest that vanished. Where t does not
// answer to fragments either it is NotLooked too-few-answers, because a server may
// drop large requests, as may a firewall fragments; path_mtu_bytes is what passed
// all the same.
//
// Over TCP (Variant Plain) it is about segments, and the far end's kernel is
// asked: what it acknowledges came through. Reason large-lost needs that full
// segments are not, and the same request in small ones is.
//
// Either way it is the direction to t only. Values besides: rtt_ms of a large
// request over UDP; icmp_* of who rejects large packets for another reason.
func MTU(ctx context.Context, t agent.Target) agent.Evidence {
	if e, bad := unaskable(agent.ProbeMTU, t); bad {
		return e
	}
	until := time.Now().Add(bound)
	switch {
	case t.Transport == agent.TCP && t.Variant == agent.Plain:
		return segments(ctx, t, until)
	case t.Transport == agent.UDP && t.Variant != agent.DTLS:
		return datagramSizes(ctx, t, until)
	}
	return agent.See(agent.ProbeMTU, t, agent.NotLooked, agent.Unsupported)
}

// filled is a Binding request that makes an IP packet of a size, rounded down to
// what STUN can make.
func filled(size int, head int) request {
	const attribute = 4
	room := size - head - headerBytes
	if room < attribute {
		return newBinding()
	}
	return newRequest(stun.MethodBinding, stun.RawAttribute{Type: filler, Value: make([]byte, (room-attribute)&^3)})
}

// headOver is how many bytes IP and UDP add.
func headOver(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 28
	}
	return 48
}

// sizing is one look by datagrams.
type sizing struct {
	to    netip.AddrPort
	until time.Time
	wait  time.Duration // for answers to one wave of requests

	passed int           // the largest size that was answered, bytes
	rtt    time.Duration // of that
	told   bool          // somebody said that a packet was too big
	fits   int           // the smallest size that was named then; 0: none
	reject reach.Result  // who rejected, if anybody
}

func datagramSizes(ctx context.Context, t agent.Target, until time.Time) agent.Evidence {
	e := agent.See(agent.ProbeMTU, t, agent.Answered, "")
	whole, cut, err := socketPair(t.Addr)
	if err != nil {
		return reach.Classify(err, t.Addr).Evidence(agent.ProbeMTU, t)
	}
	defer whole.Close()
	defer cut.Close()
	base := &ear{asked: t.AddrPort(), req: newBinding()}
	r := base.ask(ctx, whole, streamEnd)
	if r.Outcome != agent.Answered {
		return r.Evidence(agent.ProbeMTU, t)
	}
	// Each size gets three waves, so that answers may take thrice as long.
	z := &sizing{to: t.AddrPort(), until: until, wait: min(250*time.Millisecond+r.RTT/2, 700*time.Millisecond)}
	e, err = z.look(ctx, e, whole, cut)
	switch {
	case ctx.Err() != nil:
		return agent.See(agent.ProbeMTU, t, agent.NotLooked, agent.Cancelled)
	case err != nil:
		return reach.Classify(err, t.Addr).Evidence(agent.ProbeMTU, t)
	}
	return e
}

// socketPair opens a socket that sends in one piece, and one whose packets may be
// cut.
func socketPair(family netip.Addr) (whole, cut *reach.Socket, err error) {
	if whole, err = reach.Listen(family); err != nil {
		return nil, nil, err
	}
	if cut, err = reach.Listen(family); err == nil {
		if err = errors.Join(whole.Fragment(false), cut.Fragment(true)); err == nil {
			return whole, cut, nil
		}
		cut.Close()
	}
	whole.Close()
	return nil, nil, err
}

// look tries the largest size, then those that routers name, and searches where
// packets vanish.
func (z *sizing) look(ctx context.Context, e agent.Evidence, whole, cut *reach.Socket) (agent.Evidence, error) {
	size := largest
	for range 4 { // more links that get narrower and narrower would be a trick
		if _, err := z.try(ctx, whole, size); err != nil {
			return e, err
		}
		switch {
		case z.passed == size:
			return z.sized(e), nil
		case z.fits == 0 || z.fits >= size:
			return z.search(ctx, e, size, whole, cut)
		}
		size = z.fits
	}
	return found(e, agent.NotLooked, agent.TooFew), nil
}

func (z *sizing) sized(e agent.Evidence) agent.Evidence {
	if z.passed <= smallest {
		return e
	}
	return e.With(agent.PathMTU, z.passed).With(agent.RTT, z.rtt)
}

// search looks below a size that did not come through, and for why.
func (z *sizing) search(ctx context.Context, e agent.Evidence, top int, whole, cut *reach.Socket) (agent.Evidence, error) {
	inPieces := *z
	vanished, err := inPieces.try(ctx, cut, z.pieces(top))
	if err != nil {
		return e, err
	}
	lost, err := z.narrow(ctx, whole, top)
	e = z.sized(e)
	switch {
	case err != nil:
		return e, err
	case lost == 0: // the line itself has gone, or there was no time
		return found(e, agent.NotLooked, agent.TooFew), nil
	case z.passed >= top: // it had been mere loss
		return e, nil
	case z.reject.Reason != "":
		return ended(e, z.reject), nil
	case z.told: // if not how much would fit
		return e, nil
	case len(vanished) > 0:
		return found(e, agent.NotLooked, agent.TooFew).With(agent.Detail, "larger requests are not answered in fragments either"), nil
	}
	return found(e, agent.Answered, agent.LostLarge).With(agent.LostSize, lost), nil
}

// narrow brings z.passed and the smallest size that vanishes together, each time
// beside a packet that must come through. It returns 0 where nothing is certain.
func (z *sizing) narrow(ctx context.Context, whole *reach.Socket, top int) (lost int, err error) {
	sizes := slices.DeleteFunc(slices.Clone(usual), func(n int) bool { return n >= top })
	for next := top; len(sizes) > 0 && time.Until(z.until) > 3*z.wait; {
		gone, err := z.try(ctx, whole, append(sizes, next, smallest)...)
		switch {
		case err != nil:
			return 0, err
		case slices.Contains(gone, smallest):
			return 0, nil
		}
		lost = top
		for _, n := range gone {
			if n > z.passed {
				lost = min(lost, n)
			}
		}
		next, sizes = lost, between(z.passed, lost)
	}
	return lost, nil
}

// pieces is the size of a request that will be cut. IPv4 routers cut it where they
// must. For IPv6 this machine does, but only what is too big for its interface.
func (z *sizing) pieces(lost int) int {
	if z.to.Addr().Unmap().Is4() {
		return lost
	}
	return largest + 40
}

// between are sizes to try between one that passed and one that did not.
func between(passed, lost int) []int {
	if lost-passed <= nearby {
		return nil
	}
	var sizes []int
	step := max(nearby, (lost-passed)/(steps+1)+3) &^ 3
	for n := passed + step; n < lost; n += step {
		sizes = append(sizes, n)
	}
	return sizes
}

// try sends a request of each size, in up to three waves, and returns those that
// vanished.
func (z *sizing) try(ctx context.Context, s *reach.Socket, sizes ...int) (vanished []int, err error) {
	asked := map[int]request{}
	for _, n := range sizes {
		asked[n] = filled(n, headOver(z.to.Addr()))
	}
	for range 3 {
		if len(asked) == 0 {
			break
		}
		if err := z.wave(ctx, s, asked); err != nil {
			return nil, err
		}
	}
	return slices.Collect(maps.Keys(asked)), nil
}

// wave sends all that is still open, and takes out what is answered or known to
// be too big.
func (z *sizing) wave(ctx context.Context, s *reach.Socket, asked map[int]request) error {
	var shots []reach.Shot
	for _, q := range asked {
		shots = append(shots, reach.Shot{Msg: q.raw})
	}
	_, err := s.Volley(ctx, z.to, shots, min(z.wait, time.Until(z.until)), func(h reach.Heard) bool {
		switch {
		case h.TooBig:
			z.tooBig(h.Fits, asked)
		case h.Data != nil:
			z.answered(h, asked)
		case h.Result.Outcome == agent.Refused || h.Result.Outcome == agent.Rejected:
			z.reject = h.Result
		}
		return len(asked) == 0
	})
	return err
}

// tooBig notes the size that somebody named, if it can be meant, and takes out
// what is larger.
func (z *sizing) tooBig(fits int, asked map[int]request) {
	least := 552 // the kernel believes in no less either
	if z.to.Addr().Unmap().Is6() {
		least = 1280 // RFC 8200 section 5
	}
	z.told = true
	if fits >= least && (z.fits == 0 || fits < z.fits) {
		z.fits = fits
	}
	maps.DeleteFunc(asked, func(n int, _ request) bool { return z.fits > 0 && n > z.fits })
}

// answered takes out the request to which this is the answer.
func (z *sizing) answered(h reach.Heard, asked map[int]request) {
	for n, q := range asked {
		e := &ear{asked: z.to, req: q}
		if !e.accept(h.Data, h.From) {
			continue
		}
		delete(asked, n)
		if n > z.passed {
			z.passed, z.rtt = n, h.At
		}
		return
	}
}

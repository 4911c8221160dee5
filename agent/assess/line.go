package assess

import (
	"net/netip"
	"strconv"

	"github.com/sprechprobe/sprechprobe/agent"
)

// line is what is remembered of the way into the internet from round to round.
type line struct {
	addr   netip.Addr // public address that STUN servers last saw
	rounds int        // how many rounds in a row they have seen it
	rtt    float64    // typical round trip at this address, milliseconds
	moved  bool       // the address has just changed, after it had been stable

	usual float64 // round trip before the way became slower; 0: it is the usual way
	away  int     // rounds since then
}

const (
	stable     = 3    // rounds after which an address counts as the line's own
	slower     = 30   // milliseconds by which a spare line is slower at least
	newUsual   = 2000 // rounds after which a slower way is the usual one, a week
	smoothness = 8    // how many rounds a typical round trip is made of
)

// follow takes in what a round saw of the line.
func (l *line) follow(addr netip.Addr, rtt float64) {
	l.moved = false
	if !addr.IsValid() {
		return
	}
	if rtt == 0 {
		rtt = l.rtt
	}
	if addr == l.addr {
		l.rounds++
		l.rtt += (rtt - l.rtt) / smoothness
	} else {
		l.moved = l.rounds >= stable
		if l.usual == 0 && l.moved && much(rtt, l.rtt) {
			l.usual, l.away = l.rtt, 0
		}
		l.addr, l.rounds, l.rtt = addr, 1, rtt
	}
	if l.usual > 0 {
		l.away++
		if !much(rtt, l.usual) || l.away > newUsual {
			l.usual, l.away = 0, 0
		}
	}
}

// much reports whether a round trip is longer than another by more than a busy
// moment explains.
func much(rtt, than float64) bool { return rtt > than+slower && rtt > 2*than }

// seen is the public address and the quickest round trip that the newest looks
// at STUN servers show; several addresses are no line's own. What took so long
// that it was asked twice has no round trip: nobody knows which question was
// answered. Then it is the quickest connection's; 0 is none.
func (b *Book) seen() (addr netip.Addr, rtt float64) {
	for _, s := range b.order {
		h := b.looks[s]
		e := &h.newest
		ap, err := netip.ParseAddrPort(e.Values.Text(agent.MappedAddr))
		if e.Probe != agent.ProbeSTUN || !answered(e) || err != nil || !ap.Addr().Unmap().Is4() {
			continue
		}
		if took, timed := trip(e); timed && (rtt == 0 || took < rtt) {
			rtt = took
		}
		switch a := ap.Addr().Unmap(); {
		case !addr.IsValid():
			addr = a
		case a != addr:
			return netip.Addr{}, 0
		}
	}
	if rtt == 0 {
		rtt = b.connected()
	}
	return addr, rtt
}

// trip is the round trip of an answer to a question that was asked once.
func trip(e *agent.Evidence) (ms float64, ok bool) {
	ms, ok = e.Values.Num(agent.RTT)
	sends, _ := e.Values.Num(agent.Sends)
	return ms, ok && sends <= 1
}

// connected is the quickest connection of the newest looks, milliseconds; 0: none.
func (b *Book) connected() (ms float64) {
	for _, s := range b.order {
		h := b.looks[s]
		took, timed := h.newest.Values.Num(agent.ConnectTime)
		if timed && answered(&h.newest) && remote(&h.newest) && (ms == 0 || took < ms) {
			ms = took
		}
	}
	return ms
}

// wanRedial: the line has a new public address. Worth knowing: a call under way
// has broken off.
func wanRedial(v *view, _ agent.Profile) []claim {
	if !v.line.moved || v.line.usual > 0 {
		return nil
	}
	return one(found(v.mapped(), ""))
}

// lineFailover: the public address changed and the way became much slower in the
// same moment, and has stayed so.
func lineFailover(v *view, _ agent.Profile) []claim {
	if v.line.usual == 0 {
		return nil
	}
	return one(found(v.mapped(), "", "usual_ms", whole(v.line.usual), "rtt_ms", whole(v.line.rtt)))
}

// mapped are the looks that show the public address.
func (v *view) mapped() []int {
	return v.pick(v.of(agent.ProbeSTUN), func(e *agent.Evidence) bool { return e.Values.Text(agent.MappedAddr) != "" })
}

func whole(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }

// interrupted: most of what answers now, services or names, did not just before.
func interrupted(v *view, _ agent.Profile) []claim {
	var hit []int
	for _, tried := range [][]int{v.attempts(), v.of(agent.ProbeDNS)} {
		again := v.pick(tried, func(e *agent.Evidence) bool {
			n, _ := e.Values.Num(agent.Retried)
			return n > 0 && answered(e)
		})
		if len(again) > 1 && 2*len(again) >= len(tried) {
			hit = append(hit, again...)
		}
	}
	if len(hit) == 0 {
		return nil
	}
	return one(found(hit, "", "hosts", v.hosts(hit)))
}

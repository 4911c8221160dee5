package statuspage

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// The history is a day in quarters of an hour.
const (
	slots = 96
	slotS = 15 * 60
)

// History is the worst verdict of each quarter of the last 24 hours. It goes by
// the time since boot, which does not jump. The zero value has seen nothing. It
// is a value of fixed size.
type History struct {
	cells   [slots]byte // by slot number modulo slots: 0 nothing, else a verdict + 1
	last    int         // number of the newest slot, counted from boot
	verdict agent.Verdict
	since   int  // uptime at which verdict began, seconds
	follows bool // the newest slot is this program's own
}

// Add notes a verdict. What lies between it and the one before belongs to the
// one before, unless the program has been away meanwhile.
func (h *History) Add(s agent.Stamp, v agent.Verdict) {
	if !(s.UptimeS >= 0 && s.UptimeS < math.MaxInt32) || v > agent.Offline { // also NaN
		return
	}
	uptime := int(s.UptimeS)
	now := uptime / slotS
	if h.last > now || h.cells[h.last%slots] == 0 {
		*h = History{last: now} // nothing yet, or another boot
	}
	if h.cells[h.last%slots] == 0 || h.verdict != v {
		h.since = uptime
	}
	filler := byte(0)
	if h.follows {
		filler = byte(h.verdict) + 1
	}
	if now-h.last > slots {
		h.last = now - slots
	}
	for ; h.last < now; h.last++ {
		h.cells[h.last%slots] = max(h.cells[h.last%slots], filler)
		h.cells[(h.last+1)%slots] = 0
	}
	cell := &h.cells[now%slots]
	*cell = max(*cell, byte(v)+1)
	h.verdict, h.follows = v, true
}

// cell is one quarter of an hour, the oldest first.
type cell struct {
	seen    bool
	verdict agent.Verdict
}

func (h *History) day() [slots]cell {
	var out [slots]cell
	for i := range out {
		if b := h.cells[(h.last+1+i)%slots]; b > 0 {
			out[i] = cell{true, agent.Verdict(b - 1)}
		}
	}
	return out
}

const historyHead = "sprechprobe.history/1"

// MarshalText writes the history for a program that comes after this one.
func (h *History) MarshalText() ([]byte, error) {
	var b strings.Builder
	b.WriteString(historyHead + " " + strconv.Itoa(h.last) + " " + h.verdict.String() + " " +
		strconv.Itoa(h.since) + " ")
	for _, c := range h.cells {
		b.WriteByte('0' + c)
	}
	return []byte(b.String()), nil
}

// UnmarshalText reads a history. Times in between, in which nobody looked, stay
// empty.
func (h *History) UnmarshalText(text []byte) error {
	f := strings.Fields(string(text[:min(len(text), 4*slots)]))
	bad := errors.New("not a history")
	if len(f) != 5 || f[0] != historyHead || len(f[4]) != slots {
		return bad
	}
	var out History
	var err error
	if out.since, err = strconv.Atoi(f[3]); err == nil {
		out.last, err = strconv.Atoi(f[1])
	}
	if err != nil || out.verdict.UnmarshalText([]byte(f[2])) != nil ||
		out.last < 0 || out.last > math.MaxInt32/slotS-1 || out.since < 0 || out.since >= (out.last+1)*slotS {
		return bad
	}
	for i := range out.cells {
		if out.cells[i] = f[4][i] - '0'; out.cells[i] > byte(agent.Offline)+1 {
			return bad
		}
	}
	*h = out
	return nil
}

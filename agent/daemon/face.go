package daemon

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/light"
)

// face is what lamps and panel show: the truth, or for a while what somebody
// asked for.
type face struct {
	truth light.Show
	over  light.Show
	until time.Time // zero: the truth
}

// put shows something else for a while.
func (f *face) put(s light.Show, now time.Time, d time.Duration) { f.over, f.until = s, now.Add(d) }

// lift ends what was put over the truth.
func (f *face) lift() { f.until = time.Time{} }

// at is what is shown at a time.
func (f *face) at(now time.Time) light.Show {
	if now.Before(f.until) {
		return f.over
	}
	return f.truth
}

// left is how long something is put over the truth; 0: it is not.
func (f *face) left(now time.Time) time.Duration { return max(0, f.until.Sub(now)) }

// lastNumber is the last number of the box's own IPv4 address, empty if the
// report does not tell it: enough to find the box in a network that one knows.
func lastNumber(r agent.Report) string {
	for _, e := range r.Evidence {
		if e.Probe != agent.ProbeLink {
			continue
		}
		text := e.Values.Text(agent.LocalAddr)
		a, err := netip.ParseAddr(text)
		if p, errP := netip.ParsePrefix(text); errP == nil {
			a, err = p.Addr(), nil
		}
		if err == nil && a.Unmap().Is4() {
			b := a.Unmap().As4()
			return strconv.Itoa(int(b[3]))
		}
	}
	return ""
}

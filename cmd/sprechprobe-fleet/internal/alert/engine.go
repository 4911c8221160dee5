package alert

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// Rules say how long something must last before it is told. Zero fields take
// defaults.
type Rules struct {
	Hold     time.Duration // a bad verdict; default 5 min
	Silence  time.Duration // silence, after the box counts as silent; default 15 min
	Clear    time.Duration // being well again, or an incident's end; default 5 min
	Incident time.Duration // an incident; default 2 min
	// Burst is how many boxes may be told of at once one by one; more are one
	// message. Default 10.
	Burst int
}

func (r Rules) filled() Rules {
	r.Hold, r.Silence = cmp.Or(r.Hold, 5*time.Minute), cmp.Or(r.Silence, 15*time.Minute)
	r.Clear, r.Incident = cmp.Or(r.Clear, 5*time.Minute), cmp.Or(r.Incident, 2*time.Minute)
	r.Burst = cmp.Or(r.Burst, 10)
	return r
}

// Incident is what many boxes have in common at the moment.
type Incident struct {
	ID, Cause, Target, Provider string
	StartedAt                   time.Time
	Members                     map[registry.Key]bool
}

// change is a box that is to be told of.
type change struct {
	box    registry.Box
	before registry.State // told last
	state  registry.State
	since  time.Time
}

// episode is an incident that is to be told of.
type episode struct {
	Incident
	ended time.Time // zero: it has just begun
}

// news is what one look brings.
type news struct {
	changes  []change
	episodes []episode
}

// well is how a box is of which there is nothing to tell.
const well registry.State = "ready"

// engine notices what is to be told. It has no clock.
type engine struct {
	rules     Rules
	boxes     map[registry.Key]*watch
	incidents map[string]*course
	blind     bool // nothing could be seen; times start anew
}

// watch is one box as it was told and as it is.
type watch struct {
	told, now registry.State
	since     time.Time
}

// course is one incident.
type course struct {
	Incident
	told bool
	open bool
	turn time.Time // since it is open, or not
}

func newEngine(r Rules) *engine {
	return &engine{rules: r.filled(), boxes: map[registry.Key]*watch{}, incidents: map[string]*course{}}
}

// look judges the fleet as it is now. A box that is part of an incident is not told
// of by itself; if it is still bad when that has ended, its time starts then.
func (e *engine) look(now time.Time, boxes []registry.Box, incidents []Incident) news {
	n := news{episodes: e.lookAround(now, incidents)}
	for _, b := range boxes {
		w := e.boxes[b.Key]
		if w == nil {
			w = &watch{told: well, now: well, since: now}
			e.boxes[b.Key] = w
		}
		st := b.State()
		if st == "unknown" {
			st = w.now // which is neither good nor bad, and changes nothing
		}
		if st != w.now || e.blind {
			w.now, w.since = st, now
		}
		switch {
		case w.now == w.told:
		case e.covered(b.Key):
			w.since = now
		case now.Sub(w.since) >= e.hold(w.now):
			n.changes = append(n.changes, change{b, w.told, w.now, w.since})
			w.told = w.now
		}
	}
	e.blind = false
	slices.SortFunc(n.changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.box.Tenant, b.box.Tenant), cmp.Compare(a.box.Key.Box, b.box.Key.Box))
	})
	return n
}

// forget drops a box.
func (e *engine) forget(k registry.Key) {
	delete(e.boxes, k)
	for _, c := range e.incidents {
		// Members are others' to read, too.
		c.Members = maps.Clone(c.Members)
		delete(c.Members, k)
	}
}

func (e *engine) hold(s registry.State) time.Duration {
	switch s {
	case well:
		return e.rules.Clear
	case registry.Silent:
		return e.rules.Silence
	}
	return e.rules.Hold
}

// covered reports whether an incident explains a box. Also one that has not lasted
// long enough to be told does, and one that has only just gone.
func (e *engine) covered(k registry.Key) bool {
	for _, c := range e.incidents {
		if c.Members[k] {
			return true
		}
	}
	return false
}

// lookAround follows the incidents.
func (e *engine) lookAround(now time.Time, incidents []Incident) (out []episode) {
	open := map[string]bool{}
	for _, i := range incidents {
		open[i.ID] = true
		c := e.incidents[i.ID]
		if c == nil {
			c = &course{turn: now}
			e.incidents[i.ID] = c
		}
		if !c.open || e.blind {
			c.open, c.turn = true, now
		}
		c.Incident = i
		if !c.told && now.Sub(c.turn) >= e.rules.Incident {
			c.told = true
			out = append(out, episode{Incident: i})
		}
	}
	for id, c := range e.incidents {
		if open[id] {
			continue
		}
		if c.open || e.blind {
			c.open, c.turn = false, now
		}
		if !c.told || now.Sub(c.turn) >= e.rules.Clear {
			if c.told {
				out = append(out, episode{c.Incident, c.turn})
			}
			delete(e.incidents, id)
		}
	}
	slices.SortFunc(out, func(a, b episode) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// memory is what of an engine must outlive the program: else a restart would tell
// everything again, or forget that it has told.
type memory struct {
	Boxes     map[string]registry.State `json:"boxes"` // told, but for those that are well
	Incidents []told                    `json:"incidents"`
}

type told struct {
	ID        string    `json:"id"`
	Cause     string    `json:"cause"`
	Target    string    `json:"target,omitempty"`
	Provider  string    `json:"provider,omitempty"`
	StartedAt time.Time `json:"started_at"`
	Members   []string  `json:"members"`
}

func (e *engine) memory() memory {
	m := memory{Boxes: map[string]registry.State{}, Incidents: []told{}}
	for k, w := range e.boxes {
		if w.told != well {
			m.Boxes[fleet.Address(k).String()] = w.told
		}
	}
	for _, c := range e.incidents {
		if !c.told {
			continue
		}
		t := told{ID: c.ID, Cause: c.Cause, Target: c.Target, Provider: c.Provider, StartedAt: c.StartedAt}
		for k := range c.Members {
			t.Members = append(t.Members, fleet.Address(k).String())
		}
		m.Incidents = append(m.Incidents, t)
	}
	return m
}

func (e *engine) remember(m memory) {
	for name, st := range m.Boxes {
		if a, err := fleet.ParseAddress(name); err == nil {
			e.boxes[registry.Key(a)] = &watch{told: st, now: st}
		}
	}
	for _, t := range m.Incidents {
		c := &course{Incident: Incident{t.ID, t.Cause, t.Target, t.Provider, t.StartedAt, map[registry.Key]bool{}}, told: true, open: true}
		for _, name := range t.Members {
			if a, err := fleet.ParseAddress(name); err == nil {
				c.Members[registry.Key(a)] = true
			}
		}
		e.incidents[t.ID] = c
	}
	e.blind = true
}

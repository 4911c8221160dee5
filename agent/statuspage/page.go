package statuspage

import (
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

// State is what the page shows.
type State struct {
	Box      agent.Box
	Addr     string          // the box's own address; may be empty
	Code     string          // by which it can be claimed; empty: it is, or cannot be
	Report   agent.Report    // the newest; without a Schema: none yet
	Profiles []agent.Profile // those that the report was made with
	Show     light.Show      // what the lights show
	Steps    steps.Sequence
	Looking  bool          // the first look since the plug is under way
	Took     time.Duration // from the plug to the end of the steps; 0: not at the end
}

// Page is the box's page. It may be used by many goroutines at once.
type Page struct {
	name    string
	lang    advice.Lang
	overdue time.Duration

	mu      sync.Mutex
	state   State
	at      time.Time // when the report came
	history History
	made    map[key]made
}

// key names one of the few things that there are to show.
type key struct {
	path string
	lang advice.Lang
}

// made is what was made for a key, and when: it serves everybody who asks within
// the same second.
type made struct {
	at   time.Time
	body string
}

// Config says how a page is served. The zero value is good.
type Config struct {
	Name    string        // label of the local name under which it may be asked for
	Lang    advice.Lang   // for browsers that ask for neither language
	Overdue time.Duration // a report that is older is not shown as today's; 0: never
}

// New makes a page that knows nothing yet.
func New(c Config) *Page {
	return &Page{name: c.Name, lang: c.Lang, overdue: c.Overdue, made: map[key]made{}}
}

// Show takes over a state. What it points to must not be changed any more.
func (p *Page) Show(s State) {
	s.Report.Stamp.At = s.Report.Stamp.At.Local() // people here read their own clocks
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Report.Schema != "" && (s.Report.Seq != p.state.Report.Seq || p.at.IsZero()) {
		p.at = time.Now()
		p.history.Add(s.Report.Stamp, s.Report.Verdict)
	}
	p.state = s
	clear(p.made)
}

// History is a copy of what the page knows of the last 24 hours.
func (p *Page) History() History {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history
}

// Remember takes over the history of a program before this one.
func (p *Page) Remember(h History) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h.follows = false
	p.history = h
}

// body is what one path shows now in one language.
func (p *Page) body(k key) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if m, ok := p.made[k]; ok && now.Sub(m.at) < time.Second {
		return m.body
	}
	v := view{State: p.state, lang: k.lang, l: labelsOf(k.lang), history: &p.history}
	if v.known = v.Report.Schema != ""; v.known {
		v.age = now.Sub(p.at)
		v.stale = p.overdue > 0 && v.age > p.overdue
	}
	show := v.overview
	if k.path == pathRequest {
		show = v.request
	}
	m := made{now, show()}
	p.made[k] = m
	return m.body
}

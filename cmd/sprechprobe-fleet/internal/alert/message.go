package alert

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// Schema is the number of the contract of messages.
const Schema = "sprechprobe.alert/1"

// The types of messages.
const (
	BoxChanged      = "box.changed"   // one box, which is worse, or well again
	BoxesChanged    = "boxes.changed" // many at once
	IncidentStarted = "incident.started"
	IncidentEnded   = "incident.ended"
)

// Types lists the types of messages.
var Types = []string{BoxChanged, BoxesChanged, IncidentStarted, IncidentEnded}

// Message is what a webhook gets. Its fields are a contract. Text is a sentence for
// people, where chat programs look for one.
type Message struct {
	Schema   string       `json:"schema"`
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	At       time.Time    `json:"at"`
	Text     string       `json:"text"`
	Box      *Box         `json:"box,omitempty"`
	Boxes    *Boxes       `json:"boxes,omitempty"`
	Incident *IncidentOut `json:"incident,omitempty"`
}

// Box is one box in a message.
type Box struct {
	Tenant   string         `json:"tenant"`
	Box      string         `json:"box"`
	Name     string         `json:"name,omitempty"`
	State    registry.State `json:"state"`
	Before   registry.State `json:"before"` // as it was told last
	SinceAt  time.Time      `json:"since_at"`
	Findings []Finding      `json:"findings"`
	URL      string         `json:"url,omitempty"`
}

// Finding is one finding in a message.
type Finding struct {
	Code     agent.Code     `json:"code"`
	Severity agent.Severity `json:"severity"`
	Cause    agent.Cause    `json:"cause"`
	Target   string         `json:"target,omitempty"`
}

// Boxes are many boxes in one message.
type Boxes struct {
	Count    int                    `json:"count"`
	States   map[registry.State]int `json:"states"`
	Examples []Box                  `json:"examples"`
}

// IncidentOut is an incident in a message.
type IncidentOut struct {
	ID        string         `json:"id"`
	Cause     string         `json:"cause"`
	Target    string         `json:"target,omitempty"`
	Provider  string         `json:"provider,omitempty"`
	StartedAt time.Time      `json:"started_at"`
	EndedAt   time.Time      `json:"ended_at,omitzero"`
	Count     int            `json:"boxes_count"`
	Tenants   map[string]int `json:"tenants"`
}

const examples = 10 // of boxes in one message

// letters writes for one webhook: in its language, of its tenants only.
type letters struct {
	hook Webhook
	base string // of the dashboard; empty: no links
}

// write makes the messages that a hook gets of some news.
func (l letters) write(n news, burst int, now time.Time) []Message {
	var out []Message
	for _, e := range n.episodes {
		if m, ok := l.incident(e); ok {
			out = append(out, m)
		}
	}
	changes := slices.DeleteFunc(slices.Clone(n.changes), func(c change) bool { return !l.hook.sees(c.box.Tenant) })
	if len(changes) > burst {
		out = append(out, l.many(changes))
	} else {
		for _, c := range changes {
			out = append(out, l.one(c))
		}
	}
	out = slices.DeleteFunc(out, func(m Message) bool { return !l.hook.wants(m.Type) })
	for i := range out {
		out[i].Schema, out[i].At = Schema, now.UTC()
	}
	return out
}

func (l letters) one(c change) Message {
	b := l.box(c)
	name := fleet.Address(c.box.Key).String()
	if b.Name != "" {
		name = b.Name + " (" + name + ")"
	}
	text := name + ": " + l.word(c.state)
	if fresh(c) {
		text += ". " + advice.Sentence(c.box.Report, l.hook.Lang)
	}
	return Message{Type: BoxChanged, Box: &b, Text: text}
}

// fresh reports whether the newest report of a box says how it is now.
func fresh(c change) bool {
	return c.state != registry.Silent && !c.box.Behind() && c.box.Report.Schema != ""
}

func (l letters) box(c change) Box {
	b := Box{Tenant: c.box.Tenant, Box: c.box.Key.Box, Name: clean(c.box.Report.Box.Name), State: c.state, Before: c.before, SinceAt: c.since.UTC(), Findings: []Finding{}}
	if fresh(c) {
		for _, f := range c.box.Report.Findings {
			b.Findings = append(b.Findings, Finding{f.Code, f.Severity, f.Cause, f.Target})
		}
	}
	if l.base != "" {
		b.URL = l.base + "/?" + url.Values{"q": {b.Box}, "lang": {string(l.hook.Lang)}}.Encode()
	}
	return b
}

func (l letters) many(changes []change) Message {
	m := Boxes{Count: len(changes), States: map[registry.State]int{}}
	for i, c := range changes {
		m.States[c.state]++
		if i < examples {
			m.Examples = append(m.Examples, l.box(c))
		}
	}
	text := fmt.Sprintf(l.say("%d Boxen haben sich zugleich geändert", "%d boxes have changed at once"), m.Count)
	for _, st := range registry.States {
		if n := m.States[st]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, l.word(st))
		}
	}
	return Message{Type: BoxesChanged, Boxes: &m, Text: text}
}

func (l letters) incident(e episode) (Message, bool) {
	out := IncidentOut{ID: e.ID, Cause: e.Cause, Target: clean(e.Target), Provider: clean(e.Provider), StartedAt: e.StartedAt.UTC(), Tenants: map[string]int{}}
	for k := range e.Members {
		if l.hook.sees(k.Tenant) {
			out.Count++
			out.Tenants[k.Tenant]++
		}
	}
	what := out.Target
	if out.Provider != "" {
		what = out.Provider
	}
	m := Message{Type: IncidentStarted, Incident: &out}
	m.Text = fmt.Sprintf(l.say("Störung bei %s (%s), betroffene Boxen: %d", "Outage at %s (%s), boxes affected: %d"), what, l.cause(e.Cause), out.Count)
	if !e.ended.IsZero() {
		out.EndedAt = e.ended.UTC()
		m.Type = IncidentEnded
		m.Text = fmt.Sprintf(l.say("Störung bei %s (%s) beendet, betroffene Boxen: %d", "Outage at %s (%s) has ended, boxes affected: %d"), what, l.cause(e.Cause), out.Count)
	}
	return m, out.Count > 0
}

func (l letters) cause(word string) string {
	var c agent.Cause
	if c.UnmarshalText([]byte(word)) != nil {
		return word
	}
	return advice.CauseWord(c, l.hook.Lang)
}

func (l letters) word(s registry.State) string {
	if s == registry.Silent {
		return l.say("schweigt", "silent")
	}
	var v agent.Verdict
	_ = v.UnmarshalText([]byte(s)) // states are verdicts' words
	return advice.VerdictWord(v, l.hook.Lang)
}

func (l letters) say(german, english string) string {
	if l.hook.Lang == advice.English {
		return english
	}
	return german
}

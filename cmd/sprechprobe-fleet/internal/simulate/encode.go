package simulate

import (
	"encoding"
	"strconv"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// encode writes a report of ours as [fleet.Encode] does, but for the order of entries:
// making reports must not cost what taking them is to show.
func encode(r agent.Report) ([]byte, error) {
	b := make(text, 0, 2560)
	b.report(r)
	if len(b) > fleet.MaxSteady {
		return fleet.Encode(r)
	}
	return b, nil
}

// text is JSON in the making. Each name is written with what stands before it.
type text []byte

func (b *text) raw(s string) { *b = append(*b, s...) }

// say writes text of ours, in which nothing needs an escape.
func (b *text) say(name, s string) {
	b.raw(name)
	*b = append(*b, '"')
	b.raw(s)
	*b = append(*b, '"')
}

// some does likewise, where there is anything.
func (b *text) some(name, s string) {
	if s != "" {
		b.say(name, s)
	}
}

func (b *text) form(name string, v encoding.TextMarshaler) {
	s, _ := v.MarshalText() // ours are all known
	b.say(name, string(s))
}

func (b *text) whole(name string, n int64) {
	b.raw(name)
	*b = strconv.AppendInt(*b, n, 10)
}

// list writes an array of n entries.
func (b *text) list(name string, n int, each func(i int)) {
	b.raw(name)
	*b = append(*b, '[')
	for i := range n {
		if i > 0 {
			*b = append(*b, ',')
		}
		each(i)
	}
	*b = append(*b, ']')
}

// entries writes an object of what a map holds.
func entries[K ~string, V any](b *text, name string, m map[K]V, each func(V)) {
	b.raw(name)
	before := byte('{')
	for k, v := range m {
		*b = append(*b, before)
		b.say("", string(k))
		*b = append(*b, ':')
		each(v)
		before = ','
	}
	if len(m) == 0 {
		*b = append(*b, '{')
	}
	*b = append(*b, '}')
}

func (b *text) report(r agent.Report) {
	b.say(`{"schema":`, r.Schema)
	b.say(`,"box":{"id":`, r.Box.ID)
	b.some(`,"name":`, r.Box.Name)
	b.say(`,"version":`, r.Box.Version)
	b.some(`,"board":`, r.Box.Board)
	b.say(`,"platform":`, r.Box.Platform)
	b.some(`},"tenant":`, r.Tenant)
	b.whole(`,"seq":`, int64(r.Seq))
	b.say(`,"trigger":`, string(r.Trigger))
	b.form(`,"stamp":{"at":`, r.Stamp.At)
	b.say(`,"clock":`, string(r.Stamp.Clock))
	b.raw(`,"uptime_s":`)
	*b = strconv.AppendFloat(*b, r.Stamp.UptimeS, 'f', -1, 64)
	b.whole(`},"took_ms":`, r.TookMS)
	b.form(`,"verdict":`, r.Verdict)
	b.states(r.Capabilities)
	b.list(`,"profiles":`, len(r.Profiles), func(i int) {
		p := r.Profiles[i]
		b.say(`{"name":`, p.Name)
		b.say(`,"version":`, p.Version)
		b.form(`,"verdict":`, p.Verdict)
		b.states(p.Capabilities)
		b.raw("}")
	})
	b.list(`,"findings":`, len(r.Findings), func(i int) { b.finding(r.Findings[i]) })
	b.list(`,"evidence":`, len(r.Evidence), func(i int) { b.evidence(r.Evidence[i]) })
	b.raw("}")
}

func (b *text) states(c agent.Capabilities) {
	entries(b, `,"capabilities":`, c, func(s agent.State) { b.form("", s) })
}

func (b *text) finding(f agent.Finding) {
	b.say(`{"code":`, string(f.Code))
	b.form(`,"severity":`, f.Severity)
	b.form(`,"cause":`, f.Cause)
	b.some(`,"target":`, f.Target)
	b.form(`,"since_at":`, f.SinceAt)
	if len(f.Args) > 0 {
		entries(b, `,"args":`, f.Args, func(s string) { b.say("", s) })
	}
	b.list(`,"evidence":`, len(f.Evidence), func(i int) { b.whole("", int64(f.Evidence[i])) })
	b.raw("}")
}

func (b *text) evidence(e agent.Evidence) {
	b.say(`{"probe":`, string(e.Probe))
	b.raw(`,"target":{`)
	if t := e.Target; t.Host != "" {
		b.say(`"host":`, t.Host)
		if t.Addr.IsValid() {
			b.form(`,"addr":`, t.Addr)
		}
		if t.Port != 0 {
			b.whole(`,"port":`, int64(t.Port))
		}
		b.some(`,"transport":`, string(t.Transport))
		b.some(`,"variant":`, string(t.Variant))
	}
	b.form(`},"outcome":`, e.Outcome)
	b.form(`,"grade":`, e.Grade)
	if len(e.Values) > 0 {
		entries(b, `,"values":`, e.Values, b.value)
	}
	b.raw("}")
}

func (b *text) value(v any) {
	switch v := v.(type) {
	case string:
		b.say("", v)
	case bool:
		*b = strconv.AppendBool(*b, v)
	case float64:
		*b = strconv.AppendFloat(*b, v, 'f', -1, 64)
	}
}

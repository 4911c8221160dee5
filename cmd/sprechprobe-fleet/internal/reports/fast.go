package reports

import (
	"bytes"
	"encoding"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/sprechprobe/sprechprobe/agent"
)

// reader reads reports as boxes write them: compact, with names that we know and
// text without escapes. Whatever is not so it leaves to the JSON library, so that
// this code decides about speed alone, never about what is a report.
//
// What many boxes say alike is kept once: words, targets, capabilities. Those are
// shared by all reports, and not to be changed.
type reader struct {
	b     []byte
	i     int
	odd   bool // something is left to the library
	brief bool // evidence is looked at, and not kept

	words   map[string]string
	targets map[string]agent.Target
	states  map[string]agent.Capabilities
}

const (
	mostKept = 4096 // of each kind; strangers may send anything
	longest  = 200  // bytes of what is kept
	mostKeys = 16   // of one evidence; more is for the library
	mostNest = 1024 // entries of an array; likewise
)

var readers = sync.Pool{New: func() any {
	return &reader{words: map[string]string{}, targets: map[string]agent.Target{}, states: map[string]agent.Capabilities{}}
}}

// quickly reads a report if it is as boxes write them.
func quickly(b []byte, brief bool) (agent.Report, bool) {
	d := readers.Get().(*reader)
	d.b, d.i, d.odd, d.brief = b, 0, false, brief
	var r agent.Report
	d.report(&r)
	ok := !d.odd && d.i == len(b)
	d.b = nil
	readers.Put(d)
	return r, ok
}

func (d *reader) report(r *agent.Report) {
	d.object(func(name []byte) int {
		switch string(name) {
		case "schema":
			r.Schema = d.word()
			return 0
		case "box":
			d.box(&r.Box)
			return 1
		case "tenant":
			r.Tenant = d.word()
			return 2
		case "seq":
			r.Seq = uint64(d.integer(math.MaxInt64))
			return 3
		case "trigger":
			r.Trigger = agent.Trigger(d.word())
			return 4
		case "stamp":
			d.stamp(&r.Stamp)
			return 5
		case "took_ms":
			r.TookMS = d.integer(math.MaxInt64)
			return 6
		case "verdict":
			d.text(&r.Verdict)
			return 7
		case "capabilities":
			r.Capabilities = d.capabilities()
			return 8
		case "profiles":
			if d.null() {
				return 9
			}
			r.Profiles = []agent.ProfileResult{}
			d.array(func() { r.Profiles = append(r.Profiles, d.profile()) })
			return 9
		case "findings":
			if d.null() {
				return 10
			}
			r.Findings = []agent.Finding{}
			d.array(func() { r.Findings = append(r.Findings, d.finding()) })
			return 10
		case "evidence":
			d.allEvidence(r)
			return 11
		case "settings":
			r.Settings = &agent.Settings{}
			d.settings(r.Settings)
			return 12
		}
		return unknown
	})
}

func (d *reader) box(b *agent.Box) {
	d.object(func(name []byte) int {
		switch string(name) {
		case "id":
			b.ID = string(d.quoted()) // hardly two boxes say it alike
			return 0
		case "name":
			b.Name = string(d.quoted())
			return 1
		case "version":
			b.Version = d.word()
			return 2
		case "version_at":
			d.text(&b.VersionAt)
			return 3
		case "board":
			b.Board = d.word()
			return 4
		case "platform":
			b.Platform = d.word()
			return 5
		}
		return unknown
	})
}

func (d *reader) stamp(s *agent.Stamp) {
	d.object(func(name []byte) int {
		switch string(name) {
		case "at":
			d.text(&s.At)
			return 0
		case "clock":
			s.Clock = agent.Clock(d.word())
			return 1
		case "uptime_s":
			s.UptimeS = d.number()
			return 2
		}
		return unknown
	})
}

func (d *reader) settings(s *agent.Settings) {
	d.object(func(name []byte) int {
		switch string(name) {
		case "version":
			s.Version = uint64(d.integer(math.MaxInt64))
			return 0
		case "refused_version":
			s.Refused = uint64(d.integer(math.MaxInt64))
			return 1
		case "refused_because":
			s.Why = d.word()
			return 2
		}
		return unknown
	})
}

func (d *reader) profile() (p agent.ProfileResult) {
	d.object(func(name []byte) int {
		switch string(name) {
		case "name":
			p.Name = d.word()
			return 0
		case "version":
			p.Version = d.word()
			return 1
		case "verdict":
			d.text(&p.Verdict)
			return 2
		case "capabilities":
			p.Capabilities = d.capabilities()
			return 3
		case "direct_by":
			p.DirectBy = d.word()
			return 4
		}
		return unknown
	})
	return p
}

// flat returns an object that lies ahead as it is written, if nothing lies in it.
func (d *reader) flat() []byte {
	n := bytes.IndexByte(d.b[d.i:], '}')
	if n < 0 || n >= longest {
		return nil
	}
	return d.b[d.i : d.i+n+1]
}

// kept takes what was read before from the same bytes, or reads it and keeps it.
func kept[T any](d *reader, all map[string]T, read func() T) T {
	text := d.flat()
	if v, ok := all[string(text)]; ok && text != nil {
		d.i += len(text)
		return v
	}
	from := d.i
	v := read()
	if !d.odd && text != nil && d.i-from == len(text) {
		if len(all) >= mostKept {
			clear(all)
		}
		all[string(text)] = v
	}
	return v
}

func (d *reader) capabilities() agent.Capabilities {
	return kept(d, d.states, func() agent.Capabilities {
		out := agent.Capabilities{}
		d.object(func(name []byte) int {
			c := agent.Capability(d.keep(name))
			_, twice := out[c]
			var st agent.State
			d.text(&st)
			d.odd = d.odd || twice
			out[c] = st
			return free
		})
		return out
	})
}

func (d *reader) target() agent.Target {
	return kept(d, d.targets, func() (t agent.Target) {
		d.object(func(name []byte) int {
			switch string(name) {
			case "host":
				t.Host = d.word()
				return 0
			case "addr":
				a, err := netip.ParseAddr(string(d.quoted()))
				d.odd = d.odd || err != nil
				t.Addr = a
				return 1
			case "port":
				t.Port = uint16(d.integer(math.MaxUint16))
				return 2
			case "last_port":
				t.LastPort = uint16(d.integer(math.MaxUint16))
				return 3
			case "transport":
				t.Transport = agent.Transport(d.word())
				return 4
			case "variant":
				t.Variant = agent.Variant(d.word())
				return 5
			}
			return unknown
		})
		return t
	})
}

func (d *reader) finding() (f agent.Finding) {
	d.object(func(name []byte) int {
		switch string(name) {
		case "code":
			f.Code = agent.Code(d.word())
			return 0
		case "severity":
			d.text(&f.Severity)
			return 1
		case "cause":
			d.text(&f.Cause)
			return 2
		case "profile":
			f.Profile = d.word()
			return 3
		case "target":
			f.Target = d.word()
			return 4
		case "since_at":
			d.text(&f.SinceAt)
			return 5
		case "args":
			f.Args = map[string]string{}
			d.object(func(name []byte) int {
				k := d.keep(name)
				_, twice := f.Args[k]
				d.odd = d.odd || twice
				f.Args[k] = d.word()
				return free
			})
			return 6
		case "evidence":
			if d.null() {
				return 7
			}
			f.Evidence = []int{}
			d.array(func() { f.Evidence = append(f.Evidence, int(d.integer(math.MaxInt32))) })
			return 7
		}
		return unknown
	})
	return f
}

func (d *reader) allEvidence(r *agent.Report) {
	if d.null() {
		return
	}
	if d.brief {
		d.array(func() { d.evidence() })
		return
	}
	r.Evidence = make([]agent.Evidence, 0, 12)
	d.array(func() { r.Evidence = append(r.Evidence, d.evidence()) })
}

func (d *reader) evidence() (e agent.Evidence) {
	d.object(func(name []byte) int {
		switch string(name) {
		case "probe":
			e.Probe = agent.ProbeName(d.word())
			return 0
		case "target":
			e.Target = d.target()
			return 1
		case "outcome":
			d.text(&e.Outcome)
			return 2
		case "grade":
			d.text(&e.Grade)
			return 3
		case "reason":
			e.Reason = agent.Reason(d.word())
			return 4
		case "values":
			e.Values = d.values()
			return 5
		}
		return unknown
	})
	return e
}

// values reads the values of an evidence; nil where they are not kept.
func (d *reader) values() agent.Values {
	var names [mostKeys][]byte
	n := 0
	var out agent.Values
	if !d.brief {
		out = agent.Values{}
	}
	d.object(func(name []byte) int {
		for _, before := range names[:n] {
			d.odd = d.odd || bytes.Equal(before, name)
		}
		if n == mostKeys {
			d.odd = true
		}
		if d.odd {
			return free
		}
		names[n] = name
		n++
		if v := d.value(); out != nil {
			out[agent.Key(d.keep(name))] = v
		}
		return free
	})
	return out
}

// value reads text, a number or a truth.
func (d *reader) value() any {
	switch d.peek() {
	case '"':
		s := d.quoted()
		if d.brief {
			return nil
		}
		return d.keep(s)
	case 't':
		d.literal("true")
		return true
	case 'f':
		d.literal("false")
		return false
	}
	v := d.number()
	if d.brief {
		return nil
	}
	return v
}

// What a field of an object is, for [reader.object]: its number, or one of these.
const (
	unknown = -1 // for the library to skip
	free    = -2 // any name may stand there
)

// object reads an object. field reads the value of each name, and says by a number
// which it is: none may come twice.
func (d *reader) object(field func(name []byte) int) {
	if !d.take('{') {
		return
	}
	if d.peek() == '}' {
		d.i++
		return
	}
	var met uint32
	for !d.odd {
		name := d.quoted()
		if !d.take(':') {
			return
		}
		n := field(name)
		switch {
		case n == unknown || n >= 0 && met&(1<<n) != 0:
			d.odd = true
			return
		case n >= 0:
			met |= 1 << n
		}
		if d.peek() == ',' {
			d.i++
			continue
		}
		d.take('}')
		return
	}
}

// array reads an array; each is called for each entry.
func (d *reader) array(each func()) {
	if !d.take('[') {
		return
	}
	if d.peek() == ']' {
		d.i++
		return
	}
	for n := 0; !d.odd; n++ {
		if n == mostNest {
			d.odd = true
			return
		}
		each()
		if d.peek() == ',' {
			d.i++
			continue
		}
		d.take(']')
		return
	}
}

// peek is the next byte; 0 at the end.
func (d *reader) peek() byte {
	if d.i < len(d.b) {
		return d.b[d.i]
	}
	return 0
}

// take goes over a byte, which must be there.
func (d *reader) take(c byte) bool {
	if d.odd || d.peek() != c {
		d.odd = true
		return false
	}
	d.i++
	return true
}

// null goes over a null, if one lies ahead.
func (d *reader) null() bool {
	if d.peek() != 'n' {
		return false
	}
	d.literal("null")
	return true
}

func (d *reader) literal(s string) {
	if !bytes.HasPrefix(d.b[d.i:], []byte(s)) {
		d.odd = true
		return
	}
	d.i += len(s)
}

// quoted reads text without escapes. The bytes are the message's own.
func (d *reader) quoted() []byte {
	if !d.take('"') {
		return nil
	}
	from, plain := d.i, true
	for d.i < len(d.b) {
		switch c := d.b[d.i]; {
		case c == '"':
			s := d.b[from:d.i]
			d.i++
			d.odd = d.odd || !plain && !utf8.Valid(s)
			return s
		case c < 0x20 || c == '\\':
			d.odd = true
			return nil
		case c >= utf8.RuneSelf:
			plain = false
		}
		d.i++
	}
	d.odd = true
	return nil
}

// word reads text that is likely to come again.
func (d *reader) word() string { return d.keep(d.quoted()) }

// keep makes text of bytes, the same one for the same bytes where it can.
func (d *reader) keep(b []byte) string {
	if s, ok := d.words[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) <= longest {
		if len(d.words) >= mostKept {
			clear(d.words)
		}
		d.words[s] = s
	}
	return s
}

// text reads what has a form of its own.
func (d *reader) text(into encoding.TextUnmarshaler) {
	s := d.quoted()
	if !d.odd && into.UnmarshalText(s) != nil {
		d.odd = true
	}
}

// integer reads a whole number from 0 to a greatest one.
func (d *reader) integer(most int64) (n int64) {
	from := d.i
	for ; d.i < len(d.b) && '0' <= d.b[d.i] && d.b[d.i] <= '9'; d.i++ {
		n = 10*n + int64(d.b[d.i]-'0')
	}
	digits := d.i - from
	if digits == 0 || digits > 18 || digits > 1 && d.b[from] == '0' || n > most {
		d.odd = true
	}
	return n
}

// tens are the powers of ten that a float64 holds as they are.
var tens = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// number reads a number (RFC 8259, section 6). Of up to 15 digits without an exponent
// it is a quotient of two numbers that are exact, and so rounded as it must be.
func (d *reader) number() float64 {
	from := d.i
	negative := d.peek() == '-'
	if negative {
		d.i++
	}
	first := d.i
	var m int64
	whole, parts := 0, 0
	for ; d.i < len(d.b) && '0' <= d.b[d.i] && d.b[d.i] <= '9' && whole < 16; d.i++ {
		m = 10*m + int64(d.b[d.i]-'0')
		whole++
	}
	if d.peek() == '.' {
		d.i++
		for ; d.i < len(d.b) && '0' <= d.b[d.i] && d.b[d.i] <= '9' && parts < 17; d.i++ {
			m = 10*m + int64(d.b[d.i]-'0')
			parts++
		}
		d.odd = d.odd || parts == 0
	}
	if whole == 0 || whole > 1 && d.b[first] == '0' {
		d.odd = true
	}
	if next := d.peek(); d.odd || next == 'e' || next == 'E' || '0' <= next && next <= '9' {
		d.odd = true // many digits, or an exponent: rare
		return 0
	}
	if whole+parts > 15 {
		v, err := strconv.ParseFloat(string(d.b[from:d.i]), 64)
		d.odd = d.odd || err != nil
		return v
	}
	v := float64(m) / tens[parts]
	if negative {
		return -v
	}
	return v
}

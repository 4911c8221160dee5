// Package advice holds every sentence that a person reads: for each finding
// what is the matter, what does not work because of it, and who changes what;
// the one sentence on top; what `check` prints; and the release request for
// the practice's IT. German comes first, English second; the texts stand in
// de.txt and en.txt.
//
// It judges nothing and measures nothing: it knows neither thresholds nor
// probes, reads no clock, and repeats only what a report says. What it returns
// is plain text of one language; who puts it into HTML escapes it there.
package advice

import (
	"fmt"
	"maps"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Lang is a language that the box speaks. Any value but those below speaks
// German.
type Lang string

// The languages.
const (
	German  Lang = "de"
	English Lang = "en"
)

// Langs lists the languages, the first one first.
var Langs = []Lang{German, English}

// ParseLang reads a language as configuration and flags write it: de or en.
func ParseLang(s string) (Lang, error) {
	switch l := Lang(s); l {
	case German, English:
		return l, nil
	}
	return "", fmt.Errorf("unknown language %.20q (want de or en)", s)
}

// Text is what there is to say about one finding. Title, Harm and Staff are for
// people who need not know what a port is; IT is exact.
type Text struct {
	Title string // what is the matter, one sentence
	Harm  string // what does not work because of it
	Staff string // what the practice does; its first sentence is the next step
	IT    string // what the practice's IT, the router vendor or a provider changes
}

// For returns the text for f, with its arguments filled in. A code without a
// text (a report of a newer box) gets one that says so.
func For(f agent.Finding, l Lang) Text {
	return speak(f, l).Text
}

// spoken is a Text whose next step can be had alone.
type spoken struct {
	Text
	move string
}

func speak(f agent.Finding, l Lang) spoken {
	b := bookOf(l)
	e, home := b.entry(f)
	args := b.args(f)
	own := fill(e[fieldIT], args, b)
	if !home {
		e, args = b.elsewhere(f, e, own, args)
		own = fill(e[fieldIT], args, b)
	}
	move, staff := fill(e[fieldMove], args, b), fill(e[fieldStaff], args, b)
	switch f.Args[agent.ArgOutage] {
	case agent.CauseVendor.String():
		move, staff = b.phrase("outage-vendor"), ""
	case agent.CauseISP.String():
		move, staff = b.phrase("outage-isp"), ""
	}
	return spoken{move: move, Text: Text{
		Title: fill(e[fieldTitle], args, b),
		Harm:  fill(e[fieldHarm], args, b),
		Staff: joined(move, staff),
		IT:    own,
	}}
}

// elsewhere is the text of a finding whose cause is none that its code's text
// was written for: the same matter, but another one's move. The code's own line
// for the IT is kept where it speaks of the practice's network at all.
func (b *book) elsewhere(f agent.Finding, e fields, own string, args map[string]string) (fields, map[string]string) {
	other := b.causes[f.Cause]
	if other == nil {
		return e, args
	}
	out, args := maps.Clone(e), maps.Clone(args)
	out[fieldMove], out[fieldStaff], out[fieldIT] = other[fieldMove], other[fieldStaff], other[fieldIT]
	if b.concerns(f.Code, agent.CausePractice) {
		args["it"] = own
	}
	return out, args
}

// args are the finding's arguments, made safe, and those that follow from the
// finding itself: code, target, and whether and where something is blocked,
// which is only claimed of a place where it is proven.
func (b *book) args(f agent.Finding) map[string]string {
	args := make(map[string]string, len(f.Args)+3)
	for k, v := range f.Args {
		if k == "transport" {
			v = strings.ToUpper(v)
		}
		if v = clean(v); v != "" {
			args[k] = v
		}
	}
	args["code"] = clean(string(f.Code))
	args["is-blocked"] = b.word("is-blocked", f.Cause.String())
	args["are-blocked"] = b.word("are-blocked", f.Cause.String())
	if t := clean(f.Target); t != "" {
		args["target"] = t
	}
	return args
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}

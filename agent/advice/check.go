package advice

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/sprechprobe/sprechprobe/agent"
)

// checkWidth is the widest line of Check, in runes.
const checkWidth = 100

// maxProofs is how many pieces of evidence stand below one finding.
const maxProofs = 6

// Check is a whole report for a terminal: the sentence, what works per profile,
// each finding with its harm, its owner, what to change and the evidence, and
// what the box cannot know. Lines have at most 100 runes; there are no colours.
func Check(r agent.Report, l Lang) string {
	b := bookOf(l)
	p := &page{width: checkWidth}
	p.para("", Sentence(r, l))
	p.blank()
	p.capabilities(b, r)
	p.call(b, r)
	var shown []int
	for i, f := range Order(r.Findings) {
		shown = append(shown, f.Evidence...)
		p.finding(b, i+1, f, r, l)
	}
	switch {
	case len(r.Findings) > 0:
	case r.Verdict == agent.Ready:
		p.para("", b.phrase("nothing-to-change"))
		p.blank()
	default:
		p.para("", b.phrase("no-findings"))
		p.blank()
	}
	if slices.ContainsFunc(r.Findings, asks) {
		p.para("", b.phrase("request-hint"))
		p.blank()
	}
	p.para("", b.phrase("measured", "when", When(r.Stamp, l), "box", b.box(r.Box), "version", clean(r.Box.Version)))
	if legend := b.legend(r, shown); legend != "" {
		p.para("", legend)
	}
	p.para("", Limits(l))
	return p.String()
}

// call says on what the word about direct calls rests, and how a rehearsal went.
// The guess at how it would sound is a headline: nothing here is judged by it.
func (p *page) call(b *book, r agent.Report) {
	said := false
	say := func(text string) {
		p.para("", text)
		said = true
	}
	i := slices.IndexFunc(r.Profiles, func(pr agent.ProfileResult) bool { return pr.DirectBy != "" })
	switch {
	case i < 0:
	case r.Profiles[i].DirectBy == "reflect":
		say(b.phrase("direct-by-reflect"))
	default:
		say(b.phrase("direct-by-mapping"))
	}
	for _, e := range r.Evidence {
		if mos, seen := e.Values.Num(agent.MOS); seen && e.Probe == agent.ProbeRehearsal {
			rtt, _ := e.Values.Num(agent.RTT)
			lost, _ := e.Values.Num(agent.LossBothWays)
			say(b.phrase("rehearsed", "mos", strconv.FormatFloat(mos, 'f', 1, 64), "rtt", strconv.FormatFloat(rtt, 'f', 0, 64),
				"lost", strconv.FormatFloat(100*lost, 'f', 1, 64)))
			break
		}
	}
	if said {
		p.blank()
	}
}

func (p *page) finding(b *book, n int, f agent.Finding, r agent.Report, l Lang) {
	t := For(f, l)
	head := strconv.Itoa(n) + ". "
	p.para(head, t.Title)
	since := ""
	if !f.SinceAt.IsZero() {
		since = b.at(f.SinceAt.In(r.Stamp.At.Location()))
	}
	rows := [][2]string{
		{b.phrase("row-harm"), t.Harm},
		{b.phrase("row-severity"), b.phrase("severity-since", "severity", SeverityWord(f.Severity, l), "since", since)},
		{b.phrase("row-service"), clean(f.Profile)},
		{b.phrase("row-cause"), CauseWord(f.Cause, l)},
		{b.phrase("row-staff"), t.Staff},
		{b.phrase("row-it"), t.IT},
	}
	label := b.phrase("row-proof")
	for _, s := range proofs(r, f.Evidence, l) {
		rows, label = append(rows, [2]string{label, s}), ""
	}
	p.rows("   ", rows)
	p.blank()
}

// proofs are the lines for a finding's evidence; indexes that lead nowhere are
// passed over, for the evidence of a large report may have been cut.
func proofs(r agent.Report, indexes []int, l Lang) []string {
	var out []string
	for _, i := range indexes {
		if i < 0 || i >= len(r.Evidence) {
			continue
		}
		out = append(out, Proof(r.Evidence[i], l))
	}
	return capped(out, bookOf(l))
}

// capped leaves out what would be too much to read, and says how much.
func capped(lines []string, b *book) []string {
	if len(lines) <= maxProofs {
		return lines
	}
	more := b.phrase("more-proofs", "n", strconv.Itoa(len(lines)-maxProofs+1))
	return append(slices.Clip(lines[:maxProofs-1]), more)
}

// capabilities writes the table of what works: a row per capability, a column
// per profile, as many columns side by side as fit.
func (p *page) capabilities(b *book, r agent.Report) {
	columns := r.Profiles
	if len(columns) == 0 {
		columns = []agent.ProfileResult{{Verdict: r.Verdict, Capabilities: r.Capabilities}}
	}
	label, column := 0, 0
	for _, c := range agent.AllCapabilities {
		label = max(label, utf8.RuneCountInString(b.word("capability", string(c)))+4)
	}
	for _, w := range append(b.section("state"), b.section("verdict")...) {
		column = max(column, utf8.RuneCountInString(w)+2)
	}
	for some := range slices.Chunk(columns, max(1, (p.width-label)/column)) {
		p.table(b, some, label, column)
	}
	if s, ok := r.Capabilities[agent.Reporting]; ok {
		p.cells(label, column, b.word("capability", string(agent.Reporting)), []string{b.word("state", s.String())})
	}
	p.blank()
}

func (p *page) table(b *book, columns []agent.ProfileResult, label, column int) {
	var names, verdicts []string
	for _, c := range columns {
		names = append(names, cut(clean(c.Name), column-2))
		verdicts = append(verdicts, b.word("verdict", c.Verdict.String()))
	}
	if len(columns) > 1 || names[0] != "" {
		p.cells(label, column, b.phrase("row-service"), names)
	}
	p.cells(label, column, b.phrase("row-verdict"), verdicts)
	for _, c := range agent.AllCapabilities {
		offered := slices.ContainsFunc(columns, func(r agent.ProfileResult) bool { _, ok := r.Capabilities[c]; return ok })
		if !offered || c == agent.Reporting {
			continue
		}
		var states []string
		for _, r := range columns {
			word := b.phrase("not-offered")
			if s, ok := r.Capabilities[c]; ok {
				word = b.word("state", s.String())
			}
			states = append(states, word)
		}
		p.cells(label, column, b.word("capability", string(c)), states)
	}
}

func (p *page) cells(label, column int, head string, cells []string) {
	line := pad("  "+head, label)
	for i, c := range cells {
		if i < len(cells)-1 {
			c = pad(c, column)
		}
		line += c
	}
	p.WriteString(line + "\n")
}

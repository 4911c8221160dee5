package advice

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// requestWidth suits a mail that is quoted once or twice.
const requestWidth = 76

// Site is what a release request says about the practice. Each field may be
// empty.
type Site struct {
	Practice string // name
	Number   string // of the request, for asking back
	Contact  string // who answers questions
}

// Request is the release request for the practice's IT, as plain text for a
// mail: only what is missing in the practice, each line with its proof and the
// time of measurement. Where nothing is, it says so and why no request is
// needed. The profiles are those that the report was made with; without them
// the lines rest on the findings alone.
func Request(r agent.Report, profiles []agent.Profile, s Site, l Lang) string {
	b := bookOf(l)
	p := &page{width: requestWidth}
	d := demandOf(r, profiles)
	site := []string{"practice", clean(s.Practice), "number", clean(s.Number), "contact", clean(s.Contact)}
	by := "measured-by" // each line of a letter has its own time
	if len(d.openings) == 0 && len(d.settings) == 0 {
		p.noRequest(b, r, d, site, l)
		by = "measured"
	} else {
		p.letter(b, r, d, site, l)
	}
	p.sources(b, d, profiles)
	p.para("", b.phrase(by, "when", When(r.Stamp, l), "box", b.box(r.Box), "version", clean(r.Box.Version)))
	return p.String()
}

// demand is what a report asks of the practice's IT.
type demand struct {
	openings []opening
	behind   []agent.Finding // the findings that the openings would cure
	settings []agent.Finding // remedies in the practice that are no firewall rule
	others   []agent.Finding // matters that the practice's IT cannot cure
}

func demandOf(r agent.Report, profiles []agent.Profile) demand {
	var d demand
	for _, f := range Order(r.Findings) {
		if f.Severity == agent.Info {
			continue
		}
		if !asks(f) {
			d.others = append(d.others, f)
			continue
		}
		lines := openings(f, r, profiles)
		if len(lines) == 0 {
			d.settings = append(d.settings, f)
			continue
		}
		d.behind = append(d.behind, f)
		for _, o := range lines {
			d.openings = merge(d.openings, o)
		}
	}
	return d
}

// shown are the indexes of the evidence that the request quotes.
func (d demand) shown() []int {
	var out []int
	for _, o := range d.openings {
		out = append(out, o.evidence...)
	}
	for _, f := range d.settings {
		out = append(out, f.Evidence...)
	}
	return out
}

// asks reports whether a finding asks something of the practice's IT: it is the
// practice's, and neither a loose cable nor a NAT that a relay makes up for.
func asks(f agent.Finding) bool {
	return f.Cause == agent.CausePractice && f.Severity > agent.Info &&
		f.Code != agent.LinkDown && f.Code != agent.NATEDM
}

func (p *page) letter(b *book, r agent.Report, d demand, site []string, l Lang) {
	subject, intro, source := "subject-settings", "intro-settings", "affected"
	if len(d.openings) > 0 {
		subject, intro, source = "subject", "intro", "source"
	}
	p.para("", b.phrase(subject, site...))
	p.blank()
	p.para("", b.phrase("greeting"))
	p.blank()
	p.para("", b.phrase(intro))
	p.para("", b.phrase(source, "addr", ownAddr(r)))
	p.blank()
	for i, o := range d.openings {
		p.opening(b, i+1, o, r, l)
	}
	p.settings(b, d, r, l)
	asked := append(slices.Clip(d.behind), d.settings...)
	p.harms(b, asked, l)
	if len(d.others) > 0 {
		p.para("", b.phrase("others"))
		p.list(b, d.others, l)
		p.blank()
	}
	p.para("", b.phrase("after-change"))
	if s := b.phrase("ask-back", site...); s != "" {
		p.para("", s)
	}
	p.blank()
	if s := b.legend(r, d.shown()); s != "" {
		p.para("", s)
	}
}

// ownAddr is the box's own address on the practice's network, if it was seen.
func ownAddr(r agent.Report) string {
	for _, e := range r.Evidence {
		if a := e.Values.Text(agent.LocalAddr); e.Probe == agent.ProbeLink && a != "" {
			addr, _, _ := strings.Cut(clean(a), "/")
			return addr
		}
	}
	return ""
}

func (p *page) opening(b *book, n int, o opening, r agent.Report, l Lang) {
	head := strconv.Itoa(n) + ". "
	p.para(head, b.word("service", kind(o.service)))
	var rows [][2]string
	label := b.phrase("row-target")
	for _, d := range o.dests {
		rows, label = append(rows, [2]string{label, b.dest(d)}), ""
	}
	rows = append(rows,
		[2]string{b.phrase("row-protocol"), o.transport},
		[2]string{b.phrase("row-port"), o.ports},
		[2]string{b.phrase("row-direction"), b.phrase("direction")},
		[2]string{b.phrase("row-purpose"), b.word("purpose", kind(o.service))})
	p.rows("   ", append(rows, b.proofRows(r, o.evidence, l)...))
	p.blank()
}

func kind(s agent.Service) string { return string(cmp.Or(s, "other")) }

// dest writes a host with its addresses and says where those come from.
func (b *book) dest(d dest) string {
	published, seen := without(d.published, []string{d.name}), without(d.seen, []string{d.name})
	return b.phrase("dest", "name", d.name,
		"published", strings.Join(published, ", "), "seen", strings.Join(seen, ", "))
}

// proofRows are the evidence and its time, or a plain statement where the
// evidence did not fit into the report.
func (b *book) proofRows(r agent.Report, indexes []int, l Lang) [][2]string {
	lines := proofs(r, indexes, l)
	if len(lines) == 0 {
		lines = []string{b.phrase("proof-lost")}
	}
	var rows [][2]string
	label := b.phrase("row-proof")
	for _, s := range lines {
		rows, label = append(rows, [2]string{label, s}), ""
	}
	return append(rows, [2]string{b.phrase("row-when"), When(r.Stamp, l)})
}

func (p *page) settings(b *book, d demand, r agent.Report, l Lang) {
	if len(d.settings) == 0 {
		return
	}
	if len(d.openings) > 0 {
		p.para("", b.phrase("settings-too"))
		p.blank()
	}
	for i, f := range d.settings {
		t := For(f, l)
		p.para(strconv.Itoa(len(d.openings)+i+1)+". ", t.Title)
		rows := [][2]string{{b.phrase("row-change"), t.IT}}
		p.rows("   ", append(rows, b.proofRows(r, f.Evidence, l)...))
		p.blank()
	}
}

// harms says why the request matters, each harm once.
func (p *page) harms(b *book, findings []agent.Finding, l Lang) {
	var harms []string
	for _, f := range findings {
		harms = union(harms, For(f, l).Harm)
	}
	p.para("", b.phrase("without-it"))
	for _, h := range harms {
		p.para("- ", h)
	}
	p.blank()
}

// list names findings and whose they are.
func (p *page) list(b *book, findings []agent.Finding, l Lang) {
	for _, f := range findings {
		p.para("- ", b.phrase("item", "title", For(f, l).Title, "cause", CauseWord(f.Cause, l)))
	}
}

func (p *page) noRequest(b *book, r agent.Report, d demand, site []string, l Lang) {
	p.para("", b.phrase("subject-none", site...))
	p.blank()
	unclear := slices.ContainsFunc(d.others, func(f agent.Finding) bool { return f.Cause == agent.CauseUnknown })
	switch {
	case r.Verdict == agent.VerdictUnknown || r.Verdict == agent.Offline:
		p.para("", b.phrase("none-unknown"))
	case unclear || len(d.others) == 0 && r.Verdict != agent.Ready:
		p.para("", b.phrase("none-unclear"))
	case len(d.others) > 0:
		p.para("", b.phrase("none-others"))
	default:
		p.para("", b.phrase("none-missing"))
	}
	p.blank()
	for _, f := range d.others {
		t := For(f, l)
		p.para("- ", b.phrase("item", "title", t.Title, "cause", CauseWord(f.Cause, l)))
		p.para("  ", t.Staff)
	}
	if len(d.others) > 0 {
		p.blank()
	}
	p.para("", b.phrase("no-inbound"))
	p.blank()
}

// sources says on whose word the targets rest: those of the profiles that the
// request is about or, without a request, of all that were looked at.
func (p *page) sources(b *book, d demand, profiles []agent.Profile) {
	asked := append(slices.Clip(d.behind), d.settings...)
	for _, t := range profiles {
		concerns := func(f agent.Finding) bool { return f.Profile == "" || f.Profile == t.Name }
		if len(asked) > 0 && !slices.ContainsFunc(asked, concerns) {
			continue
		}
		title := clean(t.Title)
		if title == "" {
			title = clean(t.Name)
		}
		p.para("", b.phrase("basis", "title", title, "source", clean(t.Source), "date", clean(t.Date), "version", clean(t.Version)))
	}
}

package statuspage

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

// The paths that there are.
const (
	pathHome    = "/"
	pathRequest = "/request"
)

// How often the page renews itself, seconds: while somebody watches the first
// look, and later.
const (
	soonS  = 3
	laterS = 30
)

// maxFindings are shown; the release request has them all.
const maxFindings = 10

// view is one state in one language, at one moment.
type view struct {
	State
	doc
	l       *labels
	lang    advice.Lang
	history *History
	known   bool          // there is a report
	age     time.Duration // of the report
	stale   bool          // the report is not today's truth
}

// overview is the page.
func (v *view) overview() string {
	refresh := laterS
	if v.Looking {
		refresh = soonS
	}
	v.head(v.l.title, refresh)
	v.top(v.l.title, pathHome)
	v.verdict()
	v.sequence()
	v.findings()
	v.capabilities()
	v.strip()
	v.legend()
	v.about()
	v.raw("</main></body></html>\n")
	return v.String()
}

// request is the letter to the practice's IT, by itself: a page that renews
// itself would take the selection away from whoever copies it.
func (v *view) request() string {
	v.head(v.l.request, 0)
	v.top(v.l.request, pathRequest)
	v.el("p", "soft", v.l.requestHint)
	v.raw(`<textarea readonly aria-label="`)
	v.text(v.l.request)
	v.raw("\">\n") // a first line break is not part of the text
	if v.known {
		v.text(advice.Request(v.Report, v.Profiles, advice.Site{Practice: v.Box.Name}, v.lang))
	}
	v.raw("</textarea>")
	v.link("button", pathHome, string(v.lang), v.l.back)
	v.raw("</main></body></html>\n")
	return v.String()
}

func (v *view) head(title string, refreshS int) {
	v.raw(`<!doctype html><html lang="` + string(v.lang) + `"><head><meta charset="utf-8">` +
		`<meta name="viewport" content="width=device-width,initial-scale=1">`)
	if refreshS > 0 {
		v.raw(`<meta http-equiv="refresh" content="` + strconv.Itoa(refreshS) + `">`)
	}
	v.el("title", "", title)
	v.raw("<style>" + style + "</style></head><body>")
}

// top is the page's heading and the way to its other language.
func (v *view) top(title, path string) {
	v.raw("<header>")
	v.el("h1", "", title)
	v.link("nav", path, v.l.otherLang, v.l.other)
	v.raw("</header><main>")
}

// part begins a part of the page.
func (v *view) part(title string) {
	v.raw("<section>")
	v.el("h2", "", title)
}

// soft ends a part with a remark.
func (v *view) soft(remark string) {
	v.el("p", "soft", remark)
	v.raw("</section>")
}

// verdict is what most people came for.
func (v *view) verdict() {
	verdict := v.Report.Verdict
	if v.stale {
		verdict = agent.VerdictUnknown
	}
	v.open("section", "verdict "+verdict.String())
	v.raw(`<p class="word">`)
	v.mute("i", "")
	v.text(icon(verdict))
	v.raw("</i>")
	v.text(advice.VerdictWord(verdict, v.lang))
	v.raw("</p>")
	switch {
	case v.stale:
		v.el("p", "", put(v.l.stale, span(int(v.age/time.Second))))
	case v.known:
		v.el("p", "", advice.Sentence(v.Report, v.lang))
	default:
		v.el("p", "", v.l.first)
	}
	if v.known {
		line := put(v.l.now, advice.When(v.Report.Stamp, v.lang)) + " (" + put(v.l.ago, span(int(v.age/time.Second))) + ")"
		if held := int(v.Report.Stamp.UptimeS) - v.history.since; !v.stale && held > 60 {
			line += ", " + put(v.l.since, span(held))
		}
		v.el("p", "soft", line+".")
	}
	v.soft(v.l.next)
}

func icon(verdict agent.Verdict) string {
	if int(verdict) < len(icons) {
		return icons[verdict]
	}
	return icons[agent.VerdictUnknown]
}

// put fills the one place of a label.
func put(label, value string) string { return strings.Replace(label, "%s", value, 1) }

// sequence is the installer's way from the plug to the vendor.
func (v *view) sequence() {
	v.part(v.l.steps)
	now, running := v.Steps.First(steps.Waiting)
	v.raw(`<ol class="steps">`)
	for i, state := range v.Steps {
		word := v.l.stepState[state]
		if v.Looking && running && steps.Step(i) == now {
			word = v.l.running
		}
		v.open("li", stepClass[state])
		v.mute("b", "")
		v.raw(stepIcon[state])
		v.close("b")
		v.el("span", "", v.l.step[i])
		v.el("em", "", word)
		v.close("li")
	}
	v.raw("</ol>")
	if at, failed := v.Steps.First(steps.Failed); failed && !v.Looking {
		v.raw("<p><strong>")
		v.text(put(v.l.stuck, v.l.step[at]))
		v.raw("</strong></p>")
	}
	if v.Took > 0 {
		v.el("p", "soft", put(v.l.took, span(int(v.Took/time.Second))))
	}
	v.close("section")
}

var (
	stepClass = [...]string{steps.Waiting: "waiting", steps.Passed: "passed", steps.Failed: "failed", steps.Unclear: "unclear", steps.Unneeded: "unneeded"}
	stepIcon  = [...]string{steps.Waiting: "…", steps.Passed: "✓", steps.Failed: "✗", steps.Unclear: "?", steps.Unneeded: "–"}
)

// findings say what is the matter and whose move it is.
func (v *view) findings() {
	if !v.known {
		return
	}
	v.part(v.l.todo)
	all := advice.Order(v.Report.Findings)
	if len(all) == 0 && v.Report.Verdict == agent.Ready {
		v.el("p", "", v.l.nothing)
	}
	for _, f := range all[:min(len(all), maxFindings)] {
		v.finding(f)
	}
	if n := len(all) - maxFindings; n > 0 {
		v.el("p", "", put(v.l.more, strconv.Itoa(n)))
	}
	v.link("button", pathRequest, string(v.lang), v.l.request)
	v.soft(v.l.requestHint)
}

func (v *view) finding(f agent.Finding) {
	t := advice.For(f, v.lang)
	v.raw(`<div class="finding">`)
	v.el("h3", "", t.Title)
	v.el("p", "", t.Harm)
	v.el("p", "", t.Staff)
	v.raw("<dl>")
	v.pair(v.l.owner, advice.CauseWord(f.Cause, v.lang))
	v.pair(v.l.forIT, t.IT)
	v.pair(v.l.code, string(f.Code))
	v.raw("</dl></div>")
}

// pair is a term and what it is, left out where that is nothing.
func (v *view) pair(term, what string) {
	if what != "" {
		v.el("dt", "", term)
		v.el("dd", "", what)
	}
}

// capabilities are what works, by service.
func (v *view) capabilities() {
	if len(v.Report.Profiles) == 0 {
		return
	}
	v.part(v.l.works)
	v.raw(`<dl class="works">`)
	for _, p := range v.Report.Profiles {
		v.el("dt", "head", v.titleOf(p.Name))
		for _, c := range agent.AllCapabilities {
			if s, offered := p.Capabilities[c]; offered {
				v.pair(advice.CapabilityWord(c, v.lang), advice.StateWord(s, v.lang))
			}
		}
	}
	v.raw("</dl>")
	v.soft(advice.Limits(v.lang))
}

// titleOf is a service as people call it.
func (v *view) titleOf(name string) string {
	i := slices.IndexFunc(v.Profiles, func(p agent.Profile) bool { return p.Name == name && p.Title != "" })
	if i < 0 {
		return name
	}
	return v.Profiles[i].Title
}

// strip is the last 24 hours, as bars and in words.
func (v *view) strip() {
	v.part(v.l.history)
	v.mute("div", "strip")
	var sums [agent.Offline + 1]int
	for _, c := range v.history.day() {
		class := ""
		if c.seen {
			sums[c.verdict]++
			class = c.verdict.String()
		}
		v.empty(class)
	}
	v.raw("</div>")
	v.mute("div", "ends soft")
	v.el("span", "", v.l.dayAgo)
	v.el("span", "", v.l.today)
	v.raw("</div>")
	v.raw(`<ul class="sums">`)
	quarters := slots
	for verdict, n := range sums {
		quarters -= n
		if n > 0 {
			v.sum(agent.Verdict(verdict).String(), advice.VerdictWord(agent.Verdict(verdict), v.lang), n)
		}
	}
	if quarters > 0 {
		v.sum("", v.l.unseen, quarters)
	}
	v.raw("</ul>")
	v.soft(v.l.historyHint)
}

func (v *view) sum(class, word string, quarters int) {
	v.raw("<li>")
	v.empty(class)
	v.text(word + " " + span(quarters*slotS))
	v.raw("</li>")
}

// legend is what the lights can say, and what they say now.
func (v *view) legend() {
	v.part(advice.BoxWord("lamps", v.lang))
	v.el("p", "", advice.BoxWord("lamps-intro", v.lang))
	v.raw(`<ul class="legend">`)
	for _, e := range light.Legend(v.lang) {
		now := e.Show.State == v.Show.State
		if e.Role == light.Box { // what only this lamp tells
			now = v.Show.Unheard
		}
		class, looks := "", e.Looks
		if now {
			class, looks = "on", looks+" ("+v.l.lampNow+")"
		}
		v.open("li", class)
		v.beats(e.Lamp.String())
		v.el("p", "", looks)
		v.el("p", "soft", e.Means)
		v.close("li")
	}
	v.raw("</ul>")
	v.soft(v.l.beat)
}

// beats draws a pattern, one square a beat.
func (v *view) beats(picture string) {
	v.mute("div", "beats")
	for i := range picture {
		v.empty(strings.Trim(picture[i:i+1], "-"))
	}
	v.raw("</div>")
}

// about is what support would ask for.
func (v *view) about() {
	v.part(v.l.box)
	v.raw("<dl>")
	v.pair(v.l.name, v.Box.Name)
	v.pair(v.l.id, v.Box.ID)
	v.pair(v.l.addr, v.Addr)
	v.pair(advice.BoxWord("id-code", v.lang), v.Code)
	v.pair(v.l.version, strings.TrimSpace(v.Box.Version+" "+v.Box.Platform))
	v.raw("</dl>")
	v.soft(v.l.support)
}

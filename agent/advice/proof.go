package advice

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Proof is one piece of evidence in one line: who was asked, what came back and
// how strongly that proves something.
func Proof(e agent.Evidence, l Lang) string {
	b := bookOf(l)
	grade := e.Grade.String()
	if e.Outcome == agent.NotLooked {
		grade = ""
	}
	return b.phrase("proof",
		"probe", ProbeWord(e.Probe, l),
		"target", clean(e.Target.String()),
		"addr", addrBeside(e.Target),
		"variant", b.variant(e.Target.Variant),
		"outcome", OutcomeWord(e.Outcome, l),
		"reason", ReasonWord(e.Reason, l),
		"sender", clean(e.Values.Text(agent.ICMPFrom)),
		"resolver", clean(e.Values.Text(agent.Resolver)),
		"issuer", b.issuer(e),
		"addrs", answered(e),
		"sample", b.sample(e.Values),
		"rtt", b.took(e.Values),
		"grade", grade)
}

// addrBeside is the address that was asked, where the target's name does not
// already say it.
func addrBeside(t agent.Target) string {
	if t.Host == "" || !t.Addr.IsValid() || t.Host == t.Addr.String() {
		return ""
	}
	return clean(t.Addr.String())
}

func (b *book) variant(v agent.Variant) string {
	if v == "" || v == agent.Plain {
		return ""
	}
	return b.word("variant", string(v))
}

// issuer is shown where it is what is wrong.
func (b *book) issuer(e agent.Evidence) string {
	if e.Outcome != agent.Tampered {
		return ""
	}
	return clean(e.Values.Text(agent.TLSIssuer))
}

func answered(e agent.Evidence) string {
	if e.Probe != agent.ProbeDNS {
		return ""
	}
	return strings.Join(strings.Fields(clean(e.Values.Text(agent.Addrs))), ", ")
}

// sample sums up a sampled port range.
func (b *book) sample(v agent.Values) string {
	n, ok := v.Num(agent.Sampled)
	if !ok {
		return ""
	}
	count := func(k agent.Key) string {
		n, _ := v.Num(k)
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	return b.phrase("sample", "n", strconv.FormatFloat(n, 'f', 0, 64), "open", count(agent.Open),
		"barred", count(agent.Barred), "quiet", count(agent.Quiet))
}

// took is the time of an answer or refusal.
func (b *book) took(v agent.Values) string {
	ms, ok := v.Num(agent.RTT)
	if !ok {
		ms, ok = v.Num(agent.ConnectTime)
	}
	switch {
	case !ok || ms <= 0 || ms > float64(time.Hour.Milliseconds()):
		return ""
	case ms < 1:
		return b.phrase("below-1-ms")
	}
	return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
}

// legend explains the grades of the evidence that was shown.
func (b *book) legend(r agent.Report, indexes []int) string {
	var out []string
	for g := agent.GradeA; g <= agent.GradeE; g++ {
		if slices.ContainsFunc(indexes, func(i int) bool { return i >= 0 && i < len(r.Evidence) && r.Evidence[i].Grade == g }) {
			out = append(out, "("+g.String()+") "+b.word("grade", g.String()))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return b.phrase("grades", "list", strings.Join(out, ", "))
}

// box names the box: by what people call it, and by what the fleet does.
func (b *book) box(box agent.Box) string {
	id, name := clean(box.ID), clean(box.Name)
	if name == "" || name == id {
		return id
	}
	return b.phrase("box-named", "name", name, "id", id)
}

// When says when something was measured, in the time zone that the stamp
// carries, and whether that time can be believed.
func When(s agent.Stamp, l Lang) string {
	b := bookOf(l)
	at := b.at(s.At)
	if s.Clock == agent.ClockSet {
		return at
	}
	return b.phrase("when-unset", "at", at, "uptime", b.uptime(s.UptimeS))
}

func (b *book) at(t time.Time) string {
	if t.IsZero() {
		return b.phrase("when-unknown")
	}
	return t.Format(b.word("phrase", "time-layout"))
}

func (b *book) uptime(seconds float64) string {
	if !(seconds >= 0 && seconds < 1e10) { // also NaN
		return ""
	}
	minutes := int64(seconds / 60)
	return b.phrase("uptime", "h", strconv.FormatInt(minutes/60, 10), "min", strconv.FormatInt(minutes%60, 10))
}

// Limits says what the box cannot know.
func Limits(l Lang) string { return bookOf(l).phrase("limits") }

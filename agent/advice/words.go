package advice

import "github.com/sprechprobe/sprechprobe/agent"

// VerdictWord is a verdict in one or two words.
func VerdictWord(v agent.Verdict, l Lang) string { return bookOf(l).word("verdict", v.String()) }

// CapabilityWord is what people call something that a practice wants to do.
func CapabilityWord(c agent.Capability, l Lang) string {
	return bookOf(l).word("capability", string(c))
}

// StateWord says how well something works.
func StateWord(s agent.State, l Lang) string { return bookOf(l).word("state", s.String()) }

// CauseWord says who has to act.
func CauseWord(c agent.Cause, l Lang) string { return bookOf(l).word("cause", c.String()) }

// SeverityWord says how bad a finding is.
func SeverityWord(s agent.Severity, l Lang) string { return bookOf(l).word("severity", s.String()) }

// OutcomeWord says what happened to one look.
func OutcomeWord(o agent.Outcome, l Lang) string { return bookOf(l).word("outcome", o.String()) }

// ReasonWord says why an outcome is what it is; empty for no reason.
func ReasonWord(r agent.Reason, l Lang) string {
	if r == "" {
		return ""
	}
	return bookOf(l).word("reason", string(r))
}

// GradeWord says what a grade proves.
func GradeWord(g agent.Grade, l Lang) string { return bookOf(l).word("grade", g.String()) }

// ProbeWord says what a probe looks at.
func ProbeWord(p agent.ProbeName, l Lang) string { return bookOf(l).word("probe", string(p)) }

// LampLooks says how a lamp looks in a state of agent/light, by the state's word.
func LampLooks(state string, l Lang) string { return bookOf(l).word("lamp-looks", state) }

// LampMeans says what a state of the lamps means, and what to do about it.
func LampMeans(state string, l Lang) string { return bookOf(l).word("lamp-means", state) }

// BoxWord is a text of the box's own displays, by its key, with its placeholders
// filled from pairs of name and value.
func BoxWord(key string, l Lang, pairs ...string) string {
	args := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		args[pairs[i]] = clean(pairs[i+1])
	}
	return fill(bookOf(l).word("box", key), args, bookOf(l))
}

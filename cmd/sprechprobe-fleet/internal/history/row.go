package history

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// row is a report as the tables have it.
type row struct {
	box       string
	boot      string
	seq       int64
	eventAt   int64
	arrivedAt int64
	verdict   agent.Verdict
	severity  agent.Severity
	state     string
	isp       string
	scheduled bool
	uptime    int64 // milliseconds
	title     string
	version   string
	tags      []string
	measures  measures
	raw       []byte
}

// row reads an entry. Public addresses are shortened before anything is kept.
func (db *DB) row(e Entry) (row, error) {
	r, raw := e.Report, e.Raw
	if tells(r) {
		var err error
		r = fleet.Redact(r)
		if raw, err = json.Marshal(r); err != nil {
			return row{}, fmt.Errorf("report of %s: %w", e.From, err)
		}
	}
	at := EventAt(r, e.ArrivedAt)
	boot := e.Boot
	if boot == "" {
		// Without a run, the stamp stands for it.
		boot = "at " + r.Stamp.At.UTC().Format(time.RFC3339Nano)
	}
	out := row{
		box: name(e.From), boot: clip(boot, 64), seq: int64(r.Seq & (1<<63 - 1)), eventAt: millis(at), arrivedAt: millis(e.ArrivedAt),
		verdict: r.Verdict, state: stateOf(r), isp: db.isp(r),
		scheduled: r.Trigger == agent.OnSchedule, uptime: int64(r.Stamp.UptimeS * 1000),
		title: clip(r.Box.Name, 200), version: clip(r.Box.Version, 60), measures: measure(r), raw: db.pack.pack(raw),
	}
	for _, f := range r.Findings {
		out.severity = max(out.severity, f.Severity)
		if f.Severity > agent.Info {
			out.tags = append(out.tags, "finding:"+clip(string(f.Code), 60), "cause:"+f.Cause.String())
		}
	}
	for _, p := range r.Profiles {
		out.tags = append(out.tags, "profile:"+clip(p.Name, 60))
	}
	slices.Sort(out.tags)
	out.tags = slices.Compact(out.tags)
	return out, nil
}

// tells reports whether a report says addresses that are to be shortened. Most say
// none, which is found without a copy.
func tells(r agent.Report) bool {
	var some agent.Report
	for _, e := range r.Evidence {
		for k, v := range e.Values {
			if s, text := v.(string); text && !harmless[k] && (k == agent.ClientAddr || !stays(s)) {
				some.Evidence = append(some.Evidence, e)
				break
			}
		}
	}
	for _, f := range r.Findings {
		if len(f.Args) > 0 {
			f.Evidence = nil
			some.Findings = append(some.Findings, f)
		}
	}
	return len(some.Evidence)+len(some.Findings) > 0 && shortened(some, fleet.Redact(some))
}

// harmless is text that is no address, of keys that most reports have.
var harmless = map[agent.Key]bool{agent.Realm: true, agent.NATSVersion: true}

// stays reports whether text is an address, or a network, that is not to be
// shortened, as far as that is soon seen.
func stays(s string) bool {
	if strings.IndexByte(s, '/') < 0 {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Zone() == "" && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast())
	}
	p, err := netip.ParsePrefix(s)
	return err == nil && p.Addr().Is4() && p.Bits() == 24 && p == p.Masked() && p.String() == s
}

// shortened reports whether addresses were cut: everything else is as it was.
func shortened(was, is agent.Report) bool {
	for i, e := range is.Evidence {
		if !maps.Equal(e.Values, was.Evidence[i].Values) {
			return true
		}
	}
	for i, f := range is.Findings {
		if !maps.Equal(f.Args, was.Findings[i].Args) {
			return true
		}
	}
	return false
}

// isp is the provider of the address that far ends saw.
func (db *DB) isp(r agent.Report) string {
	if db.conf.ISP == nil {
		return ""
	}
	for _, e := range r.Evidence {
		p, err := netip.ParsePrefix(e.Values.Text(agent.MappedAddr))
		if err != nil {
			continue
		}
		if isp := db.conf.ISP(p.Addr()); isp != "" {
			return clip(isp, 80)
		}
	}
	return ""
}

// stateOf writes the verdict and the findings that count as one text that is the
// same where they are: "limited nat-edm/practice turn-udp-block/practice".
func stateOf(r agent.Report) string {
	var words []string
	for _, f := range r.Findings {
		if code := string(f.Code); f.Severity > agent.Info && len(code) <= 60 && !strings.ContainsAny(code, " /") {
			words = append(words, code+"/"+f.Cause.String())
		}
	}
	slices.Sort(words)
	return strings.Join(append([]string{r.Verdict.String()}, slices.Compact(words)...), " ")
}

// parseState reads what stateOf wrote; of an empty text, nothing is known.
func parseState(s string) (v agent.Verdict, found []Finding) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return agent.VerdictUnknown, nil
	}
	_ = v.UnmarshalText([]byte(words[0])) // a verdict of a later version is not known
	for _, w := range words[1:] {
		code, cause, _ := strings.Cut(w, "/")
		f := Finding{Code: agent.Code(code)}
		_ = f.Cause.UnmarshalText([]byte(cause)) // likewise
		found = append(found, f)
	}
	return v, found
}

// service are the probes whose round trips are the service's own.
var service = []agent.ProbeName{agent.ProbeSTUN, agent.ProbeTURN, agent.ProbeRelay, agent.ProbeNATS, agent.ProbeWeb}

// most is more than any metric can be.
const most = 1e12

// measures are the metrics of a report, in the order of [Metrics].
type measures [6]struct {
	value float64
	known bool
}

// raise enters a value where none is greater.
func (m *measures) raise(which Metric, v float64) {
	at := &m[slices.Index(Metrics, which)]
	// Sums of what a stranger sends must stay numbers.
	at.value, at.known = max(at.value, min(max(v, 0), most)), true
}

// cell is a metric as the table has it.
func (m *measures) cell(i int) any {
	if m[i].known {
		return m[i].value
	}
	return nil
}

// measure takes the metrics from a report. What was not measured is absent.
func measure(r agent.Report) (out measures) {
	var trips, jitter []float64
	var sent, got float64
	for _, e := range r.Evidence {
		if e.Outcome != agent.Answered {
			continue
		}
		if ms, ok := e.Values.Num(agent.RTT); ok && slices.Contains(service, e.Probe) {
			trips = append(trips, ms)
		}
		if e.Probe == agent.ProbeBurst {
			s, _ := e.Values.Num(agent.Sent)
			g, _ := e.Values.Num(agent.Received)
			sent, got = sent+s, got+g
			if j, ok := e.Values.Num(agent.Jitter); ok {
				jitter = append(jitter, j)
			}
		}
		if e.Probe == agent.ProbeBandwidth {
			out.bandwidth(e.Values)
		}
	}
	if len(trips) > 0 {
		slices.Sort(trips)
		out.raise(RTT, trips[len(trips)/2])
	}
	if len(jitter) > 0 {
		out.raise(Jitter, slices.Max(jitter))
	}
	if sent > 0 {
		out.raise(Loss, 1-min(got, sent)/sent)
	}
	return out
}

func (m *measures) bandwidth(v agent.Values) {
	for _, c := range []struct {
		from agent.Key
		to   Metric
	}{
		{agent.DownRate, Down}, {agent.UpRate, Up},
		{agent.DownLoadedRTT, LoadedRTT}, {agent.UpLoadedRTT, LoadedRTT},
		{agent.DownLoss, Loss}, {agent.UpLoss, Loss}, {agent.DownJitter, Jitter}, {agent.UpJitter, Jitter},
	} {
		if n, ok := v.Num(c.from); ok {
			m.raise(c.to, n)
		}
	}
}

// places are how bad verdicts are; a silent box stands between limited and unknown.
var places = map[agent.Verdict]int64{agent.Blocked: 0, agent.Offline: 1, agent.VerdictLimited: 2, agent.VerdictUnknown: 4, agent.Ready: 5}

const silentPlace = 3

// place orders boxes, the worst first.
func place(v agent.Verdict, s agent.Severity, silent bool) int64 {
	p, ok := places[v]
	if !ok {
		p = places[agent.VerdictUnknown]
	}
	if silent {
		p = silentPlace
	}
	return 4*p + int64(agent.Critical) - int64(min(s, agent.Critical))
}

// clip makes foreign text fit for a table: valid, without NUL, at most n bytes.
func clip(s string, n int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// order sorts rows by box and time.
func order(a, b row) int {
	return cmp.Or(cmp.Compare(a.box, b.box), cmp.Compare(a.eventAt, b.eventAt), cmp.Compare(a.boot, b.boot), cmp.Compare(a.seq, b.seq))
}

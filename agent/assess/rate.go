package assess

import (
	"math"
	"slices"
	"strconv"

	"github.com/sprechprobe/sprechprobe/agent"
)

// What the rules here read are values, by their keys: any look that measures them
// feeds the rules.

// measured are the looks that carry one of these values and concern a profile. A
// measurement of the line concerns all; a look on the way to a service, only who
// uses that.
func (v *view) measured(pr agent.Profile, keys ...agent.Key) []int {
	return v.where(func(e *agent.Evidence) bool {
		if !answered(e) || !slices.ContainsFunc(keys, func(k agent.Key) bool { _, ok := e.Values.Num(k); return ok }) {
			return false
		}
		return e.Probe == agent.ProbeBandwidth ||
			slices.ContainsFunc(pr.Targets, func(t agent.Target) bool { return t.Host == e.Target.Host })
	})
}

// worst is the highest of these values, and the look that has it.
func (v *view) worst(pr agent.Profile, keys ...agent.Key) (look int, value float64, ok bool) {
	for _, i := range v.measured(pr, keys...) {
		for _, k := range keys {
			if n, seen := v.evidence[i].Values.Num(k); seen && (!ok || n > value) {
				look, value, ok = i, n, true
			}
		}
	}
	return look, value, ok
}

// way is one direction of a line.
type way struct {
	name             string // of its argument
	rate, limit      agent.Key
	least, hd, byLaw float64 // bit/s that are needed
	measured         bool
	got              float64 // bit/s
	by               string  // what held it down
}

// ways are both directions as they were measured, for a profile.
func (v *view) ways(pr agent.Profile) (look int, both []way, ok bool) {
	t := pr.Thresholds
	both = []way{
		{name: "down", rate: agent.DownRate, limit: agent.DownLimit, least: t.MinDownBitsPerS, hd: t.HDDownBitsPerS, byLaw: t.RegulatedDownBitsPerS},
		{name: "up", rate: agent.UpRate, limit: agent.UpLimit, least: t.MinUpBitsPerS, hd: t.HDUpBitsPerS},
	}
	ix := v.of(agent.ProbeBandwidth)
	if len(ix) == 0 {
		return 0, both, false
	}
	values := v.evidence[ix[0]].Values // the book has one
	for k := range both {
		w := &both[k]
		w.got, w.measured = values.Num(w.rate)
		w.by = values.Text(w.limit)
		ok = ok || w.measured
	}
	return ix[0], both, ok
}

// short reports whether the line itself carries less than is needed.
func (w way) short(need float64) bool {
	return w.measured && need > 0 && w.got < need && !w.capped(need)
}

// capped reports whether something else than the line kept the rate below what is
// needed: then nothing is known of the line but that it does as much.
func (w way) capped(need float64) bool {
	return w.measured && w.got < need && (w.by == "server" || w.by == "box")
}

// mbit writes a rate as people read it, Mbit/s.
func mbit(bitsPerS float64) string {
	if bitsPerS >= 10e6 {
		return whole(bitsPerS / 1e6)
	}
	return strconv.FormatFloat(math.Floor(bitsPerS/1e5)/10, 'f', -1, 64)
}

// bandwidthMin: the line carries less than the service, or the law, asks for.
func bandwidthMin(v *view, pr agent.Profile) []claim {
	look, both, ok := v.ways(pr)
	var args []string
	lawOnly := true
	for _, w := range both {
		if w.short(w.least) {
			args = append(args, w.name, mbit(w.got), "need_"+w.name, mbit(w.least))
			lawOnly = false
		}
		if w.short(w.byLaw) {
			args = append(args, w.name, mbit(w.got), "rule", mbit(w.byLaw))
			if !w.short(w.least) {
				args = append(args, "need_"+w.name, mbit(w.byLaw))
			}
		}
	}
	if !ok || len(args) == 0 {
		return nil
	}
	c := v.onLine(found([]int{look}, "", args...))
	if lawOnly {
		c.Severity, c.harms = agent.Minor, agent.Capabilities{agent.Group: agent.Limited}
	}
	return one(c)
}

// noPicture is the part of what high definition needs below which even a usual
// picture suffers.
const noPicture = 0.4

// bandwidthHD: enough to talk, not enough for a sharp picture.
func bandwidthHD(v *view, pr agent.Profile) []claim {
	look, both, _ := v.ways(pr)
	var args []string
	worst := agent.OK
	for _, w := range both {
		if !w.short(w.hd) {
			continue
		}
		args = append(args, w.name, mbit(w.got), "need_"+w.name, mbit(w.hd))
		if worst = max(worst, agent.Limited); w.got < noPicture*w.hd {
			worst = agent.No
		}
	}
	if len(args) == 0 {
		return nil
	}
	c := v.onLine(found([]int{look}, "", args...))
	c.harms = agent.Capabilities{agent.HD: worst}
	return one(c)
}

// onLine says whose matter a line's quality is: the provider's where the way to
// the router is known to be clean, and nobody's for sure where it is not.
func (v *view) onLine(c claim) claim {
	clean := v.any(v.of(agent.ProbeGateway), func(e *agent.Evidence) bool {
		_, lost := series(e)
		return answered(e) && lost == 0
	})
	for _, i := range c.Evidence {
		clean = clean && v.evidence[i].Probe == agent.ProbeBandwidth
	}
	c.open = !clean
	return c
}

// base of high definition: both directions were measured and carry it.
func (v *view) hd(pr agent.Profile) agent.State {
	_, both, ok := v.ways(pr)
	for _, w := range both {
		if ok = ok && (w.hd == 0 || w.measured && w.got >= w.hd); !ok {
			return agent.Unknown
		}
	}
	return agent.OK
}

// longWait is how much longer an answer takes on a used line before it is worth
// knowing, milliseconds.
const longWait = 100

// bloat: whoever uses the line makes everybody wait. It harms where the wait alone
// is longer than a conversation bears.
func bloat(v *view, pr agent.Profile) []claim {
	for _, i := range v.measured(pr, agent.DownLoadedRTT, agent.UpLoadedRTT) {
		idle, ok := v.evidence[i].Values.Num(agent.IdleRTT)
		args, most := []string{"idle_ms", whole(idle)}, 0.0
		for _, d := range []struct {
			name string
			key  agent.Key
		}{{"down_ms", agent.DownLoadedRTT}, {"up_ms", agent.UpLoadedRTT}} {
			loaded, seen := v.evidence[i].Values.Num(d.key)
			if wait := loaded - idle; seen && wait > longWait {
				args, most = append(args, d.name, whole(loaded)), max(most, wait)
			}
		}
		if !ok || most == 0 {
			continue
		}
		c := found([]int{i}, "", args...)
		if limit := pr.Thresholds.RTTWarnMS; limit == 0 || most <= limit {
			c.info, c.harms = true, agent.Capabilities{}
		}
		return one(c)
	}
	return nil
}

// graded is a claim about a value over a profile's limits: nothing below the
// first, and worse from the second on. It names the limit that was passed.
func graded(c claim, value, warn, bad, unit float64, worse agent.Capabilities) []claim {
	if warn == 0 && bad == 0 || value < warn || warn == 0 && value < bad {
		return nil
	}
	limit := warn
	if bad > 0 && value >= bad {
		limit, c.Severity, c.harms = bad, agent.Major, worse
	}
	c.Args["limit"] = strconv.FormatFloat(limit*unit, 'f', -1, 64)
	return one(c)
}

// hardly is the harm of a line on which two can hardly talk, and not many.
func hardly() agent.Capabilities {
	c := someLost(agent.No)
	c[agent.Group] = agent.No
	return c
}

// lossy is the share of packets that the line was measured to lose, 0 to 1; 0 where
// nobody has measured it.
func (v *view) lossy() (ratio float64) {
	for _, pr := range v.profiles {
		if l, ok := v.worstLoss(pr); ok {
			ratio = max(ratio, l.ratio)
		}
	}
	return ratio
}

// packetLoss: packets of a transfer like that of a call get lost, and so many that
// it is not chance: what counts is the least that the loss is by its packets.
func packetLoss(v *view, pr agent.Profile) []claim {
	l, ok := v.worstLoss(pr)
	if !ok {
		return nil
	}
	t := pr.Thresholds
	c := v.onLine(found([]int{l.look}, "", "percent", percent(l.ratio)))
	if l.least < l.ratio {
		c.Args["least"] = percent(l.least)
	}
	return graded(c, l.least, t.LossWarnRatio, t.LossBadRatio, 100, hardly())
}

func percent(ratio float64) string {
	return strconv.FormatFloat(math.Round(ratio*1000)/10, 'f', -1, 64)
}

// jitter: they arrive unevenly.
func jitter(v *view, pr agent.Profile) []claim {
	i, ms, ok := v.worstCall(pr, agent.Jitter, agent.DownJitter, agent.UpJitter)
	if !ok {
		return nil
	}
	t := pr.Thresholds
	c := v.onLine(found([]int{i}, "", "jitter_ms", whole(ms)))
	return graded(c, ms, t.JitterWarnMS, t.JitterBadMS, 1, hardly())
}

// distant: an answer takes long, while nobody uses the line.
func distant(v *view, pr agent.Profile) []claim {
	t := pr.Thresholds
	i, ms, ok := v.nearest(pr)
	for _, j := range v.measured(pr, agent.IdleRTT) {
		e := &v.evidence[j]
		if rtt, _ := e.Values.Num(agent.IdleRTT); !ok || e.Probe != agent.ProbeBandwidth && rtt > ms {
			i, ms, ok = j, rtt, true // how far the measuring server is counts only where nothing better is known
		}
	}
	if j, call, seen := v.worstCall(pr, agent.RTT); seen && (!ok || call > ms) {
		i, ms, ok = j, call, true
	}
	if !ok {
		return nil
	}
	c := found([]int{i}, "", "rtt_ms", whole(ms))
	c.open = true // a tunnel of the practice's is as slow
	return graded(c, ms, t.RTTWarnMS, t.RTTBadMS, 1, hardly())
}

// nearest is the quickest answer of a profile's STUN servers, to one question or to
// many, or else of its pages, or what such answers have usually taken if that is
// less: one slow moment is none of the line.
func (v *view) nearest(pr agent.Profile) (look int, ms float64, ok bool) {
	quickest := func(service agent.Service, tr agent.Transport, time func(*agent.Evidence) (float64, bool)) {
		for _, i := range v.looksAt(targets(pr, service, tr)) {
			e := &v.evidence[i]
			if took, timed := time(e); answered(e) && timed && (!ok || took < ms) {
				look, ms, ok = i, took, true
			}
		}
	}
	quickest(agent.STUN, agent.UDP, trip)
	for _, i := range append(v.of(agent.ProbeBurst), v.of(agent.ProbeMTU)...) {
		e := &v.evidence[i]
		if took, timed := trip(e); ok && answered(e) && timed && took < ms && e.Target.Addr == v.evidence[look].Target.Addr {
			look, ms = i, took
		}
	}
	if !ok {
		quickest(agent.HTTPS, agent.TCP, func(e *agent.Evidence) (float64, bool) { return e.Values.Num(agent.ConnectTime) })
	}
	if ok && v.line.rtt > 0 {
		ms = min(ms, v.line.rtt)
	}
	return look, ms, ok
}

// trendCongestion: at some hours of the day the line is poor time and again. Within
// them that harms, for as long as it was so the last time; else it is worth knowing.
func trendCongestion(v *view, _ agent.Profile) []claim {
	ix := v.where(func(e *agent.Evidence) bool { return e.Probe == agent.ProbeTrend && answered(e) })
	if len(ix) == 0 {
		return nil
	}
	values := v.evidence[ix[0]].Values
	num := func(k agent.Key) string { n, _ := values.Num(k); return whole(n) }
	c := found(ix, "", "from", num(agent.FromHour), "until", num(agent.UntilHour), "poor", num(agent.PoorDays), "of", num(agent.LookedDays))
	if now, _ := values.Flag(agent.InHours); !now {
		c.info, c.harms = true, agent.Capabilities{}
	}
	return one(c)
}

// bandwidthPostponed: why there is no figure of now.
func bandwidthPostponed(v *view, _ agent.Profile) []claim {
	ix := v.of(agent.ProbeBandwidth)
	if len(ix) == 0 {
		return nil
	}
	e := &v.evidence[ix[0]]
	why := agent.Reason(e.Values.Text(agent.PutOff))
	if !figures(e) {
		why = e.Reason
	}
	if why == "" {
		return nil
	}
	c := found(ix, "", "host", e.Target.Host)
	switch why {
	case agent.LineInUse:
		c.Cause = agent.CausePractice
	case agent.ServerBusy, agent.AuthRefused:
		c.Cause = agent.CauseVendor
	case agent.BackupLine:
		c.Cause = agent.CauseISP
	case agent.BudgetUsed, agent.BoxBusy:
		c.Cause = agent.CauseBox
	}
	return one(c)
}

// bandwidthCapped: the far end, or the box, was the limit.
func bandwidthCapped(v *view, pr agent.Profile) []claim {
	look, both, _ := v.ways(pr)
	var args []string
	who := agent.CauseVendor
	for _, w := range both {
		if !w.capped(max(w.least, w.hd, w.byLaw)) {
			continue
		}
		if args = append(args, w.name, mbit(w.got)); w.by == "box" {
			who = agent.CauseBox
		}
	}
	if len(args) == 0 {
		return nil
	}
	c := found([]int{look}, "", args...)
	c.Cause = who
	return one(c)
}

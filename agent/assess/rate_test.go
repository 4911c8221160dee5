package assess_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
)

// reflect is where the bandwidth is measured.
var reflect = agent.Target{Host: "reflect.fleet.example", Addr: someAddr, Port: 5201, Transport: agent.TCP}

// lineOf is the evidence of a measurement: Mbit/s down and up, on a line that is
// otherwise perfect.
func lineOf(down, up float64) agent.Evidence {
	return agent.See(agent.ProbeBandwidth, reflect, agent.Answered, "").
		With(agent.DownRate, down*1e6).With(agent.UpRate, up*1e6).With(agent.DownLimit, "line").With(agent.UpLimit, "line").
		With(agent.IdleRTT, 20).With(agent.DownLoadedRTT, 25).With(agent.UpLoadedRTT, 25).
		With(agent.DownLoss, 0).With(agent.UpLoss, 0).With(agent.DownJitter, 1).With(agent.UpJitter, 1).With(agent.TestBytes, 3_000_000)
}

// cleanCable is a router that answers each time.
func cleanCable() agent.Evidence {
	return agent.See(agent.ProbeGateway, agent.Target{}, agent.Answered, "").With(agent.Sent, 20).With(agent.Received, 20).
		With(agent.RTT, 1).With(agent.Jitter, 0)
}

// evenings is what the box remembers of a line that is poor from 17 to 20 hours.
func evenings(now bool) agent.Evidence {
	return agent.See(agent.ProbeTrend, agent.Target{}, agent.Answered, "").
		With(agent.FromHour, 17).With(agent.UntilHour, 20).With(agent.PoorDays, 5).With(agent.LookedDays, 6).With(agent.InHours, now)
}

// What a measured line comes to, by the thresholds of its profile.
var lines = []struct {
	name, profile string
	line          agent.Evidence
	clean         bool
	want, verdict string
	caps          string // direct, relay, group
	hd            agent.State
	cause         agent.Cause // of the first finding
}{
	{name: "enough for all", profile: "zpp-hd", line: lineOf(5, 5), verdict: "ready", caps: "o--", hd: agent.OK},
	{name: "N35 ADSL", profile: "zpp-hd", line: lineOf(16, 2.4), clean: true, want: "bw-hd", verdict: "ready", caps: "o--",
		hd: agent.Limited, cause: agent.CauseISP},
	{name: "a router that says nothing", profile: "zpp-hd", line: lineOf(16, 2.4), want: "bw-hd", verdict: "ready", caps: "o--",
		hd: agent.Limited, cause: agent.CauseUnknown},
	{name: "D17 down below the rule", profile: "webprax", line: lineOf(1.5, 1.5), clean: true, want: "bw-min", verdict: "limited", caps: "ool",
		cause: agent.CauseISP},
	{name: "D17 down below the rule and no high definition", profile: "zpp-hd", line: lineOf(1.5, 8), clean: true, want: "bw-min bw-hd",
		verdict: "limited", caps: "o--", hd: agent.No, cause: agent.CauseISP},
	{name: "D16 up enough to talk", profile: "zpp-hd", line: lineOf(16, 1.5), clean: true, want: "bw-hd", verdict: "ready", caps: "o--",
		hd: agent.No, cause: agent.CauseISP},
	{name: "X18 up below the minimum", profile: "zpp-hd", line: lineOf(16, 0.7), clean: true, want: "bw-min bw-hd", verdict: "limited",
		caps: "l--", hd: agent.No, cause: agent.CauseISP},
	{name: "webprax names no rate up", profile: "webprax", line: lineOf(16, 0.7), verdict: "ready", caps: "ooo"},

	{name: "poor in the evening, and it is evening", profile: "webprax", line: evenings(true), want: "trend-congestion", verdict: "limited", caps: "ool",
		cause: agent.CauseUnknown},
	{name: "poor in the evening, and it is morning", profile: "zpp-hd", line: evenings(false), want: "trend-congestion", verdict: "ready", caps: "o--",
		hd: agent.Unknown, cause: agent.CauseUnknown},

	{name: "D13 loss", profile: "webprax", line: lineOf(16, 16).With(agent.UpLoss, 0.03), clean: true, want: "loss", verdict: "limited",
		caps: "lll", cause: agent.CauseISP},
	{name: "loss that makes the line slow", profile: "zpp-hd", line: lineOf(2, 2).With(agent.UpLoss, 0.03), clean: true, want: "loss", verdict: "limited",
		caps: "l--", hd: agent.No, cause: agent.CauseISP},
	{name: "loss just below the limit", profile: "webprax", line: lineOf(16, 16).With(agent.UpLoss, 0.0099), verdict: "ready", caps: "ooo"},
	{name: "X16 much loss", profile: "webprax", line: lineOf(16, 16).With(agent.DownLoss, 0.08), clean: true, want: "loss", verdict: "blocked",
		caps: "lln", cause: agent.CauseISP},
	{name: "D14 jitter", profile: "zpp-hd", line: lineOf(16, 16).With(agent.DownJitter, 40), clean: true, want: "jitter", verdict: "limited",
		caps: "l--", hd: agent.Limited, cause: agent.CauseISP},
	{name: "the measuring server is far away", profile: "webprax", line: lineOf(16, 16).With(agent.IdleRTT, 620).With(agent.DownLoadedRTT, 621).With(agent.UpLoadedRTT, 621),
		verdict: "ready", caps: "ooo"},
	{name: "D18 long queues", profile: "zpp-hd", line: lineOf(16, 16).With(agent.UpLoadedRTT, 400), want: "bloat", verdict: "limited", caps: "l--",
		hd: agent.Limited, cause: agent.CausePractice},
	{name: "queues as they are", profile: "zpp-hd", line: lineOf(16, 16).With(agent.UpLoadedRTT, 130), want: "bloat", verdict: "ready", caps: "o--",
		hd: agent.OK, cause: agent.CausePractice},

	{name: "the server gives no more", profile: "zpp-hd", line: lineOf(2, 16).With(agent.DownLimit, "server"), want: "bw-capped", verdict: "ready",
		caps: "o--", cause: agent.CauseVendor},
	{name: "the box can no more", profile: "zpp-hd", line: lineOf(0.9, 16).With(agent.DownLimit, "box"), want: "bw-capped", verdict: "ready",
		caps: "o--", cause: agent.CauseBox},
	{name: "the server gives no more, and the line up is too slow", profile: "zpp-hd", line: lineOf(2, 3).With(agent.DownLimit, "server"), clean: true,
		want: "bw-hd bw-capped", verdict: "ready", caps: "o--", hd: agent.Limited, cause: agent.CauseISP},

	{name: "line in use", profile: "zpp-hd", line: agent.See(agent.ProbeBandwidth, reflect, agent.NotLooked, agent.LineInUse),
		want: "bw-postponed", verdict: "ready", caps: "o--", cause: agent.CausePractice},
	{name: "server busy", profile: "zpp-hd", line: agent.See(agent.ProbeBandwidth, reflect, agent.NotLooked, agent.ServerBusy),
		want: "bw-postponed", verdict: "ready", caps: "o--", cause: agent.CauseVendor},
	{name: "backup line", profile: "zpp-hd", line: agent.See(agent.ProbeBandwidth, reflect, agent.NotLooked, agent.BackupLine),
		want: "bw-postponed", verdict: "ready", caps: "o--", cause: agent.CauseISP},
	{name: "no data left", profile: "zpp-hd", line: agent.See(agent.ProbeBandwidth, reflect, agent.NotLooked, agent.BudgetUsed),
		want: "bw-postponed", verdict: "ready", caps: "o--", cause: agent.CauseBox},
	{name: "a box that is too busy", profile: "zpp-hd", line: agent.See(agent.ProbeBandwidth, reflect, agent.NotLooked, agent.BoxBusy),
		want: "bw-postponed", verdict: "ready", caps: "o--", cause: agent.CauseBox},
	{name: "login refused", profile: "zpp-hd", line: agent.See(agent.ProbeBandwidth, reflect, agent.Answered, agent.AuthRefused),
		want: "bw-postponed", verdict: "ready", caps: "o--", cause: agent.CauseVendor},
	{name: "server silent", profile: "zpp-hd", line: agent.See(agent.ProbeBandwidth, reflect, agent.Silent, agent.Timeout),
		want: "bw-postponed", verdict: "ready", caps: "o--", cause: agent.CauseUnknown},
}

// A line that loses packets loses questions for names too: that is one trouble, not
// two. More than that is the resolver's.
func TestLossTakesNamesToo(t *testing.T) {
	for _, tt := range []struct {
		loss float64
		lost float64 // of each six questions
		want string
	}{{0.03, 1, "loss"}, {0.03, 3, "dns-flaky loss"}, {0, 1, "dns-flaky"}, {0.08, 2, "loss"}} {
		w := newWorld("webprax").on("dns", func(e agent.Evidence) agent.Evidence {
			return e.With(agent.RTT, 9).With(agent.Sent, 6).With(agent.Received, 6-tt.lost)
		})
		w.add(lineOf(16, 16).With(agent.UpLoss, tt.loss)).add(cleanCable())
		fs := w.judge().Findings
		slices.SortFunc(fs, func(a, b agent.Finding) int { return strings.Compare(string(a.Code), string(b.Code)) })
		if got := codes(fs); got != tt.want {
			t.Errorf("%.0f %% of the packets and %.0f of 6 questions lost: %q, want %q", tt.loss*100, tt.lost, got, tt.want)
		}
	}
}

func TestLine(t *testing.T) {
	for _, tt := range lines {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(tt.profile).add(tt.line)
			if tt.clean {
				w.add(cleanCable())
			}
			j := w.judge()
			if got := codes(j.Findings); got != tt.want {
				t.Fatalf("findings %q, want %q", got, tt.want)
			}
			if got, hd := caps(j.Profiles[0].Capabilities), j.Profiles[0].Capabilities[agent.HD]; got != tt.caps || hd != tt.hd || j.Verdict.String() != tt.verdict {
				t.Errorf("%s, %s, HD %s; want %s, %s, HD %s", j.Verdict, got, hd, tt.verdict, tt.caps, tt.hd)
			}
			if len(j.Findings) > 0 && j.Findings[0].Cause != tt.cause {
				t.Errorf("cause %s, want %s", j.Findings[0].Cause, tt.cause)
			}
			checkForm(t, j)
		})
	}
}

// What was measured holds until it is measured again: a measurement that is put
// off is told, and takes nothing away.
func TestPutOffKeepsTheFigures(t *testing.T) {
	w := newWorld("zpp-hd")
	var b assess.Book
	judge := func(more ...agent.Evidence) assess.Judgement {
		b.Add(w.evidence, more)
		return assess.Assess(w.policy(), &b, nil, time.Unix(1_800_000_000, 0))
	}
	for i, tt := range []struct {
		look []agent.Evidence
		want string
		hd   agent.State
	}{
		{[]agent.Evidence{lineOf(16, 16)}, "", agent.OK},
		{nil, "", agent.OK},
		{[]agent.Evidence{agent.See(agent.ProbeBandwidth, reflect, agent.NotLooked, agent.LineInUse)}, "bw-postponed", agent.OK},
		{[]agent.Evidence{agent.See(agent.ProbeBandwidth, reflect, agent.Silent, agent.Timeout)}, "bw-postponed", agent.OK},
		{nil, "bw-postponed", agent.OK},
		{[]agent.Evidence{lineOf(16, 2.4)}, "bw-hd", agent.Limited},
	} {
		j := judge(tt.look...)
		if got, hd := codes(j.Findings), j.Capabilities[agent.HD]; got != tt.want || hd != tt.hd {
			t.Errorf("round %d: findings %q, HD %s; want %q, HD %s", i, got, hd, tt.want, tt.hd)
		}
	}
	for range 2100 {
		b.Add(w.evidence)
	}
	if j := judge(); codes(j.Findings) != "" || j.Capabilities[agent.HD] != agent.Unknown {
		t.Errorf("after more than a week: findings %q, HD %s", codes(j.Findings), j.Capabilities[agent.HD])
	}
}

// A slow answer at one time is none of the line; one that stays is.
func TestSlowAnswersThatStay(t *testing.T) {
	var b assess.Book
	fast, slow := newWorld("webprax"), newWorld("webprax")
	for _, w := range []*world{fast, slow} {
		w.on("stun", with(agent.MappedAddr, "198.51.100.7:5000"))
	}
	slow.on("stun", with(agent.RTT, 20)).on("stun", with(agent.Sends, 2)). // 320 ms after the first question
										on("web", with(agent.ConnectTime, 320)).on("nats tcp", with(agent.ConnectTime, 325))
	judge := func(w *world) string {
		b.Add(w.evidence, w.evidence)
		return codes(assess.Assess(w.policy(), &b, nil, time.Unix(1_800_000_000, 0)).Findings)
	}
	for range 10 {
		if got := judge(fast); got != "" {
			t.Fatalf("findings %q", got)
		}
	}
	if got := judge(slow); got != "" {
		t.Errorf("one slow round: findings %q", got)
	}
	for range 20 {
		judge(slow)
	}
	if got := judge(slow); got != "rtt" {
		t.Errorf("slow for hours: findings %q, want rtt", got)
	}
	if got := judge(fast); got != "" {
		t.Errorf("quick again: findings %q", got)
	}
}

// Another look that measures the way to a service speaks for its profile alone.
func TestOtherLooksAtQuality(t *testing.T) {
	w := newWorld("webprax", "zpp-hd")
	w.add(agent.See(agent.ProbeRelay, agent.Target{Host: "coturn.webprax.de", Port: 5349, Transport: agent.UDP}, agent.Answered, "").
		With(agent.DownLoss, 0.02).With(agent.UpLoss, 0.06).With(agent.IdleRTT, 20))
	j := w.judge()
	if len(j.Findings) != 1 || j.Findings[0].Code != agent.Loss || j.Findings[0].Profile != "webprax" || j.Findings[0].Severity != agent.Major ||
		j.Findings[0].Args["percent"] != "6" {
		t.Errorf("%+v", j.Findings)
	}
}

// D15 and X17: how far the service is.
func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		ms            float64
		want, verdict string
		caps          string
	}{{149, "", "ready", "ooo"}, {150, "rtt", "limited", "lll"}, {449, "rtt", "limited", "lll"}, {450, "rtt", "blocked", "lln"}} {
		for name, w := range map[string]*world{
			"of the servers": newWorld("webprax").on("stun", with(agent.RTT, tt.ms)),
			"of a rehearsal": newWorld("webprax").on("turn udp plain", with(agent.IdleRTT, tt.ms)),
		} {
			j := w.judge()
			if got := codes(j.Findings); got != tt.want || j.Verdict.String() != tt.verdict || caps(j.Profiles[0].Capabilities) != tt.caps {
				t.Errorf("%v ms %s: %q, %s, %s; want %q, %s, %s", tt.ms, name, got, j.Verdict, caps(j.Profiles[0].Capabilities), tt.want, tt.verdict, tt.caps)
			}
			checkForm(t, j)
		}
	}
}

// A spare line is known for one from the round on that shows it, until the usual
// line is back: nothing is measured on it.
func TestSpare(t *testing.T) {
	var b assess.Book
	round := func(addr string, ms float64) bool {
		w := newWorld("webprax").on("stun", with(agent.MappedAddr, addr+":5000")).on("stun", with(agent.RTT, ms))
		b.Add(w.evidence, w.evidence)
		return b.Spare()
	}
	for range 4 {
		if round("198.51.100.7", 20) {
			t.Fatal("the usual line is taken for a spare one")
		}
	}
	if !round("203.0.113.9", 90) || !round("203.0.113.9", 95) {
		t.Error("another address and four times the round trip are not taken for a spare line")
	}
	if round("198.51.100.7", 20) {
		t.Error("the usual line is back, and taken for a spare one")
	}
}

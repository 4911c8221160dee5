package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

var one = registry.Key{Tenant: "acme", Box: "one"}

// report is a report by schedule of box one, made s seconds after start.
func report(seq uint64, s int) agent.Report {
	return agent.Report{
		Schema: agent.Schema, Box: agent.Box{ID: "one"}, Tenant: "acme", Seq: seq, Trigger: agent.OnSchedule,
		Stamp:   agent.Stamp{At: start.Add(time.Duration(s) * time.Second), Clock: agent.ClockSet, UptimeS: 1000 + float64(s)},
		Verdict: agent.Ready,
	}
}

func encode(t *testing.T, r agent.Report) []byte {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func subject(t *testing.T, k registry.Key) string {
	t.Helper()
	s, err := fleet.ReportSubject(k.Tenant, k.Box)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bench is a registry with a clock that the test sets.
type bench struct {
	*testing.T
	*registry.Registry
	now  time.Time
	logs *strings.Builder
}

func newBench(t *testing.T, maxBoxes int) *bench {
	b := &bench{T: t, now: start, logs: &strings.Builder{}}
	b.Registry = registry.New(registry.Config{
		MaxBoxes: maxBoxes,
		Now:      func() time.Time { return b.now },
		Log:      slog.New(slog.NewTextHandler(b.logs, nil)),
	})
	return b
}

func (b *bench) take(boot string, r agent.Report, arrived int) {
	b.Helper()
	b.Take(subject(b.T, one), boot, encode(b.T, r), start.Add(time.Duration(arrived)*time.Second))
}

func (b *bench) one() registry.Box {
	b.Helper()
	box, ok := b.Box(one)
	if !ok {
		b.Fatal("box one is not known")
	}
	return box
}

func TestWhichReportIsShown(t *testing.T) {
	type msg struct {
		boot    string
		r       agent.Report
		arrived int
	}
	unset := func(r agent.Report) agent.Report { r.Stamp.Clock = agent.ClockUnset; return r }
	far := report(1, 0)
	far.Stamp.At = start.AddDate(70, 0, 0)
	tests := []struct {
		name               string
		msgs               []msg
		seq                uint64
		boot               string
		reports, dup, late uint64
		event, arrived     int
	}{
		{"in order", []msg{{"a", report(1, 0), 1}, {"a", report(2, 10), 11}}, 2, "a", 2, 0, 0, 10, 11},
		{"twice", []msg{{"a", report(1, 0), 1}, {"a", report(1, 0), 50}}, 1, "a", 1, 1, 0, 0, 1},
		{"older one later", []msg{{"a", report(2, 10), 11}, {"a", report(1, 0), 12}}, 2, "a", 2, 0, 1, 10, 12},
		{"new run counts from 1", []msg{{"a", report(7, 0), 1}, {"b", report(1, 60), 61}}, 1, "b", 2, 0, 0, 60, 61},
		{"old run's spool after the new run", []msg{{"b", report(1, 60), 61}, {"a", report(7, 0), 62}}, 1, "b", 2, 0, 1, 60, 62},
		{"new run without a clock", []msg{{"a", report(7, 0), 1}, {"b", unset(report(1, -9999)), 61}}, 1, "b", 2, 0, 0, 61, 61},
		{"no run named", []msg{{"", report(7, 0), 1}, {"", report(1, 60), 61}}, 1, "", 2, 0, 0, 60, 61},
		{"no run named, twice", []msg{{"", report(7, 0), 1}, {"", report(7, 0), 61}}, 7, "", 1, 1, 0, 0, 1},
		{"clock far ahead once", []msg{{"a", far, 1}, {"b", report(1, 60), 61}}, 1, "b", 2, 0, 0, 60, 61},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 0)
			for _, m := range tt.msgs {
				b.take(m.boot, m.r, m.arrived)
			}
			got := b.one()
			if got.Report.Seq != tt.seq || got.Boot != tt.boot {
				t.Errorf("shown: report %d of run %q, want %d of %q", got.Report.Seq, got.Boot, tt.seq, tt.boot)
			}
			if got.Reports != tt.reports || got.Duplicates != tt.dup || got.Late != tt.late {
				t.Errorf("reports, duplicates, late = %d, %d, %d, want %d, %d, %d",
					got.Reports, got.Duplicates, got.Late, tt.reports, tt.dup, tt.late)
			}
			event, arrived := start.Add(time.Duration(tt.event)*time.Second), start.Add(time.Duration(tt.arrived)*time.Second)
			if !got.EventAt.Equal(event) || !got.ArrivedAt.Equal(arrived) {
				t.Errorf("made %v, arrived %v, want %v and %v", got.EventAt, got.ArrivedAt, event, arrived)
			}
		})
	}
}

// beat is one of box one, made s seconds after start.
func (b *bench) beat(boot string, seq uint64, v agent.Verdict, s, arrived int) {
	b.Helper()
	body, err := json.Marshal(fleet.Beat{Schema: fleet.BeatSchema, Seq: seq, Verdict: v, EveryS: 90, Queued: 7, Dropped: 3,
		Stamp: agent.Stamp{UptimeS: 1000 + float64(s)}})
	if err != nil {
		b.Fatal(err)
	}
	_, subject, err := fleet.BeatSubjects(one.Tenant, one.Box)
	if err != nil {
		b.Fatal(err)
	}
	b.Hear(subject, boot, body, start.Add(time.Duration(arrived)*time.Second))
}

// After an outage the box says how it stands, then what it has kept comes: none of
// it is shown as if it were of now, and no verdict of the past turns up.
func TestLateReportsNeverAlarm(t *testing.T) {
	for _, clock := range []agent.Clock{agent.ClockSet, agent.ClockUnset} {
		t.Run(string(clock), func(t *testing.T) {
			b := newBench(t, 0)
			b.take("a", report(1, 0), 1)
			kept := func(boot string, seq uint64, s int) {
				t.Helper()
				r := report(seq, s)
				r.Verdict = agent.Blocked
				if r.Stamp.Clock = clock; clock == agent.ClockUnset {
					r.Stamp.At = start.AddDate(-6, 0, 0)
				}
				b.take(boot, r, 9001)
				if got := b.one(); got.Verdict() != agent.Ready {
					t.Errorf("report %d of run %s, of the past, makes the box %s", seq, boot, got.Verdict())
				}
			}
			b.beat("b", 12, agent.Ready, 9000, 9000)
			if got := b.one(); !got.Behind() || got.Verdict() != agent.Ready || got.Beat.Queued != 7 || got.Beat.Dropped != 3 {
				t.Errorf("after the beat: %+v", got)
			}
			kept("a", 2, 300) // of a run before
			kept("b", 10, 8000)
			kept("b", 11, 8400)
			if got := b.one(); got.Late != 3 || got.Report.Seq != 1 {
				t.Errorf("%d late, report %d shown, want 3 and 1", got.Late, got.Report.Seq)
			}
			newest := report(12, 8990)
			newest.Stamp.Clock = clock
			newest.Stamp.At = newest.Stamp.At.AddDate(5, 0, 0)
			b.take("b", newest, 9002)
			got := b.one()
			if got.Behind() || got.Report.Seq != 12 || got.Late != 3 {
				t.Errorf("the newest: %+v", got)
			}
			if want := start.Add(8990 * time.Second); !got.EventAt.Equal(want) || !got.ArrivedAt.Equal(start.Add(9002*time.Second)) {
				t.Errorf("made %v, arrived %v; want %v, whatever the box's clock says", got.EventAt, got.ArrivedAt, want)
			}
		})
	}
}

// A change is known as soon as the box tells it, before the report that has it.
func TestStateComesAhead(t *testing.T) {
	b := newBench(t, 0)
	b.take("a", report(1, 0), 1)
	b.beat("a", 5, agent.Blocked, 1200, 1200)
	if got := b.one(); got.Verdict() != agent.Blocked || got.Report.Verdict != agent.Ready {
		t.Errorf("verdict %s, of the report shown %s", got.Verdict(), got.Report.Verdict)
	}
}

// A box whose program no longer beats is judged by its reports again.
func TestNoMoreBeats(t *testing.T) {
	b := newBench(t, 0)
	b.beat("a", 5, agent.Blocked, 0, 0)
	for i := range 3 {
		b.take("older", report(uint64(i+1), 1000+i), 1001+i)
	}
	if got := b.one(); got.Verdict() != agent.Ready || got.Report.Seq != 3 || got.Late != 0 {
		t.Errorf("%s by report %d, %d late", got.Verdict(), got.Report.Seq, got.Late)
	}
}

// Beats tell a box that has little to report from one that is gone.
func TestSilenceOfABoxThatBeats(t *testing.T) {
	b := newBench(t, 0)
	for i := range 4 {
		r := report(uint64(i+1), i*3600)
		b.take("a", r, i*3600)
	}
	for _, tt := range []struct {
		after int // seconds since the last beat
		want  bool
	}{{60, false}, {179, false}, {181, true}} {
		b.beat("a", 4, agent.Ready, 20000, 20000)
		b.now = start.Add(time.Duration(20000+tt.after) * time.Second)
		b.beat("a", 4, agent.Ready, 20000, 20000)
		if got := b.one().Silent; got != tt.want {
			t.Errorf("%d s after the last beat: silent %v", tt.after, got)
		}
	}
}

func TestTheSubjectNamesTheBox(t *testing.T) {
	b := newBench(t, 0)
	r := report(1, 0)
	r.Box.ID, r.Tenant = "other", "rival"
	b.take("a", r, 1)
	b.take("a", report(2, 10), 11)
	if all := b.Boxes(); len(all) != 1 || all[0].Key != one {
		t.Fatalf("boxes: %+v, want only %v", all, one)
	}
	if got := b.one().Report; got.Box.ID != "one" || got.Tenant != "acme" {
		t.Errorf("shown as %s/%s", got.Tenant, got.Box.ID)
	}
	if n := strings.Count(b.logs.String(), "another name"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, b.logs)
	}
}

func TestHostileMessages(t *testing.T) {
	b := newBench(t, 3)
	many := report(9, 0)
	many.Evidence = make([]agent.Evidence, 900)
	flood, err := json.Marshal(map[string]any{"schema": agent.Schema, "evidence": make([]struct{}, 9000)})
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range [][]byte{nil, []byte("{"), []byte("[]"), []byte(`{"schema":"sprechprobe.report/9"}`),
		[]byte(strings.Repeat("x", 60000)), flood, encode(t, many)} {
		b.Take(subject(t, one), "", payload, start)
	}
	for _, s := range []string{"", "foo", "sprechprobe.v1.*.>.up.report", "sprechprobe.v1.a.b.up.state", "sprechprobe.v1.A.b.up.report"} {
		b.Take(s, "", nil, start)
	}
	for i := range 10 {
		b.Take(subject(t, registry.Key{Tenant: "acme", Box: fmt.Sprint("x", i)}), "", encode(t, report(1, 0)), start)
	}
	got := b.one()
	if got.Unreadable != 7 || got.Report.Schema != "" || got.Report.Verdict != agent.VerdictUnknown {
		t.Errorf("unreadable = %d, verdict %v; want 7 and unknown", got.Unreadable, got.Report.Verdict)
	}
	if s := b.Stats(); s.Boxes != 3 || s.Foreign != 5 || s.Refused != 8 {
		t.Errorf("stats = %+v, want 3 boxes, 5 foreign, 8 refused", s)
	}
	if n := strings.Count(b.logs.String(), "\n"); n > 12 {
		t.Errorf("%d lines of log:\n%s", n, b.logs)
	}
	b.take("a", report(1, 0), 1)
	if got := b.one(); got.Report.Verdict != agent.Ready || got.Unreadable != 7 {
		t.Errorf("a good report after bad ones: %v, %d unreadable", got.Report.Verdict, got.Unreadable)
	}
}

func TestSilence(t *testing.T) {
	tests := []struct {
		name  string
		every int // seconds between scheduled reports
		n     int
		quiet int // seconds after the last one
		want  bool
	}{
		{"interval not known yet", 10, 1, 14 * 60, false},
		{"interval not known, long", 10, 1, 16 * 60, true},
		{"three times the interval", 60, 4, 179, false},
		{"over three times the interval", 60, 4, 181, true},
		{"fast box, just late", 1, 4, 29, false},
		{"fast box, gone", 1, 4, 31, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := registry.New(registry.Config{})
				began := time.Now()
				for i := range tt.n {
					rep := report(uint64(i+1), i*tt.every)
					rep.Stamp.At = time.Now()
					r.Take(subject(t, one), "a", encode(t, rep), time.Now())
					if i < tt.n-1 {
						time.Sleep(time.Duration(tt.every) * time.Second) // the bubble's clock
					}
				}
				changes, stop := r.Watch()
				defer stop()
				go r.Run(t.Context())
				time.Sleep(time.Duration(tt.quiet)*time.Second + 2*time.Second)
				synctest.Wait()
				box, _ := r.Box(one)
				if box.Silent != tt.want {
					t.Errorf("silent = %v %v after the last report, started %v", box.Silent, time.Since(box.ArrivedAt), began)
				}
				select {
				case <-changes:
					if !tt.want {
						t.Error("told of a change where there was none")
					}
				default:
					if tt.want {
						t.Error("nobody was told")
					}
				}
			})
		})
	}
}

// What lay in a spool comes all at once, and checks on command come between:
// neither makes the box look faster than it is.
func TestIntervalIsTheBoxesOwn(t *testing.T) {
	b := newBench(t, 0)
	for i := range 6 {
		b.take("a", report(uint64(2*i+1), i*300), 2000)
		poke := report(uint64(2*i+2), i*300+7)
		poke.Trigger = agent.OnCommand
		b.take("a", poke, 2000)
	}
	if got := b.one().Interval; got != 300*time.Second {
		t.Errorf("interval = %v, want 5m", got)
	}
}

func TestWatchCoalesces(t *testing.T) {
	b := newBench(t, 0)
	changes, stop := b.Watch()
	for i := range 5 {
		b.take("a", report(uint64(i+1), i), i)
	}
	<-changes
	select {
	case <-changes:
		t.Error("five changes at once came as more than one")
	default:
	}
	before := b.one().Revision
	b.take("a", report(9, 9), 9)
	<-changes
	if after := b.one().Revision; after <= before {
		t.Errorf("revision %d after %d", after, before)
	}
	stop()
	b.take("a", report(10, 10), 10)
	select {
	case <-changes:
		t.Error("told after stop")
	default:
	}
}

func FuzzTake(f *testing.F) {
	f.Add("sprechprobe.v1.acme.one.up.report", "a", []byte(`{"schema":"sprechprobe.report/1","seq":1}`))
	f.Add("sprechprobe.v1.acme.one.up.report", "", []byte(`{"schema":"sprechprobe.report/1","stamp":{"at":"2026-01-01T00:00:00Z","clock":"synced","uptime_s":1e308}}`))
	f.Add("x", "", []byte(`{`))
	r := registry.New(registry.Config{MaxBoxes: 100})
	f.Add("sprechprobe.v1.acme.one.up.hb", "a", []byte(`{"schema":"sprechprobe.beat/1","seq":1,"every_s":1e308,"stamp":{"uptime_s":-1e308}}`))
	f.Fuzz(func(t *testing.T, subject, boot string, payload []byte) {
		r.Take(subject, boot, payload, start)
		r.Hear(subject, boot, payload, start)
		r.Take(subject, boot, payload, start)
		for _, b := range r.Boxes() {
			b.Verdict()
		}
		if n := len(r.Boxes()); n > 100 {
			t.Errorf("%d boxes of 100", n)
		}
	})
}

// A box that calls for help is alive and blocked, until it reports again; one that
// has never reported is there too.
func TestCallForHelp(t *testing.T) {
	b := newBench(t, 2)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	b.take("boot", report(1, 0), 0)
	before := b.Revision()
	b.Call(one, registry.Call{Reason: agent.Timeout, At: at(60)})
	if box, _ := b.Box(one); !box.Blocked() || box.Call.Reason != agent.Timeout || b.Revision() == before {
		t.Errorf("%+v", box)
	}
	b.take("boot", report(2, 90), 90)
	if box, _ := b.Box(one); box.Blocked() {
		t.Error("still blocked though it has reported")
	}
	two := registry.Key{Tenant: "acme", Box: "two"}
	b.Call(two, registry.Call{Reason: agent.TLSUnknownCA, At: at(60)})
	if box, ok := b.Box(two); !ok || !box.Blocked() || !box.Silent || box.Reports != 0 {
		t.Errorf("%v %+v", ok, box)
	}
	b.Call(registry.Key{Tenant: "acme", Box: "three"}, registry.Call{At: at(60)})
	if n := b.Stats().Boxes; n != 2 {
		t.Errorf("%d boxes, want no more than allowed", n)
	}
}

// Who calls for help, or cannot be read, is listed; who reports again is not.
func TestTroubled(t *testing.T) {
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	r := registry.New(registry.Config{Now: func() time.Time { return at }})
	good := []byte(`{"schema":"` + agent.Schema + `","verdict":"ready","seq":1}`)
	r.Take("sprechprobe.v1.acme.fine.up.report", "a", good, at)
	r.Take("sprechprobe.v1.acme.calls.up.report", "a", good, at)
	r.Take("sprechprobe.v1.acme.alien.up.report", "a", []byte(`{"schema":"x/9"}`), at)
	calls := registry.Key{Tenant: "acme", Box: "calls"}
	r.Call(calls, registry.Call{Reason: agent.Timeout, At: at.Add(time.Second)})
	var got []string
	for _, b := range r.Troubled() {
		got = append(got, b.Key.Box)
	}
	if !slices.Equal(got, []string{"alien", "calls"}) {
		t.Errorf("troubled: %q", got)
	}
	r.Take("sprechprobe.v1.acme.calls.up.report", "a", bytes.Replace(good, []byte(`"seq":1`), []byte(`"seq":2`), 1), at.Add(2*time.Second))
	if all := r.Troubled(); len(all) != 1 {
		t.Errorf("after it reported again: %d", len(all))
	}
}

// Two boxes from copies of one card are told from one box that starts again, and
// forgotten once one of them is gone.
func TestTwins(t *testing.T) {
	for _, tt := range []struct {
		name string
		runs string // that beat, a minute apart
		want bool
	}{
		{"one box", "aaaaaa", false},
		{"a box that starts again and again", "abcdefg", false},
		{"a beat that was long on its way", "aababbbb", false},
		{"two boxes", "ababa", true},
		{"two boxes that beat unevenly", "aabbabba", true},
		{"one of them was switched off long ago", "ababa" + strings.Repeat("b", 16), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, 10)
			for i, run := range strings.Split(tt.runs, "") {
				b.beat(run, 1, agent.Ready, 60*i, 60*i)
			}
			if got := b.one().Twin(); got != tt.want {
				t.Errorf("twin %t, want %t", got, tt.want)
			}
		})
	}
}

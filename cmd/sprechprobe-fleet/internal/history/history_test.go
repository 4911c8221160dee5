package history_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab/postgres"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

var one = fleet.Address{Tenant: "acme", Box: "one"}

// bench is a history with a clock that the test sets.
type bench struct {
	*testing.T
	*history.DB
	now   time.Time
	where string // the database
}

// entry is a report of a box, made and arrived s seconds after start.
func entry(a fleet.Address, boot string, seq uint64, s int, v agent.Verdict, findings ...agent.Finding) history.Entry {
	at := start.Add(time.Duration(s) * time.Second)
	return history.Entry{From: a, Boot: boot, ArrivedAt: at, Report: agent.Report{
		Schema: agent.Schema, Box: agent.Box{ID: a.Box, Name: "Praxis " + a.Box, Version: "1.0"}, Tenant: a.Tenant, Seq: seq, Trigger: agent.OnSchedule,
		Stamp:    agent.Stamp{At: at, Clock: agent.ClockSet, UptimeS: 1000 + float64(s)},
		Verdict:  v,
		Profiles: []agent.ProfileResult{{Name: "webprax"}},
		Findings: findings,
	}}
}

func found(code agent.Code, s agent.Severity, c agent.Cause) agent.Finding {
	return agent.Finding{Code: code, Severity: s, Cause: c, Evidence: []int{}}
}

func (b *bench) add(entries ...history.Entry) int {
	b.Helper()
	for i := range entries {
		if entries[i].Raw == nil {
			raw, err := json.Marshal(entries[i].Report)
			if err != nil {
				b.Fatal(err)
			}
			entries[i].Raw = raw
		}
	}
	n, err := b.Add(b.Context(), entries)
	if err != nil {
		b.Fatalf("Add: %v", err)
	}
	return n
}

func (b *bench) newest(a fleet.Address) (history.Box, agent.Report) {
	b.Helper()
	box, r, err := b.Newest(b.Context(), a)
	if err != nil {
		b.Fatalf("Newest: %v", err)
	}
	return box, r
}

func (b *bench) find(q history.Query) []string {
	b.Helper()
	r, err := b.Find(b.Context(), q)
	if err != nil {
		b.Fatalf("Find: %v", err)
	}
	names := []string{}
	for _, x := range r.Boxes {
		names = append(names, x.Box)
	}
	return names
}

func (b *bench) changes(a fleet.Address) []string {
	b.Helper()
	all, err := b.Changes(b.Context(), a, time.Unix(0, 0), start.AddDate(1, 0, 0))
	if err != nil {
		b.Fatalf("Changes: %v", err)
	}
	var out []string
	for _, c := range all {
		line := fmt.Sprintf("%d %v>%v", int(c.At.Sub(start).Seconds()), c.From, c.To)
		for _, f := range c.Began {
			line += fmt.Sprintf(" +%s/%v", f.Code, f.Cause)
		}
		for _, f := range c.Ended {
			line += fmt.Sprintf(" -%s/%v", f.Code, f.Cause)
		}
		out = append(out, line)
	}
	slices.Reverse(out)
	return out
}

// conformance is what every kind of history must do.
var conformance = map[string]func(*bench){
	"an outage is kept with who suffered from it":       keepsIncidents,
	"boxes are found by the cause that is shown":        findsByShownCause,
	"a deleted box leaves outages, and others are told": forgets,
	"a report is known by box, boot and seq": func(b *bench) {
		if n := b.add(entry(one, "a", 1, 0, agent.Ready), entry(one, "a", 2, 300, agent.Ready), entry(one, "a", 1, 0, agent.Ready)); n != 2 {
			b.Errorf("added %d of 3 with one twice, want 2", n)
		}
		if n := b.add(entry(one, "a", 2, 300, agent.Ready)); n != 0 {
			b.Errorf("added %d of one that is there, want 0", n)
		}
		if n := b.add(entry(one, "b", 2, 600, agent.Ready), entry(fleet.Address{Tenant: "other", Box: "one"}, "a", 2, 300, agent.Ready)); n != 2 {
			b.Errorf("added %d of another run and another tenant, want 2", n)
		}
		if box, _ := b.newest(one); box.Reports != 3 {
			b.Errorf("%d reports counted, want 3", box.Reports)
		}
	},
	"two programs read what each other writes, a month later too": func(b *bench) {
		other, err := history.Open(b.Context(), b.where, history.Config{Now: func() time.Time { return b.now }})
		if err != nil {
			b.Fatal(err)
		}
		defer other.Close()
		second := &bench{T: b.T, DB: other}
		for month := range 3 {
			b.now = start.AddDate(0, month, 0)
			b.add(entry(one, "a", uint64(2*month+1), month*2678400, agent.Ready))
			second.add(entry(one, "a", uint64(2*month+2), month*2678400+300, agent.Ready))
			for _, reader := range []*bench{b, second} {
				if _, r := reader.newest(one); r.Seq != uint64(2*month+2) {
					b.Errorf("newest is %d, want %d", r.Seq, 2*month+2)
				}
				var out bytes.Buffer
				if err := reader.Export(b.Context(), one, &out); err != nil || strings.Count(out.String(), `{"report":`) != 2*month+2 {
					b.Errorf("month %d: export %v:\n%s", month, err, out.String())
				}
			}
		}
	},
	"reports of runs that take turns, of which some wait, are each taken once": func(b *bench) {
		clockless := func(boot string, seq uint64, s int) history.Entry {
			e := entry(one, boot, seq, s, agent.Ready)
			e.Report.Stamp.Clock = agent.ClockUnset
			return e
		}
		all := []history.Entry{
			entry(one, "a", 1, 0, agent.Ready), entry(one, "a", 4, 900, agent.Ready), entry(one, "b", 5, 600, agent.Ready), entry(one, "b", 3, 1800, agent.Ready),
			entry(one, "a", 9, 1500, agent.Ready), entry(one, "c", 1, 2400, agent.Ready), entry(one, "b", 4, 2100, agent.Ready), clockless("d", 2, 3000),
			clockless("e", 1, 3300), entry(one, "a", 2, 300, agent.Ready), clockless("d", 1, 3600), entry(one, "c", 0, 2500, agent.Ready),
		}
		for i, e := range all {
			if n := b.add(e); n != 1 {
				b.Errorf("report %d (%s %d): added %d, want 1", i, e.Boot, e.Report.Seq, n)
			}
		}
		for range 2 {
			for i, e := range all {
				// Sent again by a box that heard no answer: one without a clock is as of then.
				e.ArrivedAt = e.ArrivedAt.Add(2 * time.Hour)
				if n := b.add(e); n != 0 {
					b.Errorf("report %d (%s %d) again: added %d, want 0", i, e.Boot, e.Report.Seq, n)
				}
			}
			if n := b.add(all...); n != 0 {
				b.Errorf("all at once again: added %d, want 0", n)
			}
		}
		if box, _ := b.newest(one); box.Boot != "d" || box.Seq != 1 || box.Reports != uint64(len(all)) {
			b.Errorf("newest is %s %d of %d", box.Boot, box.Seq, box.Reports)
		}
	},
	"a run with many gaps loses nothing and takes nothing twice": func(b *bench) {
		var odd, even []history.Entry
		for i := range 100 {
			odd = append(odd, entry(one, "a", uint64(2*i+1), 120*i+60, agent.Ready))
			even = append(even, entry(one, "a", uint64(2*i+2), 120*i+120, agent.Ready))
		}
		if n := b.add(odd...) + b.add(odd[:50]...) + b.add(even...) + b.add(even...) + b.add(odd...); n != 200 {
			b.Errorf("added %d of 200 that came twice and more", n)
		}
	},
	"the newest report is shown": func(b *bench) {
		b.add(entry(one, "b", 1, 900, agent.Ready), entry(one, "a", 7, 300, agent.Blocked))
		b.add(entry(one, "a", 8, 600, agent.Blocked))
		box, r := b.newest(one)
		if box.Boot != "b" || box.Seq != 1 || r.Verdict != agent.Ready || !box.EventAt.Equal(start.Add(900*time.Second)) {
			b.Errorf("newest is %s %d %v of %v", box.Boot, box.Seq, r.Verdict, box.EventAt)
		}
		unset := entry(one, "c", 1, 1200, agent.VerdictLimited)
		unset.Report.Stamp.At, unset.Report.Stamp.Clock = time.Unix(5, 0), agent.ClockUnset
		b.add(unset)
		if box, _ := b.newest(one); box.Boot != "c" || !box.EventAt.Equal(start.Add(1200*time.Second)) {
			b.Errorf("a box without a clock: newest is %s of %v, want c when it arrived", box.Boot, box.EventAt)
		}
		if _, _, err := b.Newest(b.Context(), fleet.Address{Tenant: "no", Box: "body"}); !errors.Is(err, history.ErrUnknownBox) {
			b.Errorf("unknown box: %v", err)
		}
	},
	"changes are logged by the time of the box, whenever they arrive": func(b *bench) {
		turn := found(agent.TURNUDPBlock, agent.Major, agent.CausePractice)
		wan := found(agent.WANDown, agent.Critical, agent.CauseISP)
		info := found(agent.NATDouble, agent.Info, agent.CausePractice)
		b.add(entry(one, "a", 1, 0, agent.Ready), entry(one, "a", 2, 300, agent.Ready, info), entry(one, "a", 3, 600, agent.VerdictLimited, turn))
		b.add(entry(one, "a", 7, 1800, agent.Ready)) // the newest goes first, then what was spooled
		want := []string{"0 unknown>ready", "600 ready>limited +turn-udp-block/practice", "1800 limited>ready -turn-udp-block/practice"}
		if got := b.changes(one); !slices.Equal(got, want) {
			b.Errorf("changes:\n%q\nwant\n%q", got, want)
		}
		b.add(entry(one, "a", 6, 1500, agent.Ready), entry(one, "a", 4, 900, agent.Blocked, wan), entry(one, "a", 5, 1200, agent.Blocked, wan))
		want = []string{"0 unknown>ready", "600 ready>limited +turn-udp-block/practice",
			"900 limited>blocked +wan-down/isp -turn-udp-block/practice", "1500 blocked>ready -wan-down/isp"}
		if got := b.changes(one); !slices.Equal(got, want) {
			b.Errorf("changes after the spool:\n%q\nwant\n%q", got, want)
		}
	},
	"many at once add up to the same": func(b *bench) {
		var all []history.Entry
		for i := range 40 {
			v := agent.Ready
			if i/7%2 == 1 {
				v = agent.Blocked
			}
			for box := range 5 {
				all = append(all, entry(fleet.Address{Tenant: "acme", Box: fmt.Sprint("b", box)}, "a", uint64(i+1), 300*i, v))
			}
		}
		var wg sync.WaitGroup
		for part := range slices.Chunk(all, 25) {
			wg.Go(func() { b.add(part...); b.add(part[:7]...) })
		}
		wg.Wait()
		for box := range 5 {
			a := fleet.Address{Tenant: "acme", Box: fmt.Sprint("b", box)}
			if x, _ := b.newest(a); x.Reports != 40 || x.Seq != 40 || x.Verdict != agent.Blocked {
				b.Errorf("%s: %d reports, newest %d %v", a, x.Reports, x.Seq, x.Verdict)
			}
			want := []string{"0 unknown>ready", "2100 ready>blocked", "4200 blocked>ready", "6300 ready>blocked", "8400 blocked>ready", "10500 ready>blocked"}
			if got := b.changes(a); !slices.Equal(got, want) {
				b.Errorf("%s: %q, want %q", a, got, want)
			}
		}
	},
	"boxes are found, counted, ordered and paged": func(b *bench) {
		at := func(box string) fleet.Address { return fleet.Address{Tenant: "acme", Box: box} }
		limited := entry(at("limited"), "a", 1, 20, agent.VerdictLimited, found(agent.TURNUDPBlock, agent.Major, agent.CausePractice))
		limited.Report.Profiles = []agent.ProfileResult{{Name: "zpp-hd"}}
		blocked := entry(at("blocked"), "a", 1, 30, agent.Blocked, found(agent.WANDown, agent.Critical, agent.CauseISP))
		blocked.Report.Box.Version = "1.1"
		b.add(entry(at("ready"), "a", 1, 10, agent.Ready), limited, blocked, entry(at("unknown"), "a", 1, 40, agent.VerdictUnknown),
			entry(at("graver"), "a", 1, 50, agent.VerdictLimited, found(agent.CertBad, agent.Critical, agent.CauseVendor)),
			entry(fleet.Address{Tenant: "other", Box: "their_100%"}, "a", 1, 60, agent.Offline))
		isp, yes, no, lim := agent.CauseISP, true, false, agent.VerdictLimited
		for _, tt := range []struct {
			what string
			q    history.Query
			want string
		}{
			{"all, the worst first", history.Query{}, "blocked their_100% graver limited unknown ready"},
			{"of a tenant", history.Query{Tenant: "other"}, "their_100%"},
			{"what a tenant may see", history.Query{Tenants: []string{"acme"}, Text: "100"}, ""},
			{"what nobody may see", history.Query{Tenants: []string{}}, ""},
			{"by verdict", history.Query{Verdict: &lim}, "graver limited"},
			{"by finding", history.Query{Finding: agent.TURNUDPBlock}, "limited"},
			{"by cause", history.Query{Cause: &isp}, "blocked"},
			{"by profile", history.Query{Profile: "zpp-hd"}, "limited"},
			{"by version", history.Query{Version: "1.1"}, "blocked"},
			{"by text, in any case", history.Query{Text: "PRAXIS UN"}, "unknown"},
			{"by text with wildcards in it", history.Query{Text: "t_e"}, ""},
			{"by a literal percent sign", history.Query{Text: "0%"}, "their_100%"},
			{"not heard of since", history.Query{SilentFrom: start.Add(25 * time.Second)}, "limited ready"},
			{"by name", history.Query{Sort: history.ByName, Tenant: "acme"}, "blocked graver limited ready unknown"},
			{"by when they were heard", history.Query{Sort: history.Heard}, "ready limited blocked unknown graver their_100%"},
			{"the newest change", history.Query{Sort: history.Recent, Size: 2}, "their_100% graver"},
			{"second page", history.Query{Size: 4, Page: 2}, "unknown ready"},
			{"a page past the end is the last", history.Query{Size: 4, Page: 99}, "unknown ready"},
			{"silent", history.Query{Silent: &yes}, ""},
			{"not silent", history.Query{Silent: &no, Tenant: "other"}, "their_100%"},
		} {
			if got := strings.Join(b.find(tt.q), " "); got != tt.want {
				b.Errorf("%s: %q, want %q", tt.what, got, tt.want)
			}
		}
		r, err := b.Find(b.Context(), history.Query{Size: 2})
		if err != nil || r.Found != 6 {
			b.Errorf("found %d, %v, want 6", r.Found, err)
		}
		if _, err := b.Find(b.Context(), history.Query{Sort: "box; DROP TABLE boxes"}); err == nil {
			b.Error("an order that is none was taken")
		}
		c, err := b.Count(b.Context(), history.Query{Tenants: []string{"acme"}, Verdict: &lim})
		want := map[agent.Verdict]int{agent.Blocked: 1, agent.VerdictLimited: 2, agent.VerdictUnknown: 1, agent.Ready: 1}
		if err != nil || c.Silent != 0 || !maps.Equal(c.Verdicts, want) {
			b.Errorf("counts %v, %v, want %v", c, err, want)
		}
		facets, err := b.Facets(b.Context(), history.Query{Finding: agent.TURNUDPBlock})
		wantFacets := []history.Facet{{"cause", "practice", 1}, {"finding", "turn-udp-block", 1}, {"profile", "zpp-hd", 1}, {"version", "1.0", 1}}
		if err != nil || !slices.Equal(facets, wantFacets) {
			b.Errorf("facets %v, %v, want %v", facets, err, wantFacets)
		}
		if facets, err = b.Facets(b.Context(), history.Query{}); err != nil || !slices.Contains(facets, history.Facet{Kind: "profile", Value: "webprax", Boxes: 5}) {
			b.Errorf("facets of all: %v, %v", facets, err)
		}
	},
	"pages are listed without counting, and tenants are counted": func(b *bench) {
		for i, t := range []string{"acme", "acme", "zoo"} {
			b.add(entry(fleet.Address{Tenant: t, Box: fmt.Sprint("b", i)}, "a", 1, i, []agent.Verdict{agent.Ready, agent.Blocked, agent.Blocked}[i]))
		}
		list := func(q history.Query) []string {
			all, err := b.List(b.Context(), q)
			if err != nil {
				b.Fatalf("List: %v", err)
			}
			names := []string{}
			for _, x := range all {
				names = append(names, x.Box)
			}
			return names
		}
		blocked := agent.Blocked
		for _, q := range []history.Query{{}, {Size: 2}, {Tenants: []string{"acme"}}, {Verdict: &blocked}, {Sort: history.Recent}, {Tenants: []string{}}, {Size: 2, Page: 2}} {
			if got, want := list(q), b.find(q); !slices.Equal(got, want) {
				b.Errorf("%+v: listed %q, found %q", q, got, want)
			}
		}
		if got := list(history.Query{Page: 2}); len(got) != 0 {
			b.Errorf("beyond the last page: %q", got)
		}
		if _, err := b.List(b.Context(), history.Query{Sort: "x"}); err == nil {
			b.Error("an order that is none is taken")
		}
		for _, tt := range []struct {
			q    history.Query
			want []history.Facet
		}{
			{history.Query{}, []history.Facet{{Kind: "tenant", Value: "acme", Boxes: 2}, {Kind: "tenant", Value: "zoo", Boxes: 1}}},
			{history.Query{Tenants: []string{"zoo"}}, []history.Facet{{Kind: "tenant", Value: "zoo", Boxes: 1}}},
		} {
			if got, err := b.Tenants(b.Context(), tt.q); err != nil || !slices.Equal(got, tt.want) {
				b.Errorf("tenants of %+v: %v, %v", tt.q, got, err)
			}
		}
	},
	"a finding that ended finds nothing": func(b *bench) {
		b.add(entry(one, "a", 1, 0, agent.VerdictLimited, found(agent.TURNUDPBlock, agent.Major, agent.CausePractice)))
		b.add(entry(one, "a", 2, 300, agent.Ready))
		if got := b.find(history.Query{Finding: agent.TURNUDPBlock}); len(got) != 0 {
			b.Errorf("found %q", got)
		}
	},
	"who should have spoken is silent": func(b *bench) {
		quick, slow := fleet.Address{Tenant: "acme", Box: "quick"}, fleet.Address{Tenant: "acme", Box: "slow"}
		for i := range 4 {
			b.add(entry(quick, "a", uint64(i+1), 60*i, agent.Ready), entry(slow, "a", uint64(i+1), 600*i, agent.Blocked))
		}
		for _, tt := range []struct {
			after time.Duration // after start
			want  int
			all   string
		}{
			{350 * time.Second, 0, "slow quick"},
			{361 * time.Second, 1, "slow quick"},
			{365 * time.Second, 0, "slow quick"},
			{3601 * time.Second, 1, "slow quick"},
		} {
			b.now = start.Add(tt.after)
			if n, err := b.Silence(b.Context()); err != nil || n != tt.want {
				b.Errorf("after %v: %d fell silent, %v, want %d", tt.after, n, err, tt.want)
			}
		}
		c, err := b.Count(b.Context(), history.Query{})
		if err != nil || c.Silent != 2 || len(c.Verdicts) != 0 {
			b.Errorf("counts %v, %v, want 2 silent", c, err)
		}
		if box, _ := b.newest(slow); !box.Silent || box.Verdict != agent.Blocked || box.Interval != 10*time.Minute {
			b.Errorf("slow: %+v", box)
		}
		b.add(entry(quick, "a", 5, 3700, agent.Ready))
		if c, err = b.Count(b.Context(), history.Query{}); err != nil || c.Silent != 1 || c.Verdicts[agent.Ready] != 1 {
			b.Errorf("counts %v, %v after it spoke, want 1 silent, 1 ready", c, err)
		}
	},
	"measures become series, of reports and of hours": series,
	"things are kept as long as said and no longer":   retention,
	"public addresses are shortened before they are kept": func(b *bench) {
		e := entry(one, "a", 1, 0, agent.Ready)
		e.Report.Evidence = []agent.Evidence{agent.See(agent.ProbeSTUN, agent.Target{Host: "stun.example"}, agent.Answered, "").
			With(agent.MappedAddr, "198.18.7.99:4711").With(agent.RTT, 20)}
		b.add(e)
		box, r := b.newest(one)
		if got := r.Evidence[0].Values.Text(agent.MappedAddr); got != "198.18.7.0/24" {
			b.Errorf("kept %q", got)
		}
		if box.ISP != "AS64500 Example" {
			b.Errorf("provider %q", box.ISP)
		}
		var out bytes.Buffer
		if err := b.Export(b.Context(), one, &out); err != nil || strings.Contains(out.String(), "198.18.7.99") {
			b.Errorf("export: %v\n%s", err, out.String())
		}
		b.add(entry(one, "a", 2, 300, agent.Ready)) // says no address
		if got := b.find(history.Query{ISP: "AS64500 Example"}); !slices.Equal(got, []string{"one"}) {
			b.Errorf("found by provider: %q", got)
		}
		isps := map[fleet.Address]string{}
		if err := b.ISPs(b.Context(), func(a fleet.Address, isp string) { isps[a] = isp }); err != nil || len(isps) != 1 || isps[one] != "AS64500 Example" {
			b.Errorf("providers %v, %v", isps, err)
		}
	},
	"a box is exported whole and deleted whole": func(b *bench) {
		two := fleet.Address{Tenant: "acme", Box: "two"}
		b.add(entry(one, "a", 1, 0, agent.Ready), entry(one, "a", 2, 300, agent.Blocked, found(agent.WANDown, agent.Critical, agent.CauseISP)),
			entry(two, "a", 1, 0, agent.Ready))
		var out bytes.Buffer
		if err := b.Export(b.Context(), one, &out); err != nil {
			b.Fatal(err)
		}
		kinds := map[string]int{}
		for line := range strings.Lines(out.String()) {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				b.Fatalf("line %q: %v", line, err)
			}
			for k := range fields {
				kinds[k]++
			}
		}
		if want := map[string]int{"box": 1, "change": 2, "report": 2}; !maps.Equal(kinds, want) {
			b.Errorf("lines %v, want %v", kinds, want)
		}
		if err := b.Delete(b.Context(), one); err != nil {
			b.Fatal(err)
		}
		if err := b.Export(b.Context(), one, &out); !errors.Is(err, history.ErrUnknownBox) {
			b.Errorf("export after delete: %v", err)
		}
		if got := b.changes(one); len(got) != 0 {
			b.Errorf("changes after delete: %q", got)
		}
		if got := b.find(history.Query{Finding: agent.WANDown}); len(got) != 0 {
			b.Errorf("found after delete: %q", got)
		}
		if got := b.find(history.Query{}); !slices.Equal(got, []string{"two"}) {
			b.Errorf("left: %q", got)
		}
	},
	"every box is handed out with its newest report": func(b *bench) {
		var all []history.Entry
		for i := range 1203 {
			all = append(all, entry(fleet.Address{Tenant: "acme", Box: fmt.Sprintf("b%04d", i)}, "a", 1, i, agent.Ready))
		}
		b.add(all...)
		n := 0
		err := b.Each(b.Context(), start.Add(1201*time.Second), func(x history.Box, r agent.Report) {
			if x.Box != fmt.Sprintf("b%04d", n) || r.Box.ID != x.Box {
				b.Fatalf("box %d is %s with the report of %s", n, x.Address, r.Box.ID)
			}
			n++
		})
		if err != nil || n != 1201 {
			b.Errorf("%d boxes, %v, want the 1201 that were heard before", n, err)
		}
	},
	"what strangers send does no harm": func(b *bench) {
		e := entry(one, strings.Repeat("x", 5000), 1<<63+5, 0, agent.Ready, found("a b/c'; --\x00", agent.Critical, 99), found(agent.Code(strings.Repeat("y", 9999)), 77, agent.CauseISP))
		e.Report.Verdict = 200
		e.Report.Box.Name = "\x00\xff" + strings.Repeat("ü", 999)
		e.Report.Stamp.At = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		e.Report.Stamp.UptimeS = 1e300
		e.Raw = []byte(`{"schema":"sprechprobe.report/1"}`)
		b.add(e)
		if box, _ := b.newest(one); !box.EventAt.Equal(start) {
			b.Errorf("made %v, want when it arrived", box.EventAt)
		}
		for n := range 3 {
			huge := entry(one, "h", uint64(n+1), n, agent.Ready)
			huge.Report.Evidence = []agent.Evidence{agent.See(agent.ProbeSTUN, agent.Target{}, agent.Answered, "").With(agent.RTT, 1.7e308)}
			b.add(huge)
		}
		b.now = start.AddDate(0, 2, 0)
		if _, err := b.Sweep(b.Context()); err != nil {
			b.Errorf("sweep: %v", err)
		}
	},
}

func series(b *bench) {
	for i := range 12 { // a report every 10 minutes
		e := entry(one, "a", uint64(i+1), 600*i, agent.Ready)
		stun := agent.See(agent.ProbeSTUN, agent.Target{Host: "s.example"}, agent.Answered, "").With(agent.RTT, 10+i)
		burst := agent.See(agent.ProbeBurst, agent.Target{Host: "s.example"}, agent.Answered, "").With(agent.Sent, 50).With(agent.Received, 49).With(agent.Jitter, 1.5)
		resolver := agent.See(agent.ProbeDNS, agent.Target{Host: "s.example"}, agent.Answered, "").With(agent.RTT, 900)
		e.Report.Evidence = []agent.Evidence{stun, burst, resolver}
		if i == 3 {
			e.Report.Verdict = agent.VerdictLimited
			e.Report.Evidence = append(e.Report.Evidence, agent.See(agent.ProbeBandwidth, agent.Target{Host: "i.example"}, agent.Answered, "").
				With(agent.DownRate, 50e6).With(agent.UpRate, 10e6).With(agent.DownLoadedRTT, 80).With(agent.UpLoadedRTT, 190))
		}
		b.add(e)
	}
	check := func(when string) {
		got, err := b.Series(b.Context(), one, start, start.Add(24*time.Hour), time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		stat := func(n int, mean, least, most float64) history.Stat {
			return history.Stat{N: n, Mean: mean, Min: least, Max: most}
		}
		want := []history.Point{
			{At: start, Reports: 6, Verdicts: map[agent.Verdict]int{agent.Ready: 5, agent.VerdictLimited: 1}, Metrics: map[history.Metric]history.Stat{
				history.RTT: stat(6, 12.5, 10, 15), history.Loss: stat(6, 0.02, 0.02, 0.02), history.Jitter: stat(6, 1.5, 1.5, 1.5),
				history.Down: stat(1, 50e6, 50e6, 50e6), history.Up: stat(1, 10e6, 10e6, 10e6), history.LoadedRTT: stat(1, 190, 190, 190)}},
			{At: start.Add(time.Hour), Reports: 6, Verdicts: map[agent.Verdict]int{agent.Ready: 6}, Metrics: map[history.Metric]history.Stat{
				history.RTT: stat(6, 18.5, 16, 21), history.Loss: stat(6, 0.02, 0.02, 0.02), history.Jitter: stat(6, 1.5, 1.5, 1.5)}},
		}
		near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
		if d := cmp.Diff(want, got, near); d != "" {
			b.Errorf("%s (-want +got):\n%s", when, d)
		}
	}
	check("of reports")
	b.now = start.Add(30*24*time.Hour + 70*time.Minute)
	if swept, err := b.Sweep(b.Context()); err != nil || swept.Reports != 6 {
		b.Errorf("swept %+v, %v, want 6 reports", swept, err)
	}
	check("half of reports, half of hours")
	b.now = b.now.Add(2 * time.Hour)
	if _, err := b.Sweep(b.Context()); err != nil {
		b.Fatal(err)
	}
	check("of hours")
	if _, err := b.Series(b.Context(), one, start, start.AddDate(1, 0, 0), time.Second); err == nil {
		b.Error("a series without bounds was made")
	}
}

func retention(b *bench) {
	two := fleet.Address{Tenant: "acme", Box: "two"}
	b.add(entry(one, "a", 1, 0, agent.Blocked), entry(one, "a", 2, 300, agent.Ready), entry(two, "a", 1, 0, agent.Ready))
	b.now = start.AddDate(0, 0, 29)
	if s, err := b.Sweep(b.Context()); err != nil || s != (history.Swept{}) {
		b.Errorf("after 29 days: swept %+v, %v, want nothing", s, err)
	}
	b.now = start.AddDate(0, 0, 31)
	if s, err := b.Sweep(b.Context()); err != nil || s.Reports != 3 {
		b.Errorf("after 31 days: swept %+v, %v, want 3 reports", s, err)
	}
	if box, r := b.newest(one); r.Schema != "" || box.Verdict != agent.Ready || box.Reports != 2 {
		b.Errorf("after 31 days: %+v with a report of %q", box, r.Schema)
	}
	if got := b.changes(one); len(got) != 2 {
		b.Errorf("after 31 days: changes %q, want 2", got)
	}
	// What comes when its time is over becomes an hour too.
	late := entry(one, "a", 3, 600, agent.Ready)
	late.ArrivedAt = b.now
	b.add(late)
	if s, err := b.Sweep(b.Context()); err != nil || s.Reports != 1 {
		b.Errorf("a late one: swept %+v, %v", s, err)
	}
	points, err := b.Series(b.Context(), one, start, start.Add(time.Hour), time.Hour)
	if err != nil || len(points) != 1 || points[0].Reports != 3 {
		b.Errorf("series after all: %+v, %v, want 3 reports in one hour", points, err)
	}
	b.now = start.AddDate(0, 0, 398)
	s, err := b.Sweep(b.Context())
	if err != nil || s.Boxes != 1 || s.Hours != 2 {
		b.Errorf("after 398 days: swept %+v, %v, want 1 box and 2 hours", s, err)
	}
	if got := b.find(history.Query{}); !slices.Equal(got, []string{"one"}) {
		b.Errorf("after 398 days: %q, want the one that was heard later", got)
	}
	if got := b.changes(one); len(got) != 0 {
		b.Errorf("after 398 days: changes %q", got)
	}
}

func isp(a netip.Addr) string {
	if netip.MustParsePrefix("198.18.0.0/16").Contains(a) {
		return "AS64500 Example"
	}
	return ""
}

func TestSQLite(t *testing.T) {
	for what, check := range conformance {
		t.Run(what, func(t *testing.T) {
			run(t, filepath.Join(t.TempDir(), "odd ?#% name", "history.db"), check)
		})
	}
}

func TestPostgres(t *testing.T) {
	where := postgres.Start(t).URL()
	for what, check := range conformance {
		t.Run(what, func(t *testing.T) { run(t, database(t, where), check) })
	}
}

func run(t *testing.T, where string, check func(*bench)) {
	t.Helper()
	b := &bench{T: t, now: start, where: where}
	var err error
	if b.DB, err = history.Open(t.Context(), where, history.Config{ISP: isp, Now: func() time.Time { return b.now }}); err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	check(b)
}

// Tables of an earlier layout are refused in words, and stay as they are.
func TestOpenRefusesAnEarlierLayout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.db")
	if _, err := table(t, file).Exec(`CREATE TABLE boxes (box TEXT NOT NULL PRIMARY KEY, seq BIGINT)`); err != nil {
		t.Fatal(err)
	}
	_, err := history.Open(t.Context(), file, history.Config{})
	if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "put it away") {
		t.Errorf("Open: %v", err)
	}
	var tables int
	if err := table(t, file).QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table'`).Scan(&tables); err != nil || tables != 1 {
		t.Errorf("%d tables, %v, want the one that was there", tables, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		where   string
		c       history.Config
		wantErr string
	}{
		{"x.db", history.Config{KeepRaw: time.Minute}, "at least 1h"},
		{"x.db", history.Config{KeepRaw: 48 * time.Hour, KeepAggregates: 24 * time.Hour}, "no shorter"},
		{"postgres://u:secret@%zz/", history.Config{}, "cannot be read"},
		{"/dev/null/x.db", history.Config{}, "not a directory"},
	} {
		_, err := history.Open(t.Context(), tt.where, tt.c)
		if err == nil || !strings.Contains(err.Error(), tt.wantErr) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): %v, want %q", tt.where, err, tt.wantErr)
		}
	}
}

// Who exports a box while the history is written at need not wait for a gap.
func TestOpensBesideAWriter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.db")
	first, err := history.Open(t.Context(), file, history.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	other, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	second, err := history.Open(t.Context(), file, history.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Find(t.Context(), history.Query{}); err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

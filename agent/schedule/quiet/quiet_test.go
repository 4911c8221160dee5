package quiet_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the test knows its zone everywhere

	"github.com/sprechprobe/sprechprobe/agent/schedule/quiet"
)

func span(t *testing.T, s string) quiet.Span {
	t.Helper()
	v, err := quiet.ParseSpan(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParseSpan(t *testing.T) {
	for _, tt := range []struct {
		in      string
		from    time.Duration
		until   time.Duration
		days    int
		wantErr string
	}{
		{in: "08:00-18:30", from: 8 * time.Hour, until: 18*time.Hour + 30*time.Minute, days: 7},
		{in: "mon-fri 08:00-18:00", from: 8 * time.Hour, until: 18 * time.Hour, days: 5},
		{in: "Sat,Sun 20:00-06:00", from: 20 * time.Hour, until: 6 * time.Hour, days: 2},
		{in: "fri-mon 00:00-24:00", until: 24 * time.Hour, days: 4},
		{in: "mon-fri,mon 08:00-09:00", from: 8 * time.Hour, until: 9 * time.Hour, days: 5},
		{in: "", wantErr: "want, for example"},
		{in: "8:00-18:00", wantErr: `bad start "8:00"`},
		{in: "08:00-25:00", wantErr: `bad end "25:00"`},
		{in: "08:00", wantErr: "want, for example"},
		{in: "24:00-08:00", wantErr: "bad start"},
		{in: "08:00-08:00", wantErr: "ends where it starts"},
		{in: "08:60-09:00", wantErr: "bad start"},
		{in: "montag 08:00-09:00", wantErr: `bad days "montag"`},
		{in: "mon- 08:00-09:00", wantErr: `bad days "mon-"`},
		{in: "mon 08:00-09:00 x", wantErr: "want, for example"},
	} {
		v, err := quiet.ParseSpan(tt.in)
		switch {
		case tt.wantErr != "":
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("ParseSpan(%q): %v, want %q", tt.in, err, tt.wantErr)
			}
		case err != nil:
			t.Errorf("ParseSpan(%q): %v", tt.in, err)
		case v.From != tt.from || v.Until != tt.until || len(v.Days) != tt.days:
			t.Errorf("ParseSpan(%q) = %v", tt.in, v)
		}
	}
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// Times are those of the clock on a wall in Berlin. The 29th of March 2026 has
// no hour from 2 to 3, the 25th of October has it twice.
func TestNext(t *testing.T) {
	z := berlin(t)
	const mb = 1 << 20
	practice := quiet.Policy{
		Closed: []quiet.Span{span(t, "mon-fri 08:00-18:00")}, Zone: z,
		Takes: 30 * time.Second, Cost: 2 * mb, PerDay: 10 * mb, PerMonth: 50 * mb,
	}
	night := practice
	night.Closed = []quiet.Span{span(t, "20:00-06:00")}
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, z)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	use := func(s string, bytes int64) quiet.Use { return quiet.Use{At: at(s), Bytes: bytes} }
	tests := []struct {
		name   string
		p      quiet.Policy
		now    time.Time
		used   []quiet.Use
		chance float64
		want   time.Time // zero: none
		why    quiet.Why
	}{
		{name: "open now", p: practice, now: at("2026-11-18 19:00"), want: at("2026-11-18 19:00"), why: quiet.Spread},
		{name: "in consulting hours", p: practice, now: at("2026-11-18 10:00"), want: at("2026-11-18 18:00"), why: quiet.ClosedHours},
		{name: "not before there is room", p: practice, now: at("2026-11-18 08:00").Add(-10 * time.Second), want: at("2026-11-18 18:00"), why: quiet.ClosedHours},
		{name: "at the weekend", p: practice, now: at("2026-11-21 10:00"), want: at("2026-11-21 10:00"), why: quiet.Spread},
		{name: "before midnight", p: night, now: at("2026-11-18 22:00"), want: at("2026-11-19 06:00"), why: quiet.ClosedHours},
		{name: "after midnight", p: night, now: at("2026-11-19 01:00"), want: at("2026-11-19 06:00"), why: quiet.ClosedHours},
		{name: "night that loses an hour", p: night, now: at("2026-03-28 23:00"), want: at("2026-03-29 06:00"), why: quiet.ClosedHours},
		{name: "night that has one twice", p: night, now: at("2026-10-24 23:00"), want: at("2026-10-25 06:00"), why: quiet.ClosedHours},
		{name: "day used up", p: practice, now: at("2026-11-21 10:00"), used: []quiet.Use{use("2026-11-21 09:00", 9*mb)},
			want: at("2026-11-22 00:00"), why: quiet.DayUsed},
		{name: "yesterday counts no more", p: practice, now: at("2026-11-22 00:00"), used: []quiet.Use{use("2026-11-21 23:59", 9*mb)},
			want: at("2026-11-22 00:00"), why: quiet.Spread},
		{name: "month used up", p: practice, now: at("2026-11-21 10:00"), used: []quiet.Use{use("2026-11-02 09:00", 49*mb)},
			want: at("2026-12-01 00:00"), why: quiet.MonthUsed},
		{name: "day used up on the eve of consulting hours", p: night, now: at("2026-11-21 19:00"), used: []quiet.Use{use("2026-11-21 09:00", 9*mb)},
			want: at("2026-11-22 06:00"), why: quiet.ClosedHours},
		{name: "never open", p: quiet.Policy{Closed: []quiet.Span{span(t, "00:00-12:00"), span(t, "12:00-24:00")}, Zone: z},
			now: at("2026-11-21 10:00"), why: quiet.NoTime},
		{name: "too dear", p: quiet.Policy{Cost: 2, PerDay: 1}, now: at("2026-11-21 10:00"), why: quiet.DayUsed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, why := tt.p.Next(tt.now, true, tt.used, tt.chance)
			if !got.Equal(tt.want) || why != tt.why {
				t.Errorf("Next(%v) = %v, %s; want %v, %s", tt.now.In(z), got.In(z), why, tt.want.In(z), tt.why)
			}
		})
	}
}

// The hour that the clock shows twice is closed twice.
func TestTheHourThatComesTwice(t *testing.T) {
	z := berlin(t)
	p := quiet.Policy{Closed: []quiet.Span{span(t, "02:00-03:00")}, Zone: z}
	midnight := time.Date(2026, 10, 25, 0, 0, 0, 0, z)
	for _, minutes := range []int{121, 179, 181, 239} { // of four hours, the third and fourth are the same
		now := midnight.Add(time.Duration(minutes) * time.Minute)
		if at, _ := p.Next(now, true, nil, 0); !at.Equal(midnight.Add(4 * time.Hour)) {
			t.Errorf("%d minutes after midnight: next at %v, want when the clock shows 3", minutes, at.In(z))
		}
	}
}

func TestRandomStart(t *testing.T) {
	z := berlin(t)
	p := quiet.Policy{Closed: []quiet.Span{span(t, "mon-fri 08:00-18:00")}, Zone: z, Every: 6 * time.Hour, Takes: time.Minute}
	now := time.Date(2026, 11, 18, 10, 0, 0, 0, z)
	open := time.Date(2026, 11, 18, 18, 0, 0, 0, z)
	first, _ := p.Next(now, true, nil, 0)
	middle, _ := p.Next(now, true, nil, 0.5)
	last, _ := p.Next(now, true, nil, 0.999)
	if !first.Equal(open) || !middle.Equal(open.Add(3*time.Hour)) || last.After(open.Add(6*time.Hour)) || !last.After(middle) {
		t.Errorf("starts at %v, %v and %v; want to be spread over the six hours from %v", first.In(z), middle.In(z), last.In(z), open)
	}
	// After a run, on average the next comes when its time has passed.
	used := []quiet.Use{{At: open}}
	if at, why := p.Next(open, true, used, 0.5); !at.Equal(open.Add(6*time.Hour)) || why != quiet.Spread {
		t.Errorf("after a run at %v the next is at %v (%s)", open, at.In(z), why)
	}
}

// Whatever is asked, a run never touches closed hours, and never breaks a
// budget.
func TestNextKeepsItsWord(t *testing.T) {
	z := berlin(t)
	p := quiet.Policy{
		Closed: []quiet.Span{span(t, "mon-fri 07:30-12:00"), span(t, "mon,tue,thu 14:00-18:30"), span(t, "22:00-05:00")},
		Zone:   z, Every: 6 * time.Hour, Takes: 30 * time.Second, Cost: 3, PerDay: 10, PerMonth: 40,
	}
	closed := func(at time.Time) bool {
		at = at.In(z)
		m := at.Hour()*60 + at.Minute()
		work := at.Weekday() >= time.Monday && at.Weekday() <= time.Friday
		late := at.Weekday() == time.Monday || at.Weekday() == time.Tuesday || at.Weekday() == time.Thursday
		return work && m >= 450 && m < 720 || late && m >= 840 && m < 1110 || m >= 22*60 || m < 5*60
	}
	var used []quiet.Use
	perDay, perMonth := map[string]int64{}, map[string]int64{}
	now := time.Date(2026, 3, 25, 0, 0, 0, 0, z)
	for i := range 300 { // over the change of summer time and several months
		at, why := p.Next(now, true, used, float64(i*37%100)/100)
		if at.IsZero() || at.Before(now) {
			t.Fatalf("Next(%v) = %v, %s", now, at, why)
		}
		if closed(at) || closed(at.Add(p.Takes-time.Nanosecond)) {
			t.Fatalf("a run at %v", at.In(z))
		}
		d, m := at.In(z).Format("2006-01-02"), at.In(z).Format("2006-01")
		perDay[d] += p.Cost
		perMonth[m] += p.Cost
		if perDay[d] > p.PerDay || perMonth[m] > p.PerMonth {
			t.Fatalf("a run at %v breaks the budget: %d, %d", at.In(z), perDay[d], perMonth[m])
		}
		used = append(used, quiet.Use{At: at, Bytes: p.Cost})
		now = at.Add(p.Takes)
	}
	if span := now.Sub(used[0].At); span > 400*24*time.Hour*2 {
		t.Errorf("300 runs took %v", span)
	}
}

func TestWithoutAClock(t *testing.T) {
	p := quiet.Policy{Closed: []quiet.Span{span(t, "08:00-18:00")}}
	if at, why := p.Next(time.Unix(0, 0), false, nil, 0); !at.IsZero() || why != quiet.NoClock {
		t.Errorf("without a clock: %v, %s", at, why)
	}
	if at, _ := (quiet.Policy{}).Next(time.Unix(5, 0), false, nil, 0); !at.Equal(time.Unix(5, 0)) {
		t.Errorf("without closed hours and budgets no clock is needed, but next is %v", at)
	}
}

package quiet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/schedule/quiet"
)

func TestGermanTime(t *testing.T) {
	zone, err := quiet.ParseZone(quiet.German)
	if err != nil {
		t.Fatal(err)
	}
	for utc, want := range map[string]string{
		"2026-01-15T12:00:00Z": "13:00 CET",
		"2026-07-15T12:00:00Z": "14:00 CEST",
		"2026-03-29T00:59:59Z": "01:59 CET",
		"2026-03-29T01:00:00Z": "03:00 CEST",
		"2026-10-25T00:59:59Z": "02:59 CEST",
		"2026-10-25T01:00:00Z": "02:00 CET",
		"2040-07-15T12:00:00Z": "14:00 CEST",
	} {
		at, err := time.Parse(time.RFC3339, utc)
		if err != nil {
			t.Fatal(err)
		}
		if got := at.In(zone).Format("15:04 MST"); got != want {
			t.Errorf("%s is %s, want %s", utc, got, want)
		}
	}
}

func TestZonesThatAreNone(t *testing.T) {
	for _, s := range []string{"", "Europe/Berlin", "CET", "CET-1CEST,nonsense", "CET-1\nCEST", strings.Repeat("x", 100)} {
		if zone, err := quiet.ParseZone(s); err == nil {
			t.Errorf("%q is taken for %v", s, zone)
		}
	}
	for _, s := range []string{"UTC0", "<+03>-3", "EST5EDT,M3.2.0,M11.1.0"} {
		if _, err := quiet.ParseZone(s); err != nil {
			t.Error(err)
		}
	}
}

// A job with a window starts in it and ends in it, whatever the chance.
func TestOutside(t *testing.T) {
	zone, err := quiet.ParseZone(quiet.German)
	if err != nil {
		t.Fatal(err)
	}
	for _, window := range []string{"02:00-04:00", "sat,sun 22:00-04:00", "sun 23:30-00:30", "mon-fri 00:00-24:00", "00:00-24:00"} {
		span, err := quiet.ParseSpan(window)
		if err != nil {
			t.Fatal(err)
		}
		p := quiet.Policy{Closed: quiet.Outside(span), Zone: zone, Every: 6 * time.Hour, Takes: time.Minute}
		for now := time.Date(2026, 3, 25, 0, 0, 0, 0, zone); now.Month() == time.March; now = now.Add(61 * time.Minute) {
			for _, chance := range []float64{0, 0.5, 0.999} {
				at, why := p.Next(now, true, nil, chance)
				if at.IsZero() || !within(span, at.In(zone)) || !within(span, at.Add(p.Takes-time.Second).In(zone)) {
					t.Fatalf("%s: at %v, by %v, the job runs at %v (%s)", window, now, chance, at, why)
				}
			}
		}
	}
}

// within reports whether a time is in a span.
func within(s quiet.Span, at time.Time) bool {
	since := time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
	for _, d := range s.Days {
		switch night := s.Until <= s.From; {
		case at.Weekday() == d && since >= s.From && (night || since < s.Until):
			return true
		case night && at.Weekday() == (d+1)%7 && since < s.Until:
			return true
		}
	}
	return false
}

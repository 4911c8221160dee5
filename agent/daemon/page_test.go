package daemon

import (
	"log/slog"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/statuspage"
	"github.com/sprechprobe/sprechprobe/agent/steps"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

func TestWhenThePageIsShown(t *testing.T) {
	for _, tt := range []struct {
		show         config.When
		code, tenant string
		want         bool
	}{
		{config.Never, "", "", false},
		{config.Never, "7K4-QX2", "", false},
		{config.Always, "", "acme", true},
		{config.Unclaimed, "", "", true},               // nobody's, and not to be claimed: no vendor is configured
		{config.Unclaimed, "7K4-QX2", "", true},        // waits to be claimed
		{config.Unclaimed, "7K4-QX2", "planned", true}, // its owner-to-be is written down, but has not claimed it
		{config.Unclaimed, "", "acme", false},
	} {
		l := &loop{opts: Options{Identity: func() Identity { return Identity{Code: tt.code} }}}
		l.setup.Config.Page.Show, l.setup.Config.Box.Tenant = tt.show, tt.tenant
		if got := l.showsPage(); got != tt.want {
			t.Errorf("%s, code %q, tenant %q: shown %v, want %v", tt.show, tt.code, tt.tenant, got, tt.want)
		}
	}
}

// A claim that comes while the box runs takes the page away, and a button that
// lets it forget brings it back: the box goes on with the setup that it has.
func TestTheClaimTakesThePageAway(t *testing.T) {
	var id Identity
	c := config.Default()
	c.Page.Show, c.Box.Tenant, c.Box.ID = config.Unclaimed, "acme", "box-1"
	lit := &lamps{engine: led.NewEngine(nil, nil)}
	l := newLoop(Options{Identity: func() Identity { return id }, Log: slog.New(slog.DiscardHandler)}, Setup{Config: c}, &examiner{}, lit, agent.Report{})
	leaves := func(want bool) {
		t.Helper()
		if l.beat(); l.leaving != want || want && l.next.Config.Box.ID != "box-1" {
			t.Errorf("code %q, page %v: leaves %v for %q, want %v", id.Code, l.notice != nil, l.leaving, l.next.Config.Box.ID, want)
		}
		l.leaving = false
	}
	leaves(false)
	id.Code = "7K4-QX2"
	leaves(true)
	l.notice = &notice{page: statuspage.New(statuspage.Config{})}
	leaves(false)
	id.Code = ""
	leaves(true)
}

// Whoever has just plugged the box in sees on the lights how far it gets: while
// it looks, the network's lamp settles as soon as the service has answered.
func TestLightsFollowTheSteps(t *testing.T) {
	lit := &lamps{engine: led.NewEngine(nil, nil)}
	l := newLoop(Options{Log: slog.New(slog.DiscardHandler)}, Setup{Config: config.Default()}, &examiner{}, lit, agent.Report{})
	l.arrival.await(steps.Plan(nil, false))
	plug := func(why agent.Trigger) {
		l.started = time.Now()
		l.arrival.begin(why)
		l.judge()
	}
	shows := func(want light.Show) {
		t.Helper()
		if l.face.truth != want {
			t.Errorf("the lights show %+v, want %+v", l.face.truth, want)
		}
	}
	plug(agent.OnStart)
	shows(light.Show{State: light.Checking})
	l.see(agent.See(agent.ProbeDNS, agent.Target{}, agent.Answered, ""))
	shows(light.Show{State: light.Checking})
	l.see(agent.See(agent.ProbeWeb, agent.Target{}, agent.Answered, ""))
	shows(light.Show{State: light.Checking, Online: true})

	l.started, l.last = time.Time{}, agent.Report{Schema: agent.Schema, Verdict: agent.Offline}
	l.arrival.end(l.last)
	l.judge()
	shows(light.Show{State: light.NoInternet})
	plug(agent.OnSchedule) // nobody has plugged anything
	shows(light.Show{State: light.NoInternet})
	plug(agent.OnLink)
	shows(light.Show{State: light.Checking})
}

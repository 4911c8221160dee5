package daemon

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/round"
	"github.com/sprechprobe/sprechprobe/agent/statuspage"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

// site is a practice where an installer plugs a box in that has been switched on.
type site struct {
	plug, lease time.Duration // after the start; lease 0: never
	takes       time.Duration // one look that is answered; those of the local side take none
	silent      []agent.ProbeName
	router      bool // nothing beyond the router

	began time.Time
}

func (p *site) after(d time.Duration) bool { return time.Since(p.began) >= d }

func (p *site) link(_ context.Context, t agent.Target) agent.Evidence {
	e := agent.See(agent.ProbeLink, t, agent.Answered, "").With(agent.Interface, "eth0")
	switch {
	case !p.after(p.plug):
		return agent.See(agent.ProbeLink, t, agent.Refused, agent.NoCarrier).With(agent.Interface, "eth0").With(agent.Carrier, false)
	case p.lease == 0 || !p.after(p.lease):
		return agent.See(agent.ProbeLink, t, agent.Refused, agent.NoLease).With(agent.Interface, "eth0").With(agent.Carrier, true)
	}
	return e.With(agent.Carrier, true).With(agent.LocalAddr, "192.168.1.7/24").With(agent.ClockSynced, true)
}

// look answers in its time; what is swallowed waits for as long as it is let.
func (p *site) look(name agent.ProbeName) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if !p.after(p.lease) || p.lease == 0 {
			return agent.See(name, t, agent.NotLooked, agent.NoRoute)
		}
		takes := p.takes
		if p.router || slices.Contains(p.silent, name) {
			takes = time.Hour
		}
		select {
		case <-time.After(takes):
			return agent.See(name, t, agent.Answered, "")
		case <-ctx.Done():
			return agent.See(name, t, agent.Silent, agent.Timeout)
		}
	}
}

func (p *site) probes() round.Probes {
	return round.Probes{
		Link: p.link, DNS: p.look(agent.ProbeDNS), HTTPS: p.look(agent.ProbeWeb), Captive: p.look(agent.ProbeCaptive),
		STUN: p.look(agent.ProbeSTUN), TURN: p.look(agent.ProbeTURN), NATS: p.look(agent.ProbeNATS),
		Addrs:   func(agent.Evidence) []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.7")} },
		Mapping: func([]netip.AddrPort) agent.Probe { return p.look(agent.ProbeMapping) },
		IPv6:    func() bool { return false },
	}
}

var stepOnPage = regexp.MustCompile(`<li class="(waiting|passed|failed|unclear|unneeded)">`)

// watch is what somebody with a phone sees of the steps, one letter each.
func watch(t *testing.T, p *statuspage.Page) (picture, page string) {
	t.Helper()
	page = p.Answer(httptest.NewRequest("GET", "http://192.168.1.7/", nil)).Body
	letters := map[string]string{"waiting": ".", "passed": "+", "failed": "x", "unclear": "?", "unneeded": "-"}
	for _, m := range stepOnPage.FindAllStringSubmatch(page, -1) {
		picture += letters[m[1]]
	}
	if len(picture) != steps.Count {
		t.Fatalf("%d steps on the page, %q", len(picture), picture)
	}
	return picture, page
}

// From the plug on, whatever the practice does to the box, page and lights say
// within 90 seconds where it stops, and show how far it is meanwhile.
func TestInstallerKnowsWithin90Seconds(t *testing.T) {
	services, err := profile.Load("", []string{"webprax"})
	if err != nil {
		t.Fatal(err)
	}
	const late = 5 * time.Minute // long after the first round, and before the next
	for _, tt := range []struct {
		name     string
		practice site
		want     string // how the steps end; the letters are those of watch
		stuck    string // what the page calls the first that failed
		light    light.State
		seen     []string // on the way, in this order
	}{
		{"all is well", site{plug: late, lease: late + 10*time.Second, takes: time.Second}, "++++++++++-", "", light.Ready,
			[]string{"++++.", "+++++", "++++++"}},
		{"every answer is late", site{plug: late, lease: late + 30*time.Second, takes: 2900 * time.Millisecond}, "++++++++++-", "", light.Ready, nil},
		{"plugged in while it looks", site{plug: time.Second, lease: 3 * time.Second, takes: time.Second}, "++++++++++-", "", light.Ready, nil},
		{"no lease", site{plug: late}, "+x", "Adresse", light.NoAddress, nil},
		{"nothing beyond the router", site{plug: late, lease: late + 5*time.Second, router: true}, "++++x", "Name", light.NoInternet, []string{"++++."}},
		{"the group port is swallowed", site{plug: late, lease: late + 5*time.Second, takes: time.Second, silent: []agent.ProbeName{agent.ProbeNATS}},
			"+++++++++x-", "Gruppen", light.Blocked, []string{"+++++++++."}},
		{"the relay is swallowed", site{plug: late, lease: late + 5*time.Second, takes: time.Second, silent: []agent.ProbeName{agent.ProbeTURN}},
			"+++++++x", "Vermittlung", light.Limited, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
			synctest.Test(t, func(t *testing.T) {
				p := tt.practice
				p.began = time.Now()
				s := perform(t, Options{}, p.link, func(l *loop) {
					l.setup.Profiles, l.examiner.profiles, l.examiner.policy.Profiles = services, services, services
					l.setup.Config.Page.Show = config.Always
					l.examiner.probes = p.probes()
					l.notice = &notice{page: statuspage.New(statuspage.Config{})}
				})
				for _, change := range []time.Duration{p.plug, p.lease} {
					if change > 0 {
						time.AfterFunc(change, func() { s.trigger(agent.OnLink) })
					}
				}
				time.Sleep(p.plug)
				seen := tt.seen
				for range 90 {
					time.Sleep(time.Second)
					synctest.Wait()
					if picture, _ := watch(t, s.notice.page); len(seen) > 0 && strings.HasPrefix(picture, seen[0]) {
						seen = seen[1:]
					}
				}
				picture, page := watch(t, s.notice.page)
				if !strings.HasPrefix(picture, tt.want) || strings.Contains(picture, ".") {
					t.Errorf("after 90 s the steps are %s, want %s and none to wait for", picture, tt.want)
				}
				if stuck := strings.Contains(page, "Hier hakt es"); stuck != (tt.stuck != "") || !strings.Contains(page, tt.stuck) {
					t.Errorf("the page says that it is stuck: %v, want %q", stuck, tt.stuck)
				}
				if len(seen) > 0 {
					t.Errorf("on the way nobody saw %q", seen)
				}
				s.wants(t, tt.light)
			})
		})
	}
}

// A change of the network that comes while a scheduled round waits its turn is not
// lost beside it.
func TestScheduleGivesWay(t *testing.T) {
	l := &loop{triggers: make(chan agent.Trigger, 1)}
	for _, tt := range []struct {
		asked []agent.Trigger
		want  agent.Trigger
	}{
		{[]agent.Trigger{agent.OnSchedule, agent.OnLink}, agent.OnLink},
		{[]agent.Trigger{agent.OnLink, agent.OnSchedule}, agent.OnLink},
		{[]agent.Trigger{agent.OnStart, agent.OnLink, agent.OnSchedule}, agent.OnStart},
		{[]agent.Trigger{agent.OnSchedule, agent.OnSchedule}, agent.OnSchedule},
	} {
		for _, why := range tt.asked {
			l.trigger(why)
		}
		if got := <-l.triggers; got != tt.want || len(l.triggers) > 0 {
			t.Errorf("%v: the round is made for %s, %d more wait", tt.asked, got, len(l.triggers))
		}
	}
}

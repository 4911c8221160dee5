package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/farends"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

// receiver takes what a webhook tells.
type receiver struct {
	mu  sync.Mutex
	all []alert.Message
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	var m alert.Message
	_ = json.NewDecoder(req.Body).Decode(&m) // one that is no message has no type
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, m)
}

// types are those of the messages so far.
func (r *receiver) types() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	for _, m := range r.all {
		out = append(out, m.Type)
	}
	return out
}

// others are practices beside the real one, of many providers.
type others struct {
	*practice
	fleet *simulate.Fleet
	conn  *nats.Conn
	n     uint64
}

// report lets all of them report with the findings of the real box, as of now; the
// first has had them since yesterday.
func (o *others) report(findings []agent.Finding, v agent.Verdict, profiles []agent.ProfileResult) {
	o.t.Helper()
	o.n++
	now := time.Now().UTC()
	for i := range 12 {
		boot, r := o.fleet.Report(i, o.n, now)
		r.Verdict, r.Profiles, r.Findings = v, profiles, slices.Clone(findings)
		for j := range r.Findings {
			r.Findings[j].Evidence = []int{}
			if i == 0 {
				r.Findings[j].SinceAt, r.Findings[j].Cause = now.Add(-24*time.Hour), agent.CausePractice
			}
		}
		payload, err := json.Marshal(r)
		if err != nil {
			o.t.Fatal(err)
		}
		subject, err := fleet.ReportSubject(r.Tenant, r.Box.ID)
		if err != nil {
			o.t.Fatal(err)
		}
		if _, err := o.conn.RequestMsg(&nats.Msg{Subject: subject, Data: payload, Header: nats.Header{fleet.HeaderBoot: {boot}}}, patience); err != nil {
			o.t.Fatal(err)
		}
	}
}

// told is what the vendor answers a box that asks for its outages.
func (o *others) told(a fleet.Address) []fleet.Outage {
	o.t.Helper()
	m, err := o.conn.Request(a.OutageAsk(), nil, patience)
	if err != nil {
		o.t.Fatal(err)
	}
	all, err := fleet.DecodeOutages(m.Data)
	if err != nil {
		o.t.Fatal(err)
	}
	return all.Outages
}

// says is what the real box tells its practice.
func (p *practice) says() string {
	cmd := exec.Command(p.program, "status", "--config", p.config, "--lang", "en")
	cmd.Env = p.env
	out, _ := cmd.CombinedOutput() // the exit code is the verdict's
	return strings.Join(strings.Fields(string(out)), " ")
}

// A real box loses the service together with boxes of many providers: the pages tell
// of one outage, the box tells its practice to change nothing, the webhook gets one
// message and none of single boxes; a box whose fault is older keeps it. Then it ends.
func TestOutageOfARealBox(t *testing.T) {
	t.Parallel() // it waits for the box to ask, most of the time
	if !lab.Inside(t) {
		return
	}
	sim := simulate.New(simulate.Config{Boxes: 12, Tenants: 1, ISPs: 6, Faulty: 1e-9, Outages: []simulate.Outage{}})
	var hook receiver
	p := newPractice(t, func(keys string) []string {
		s := httptest.NewServer(&hook)
		t.Cleanup(s.Close)
		dir := t.TempDir()
		for name, text := range map[string]string{"nets.csv": sim.Networks(), "hook.secret": "0123456789abcdef", "fleet.toml": fmt.Sprintf(`
[outages]
steady = "2s"
calm = "3s"
[alerts]
hold = "40s"
clear = "1s"
incident = "1s"
[[alerts.webhook]]
name = "chat"
url = %q
secret_file = "hook.secret"
`, s.URL)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return []string{"--keys", filepath.Join(keys, "serve"), "--config", filepath.Join(dir, "fleet.toml"), "--networks", filepath.Join(dir, "nets.csv"), "--access", dir}
	})
	p.start()
	until(t, "the box waits to be claimed", func() bool { w := p.who(); return w.Code != "" && strings.Contains(p.fleet("boxes"), w.Code) })
	p.fleet("claim", p.who().Code, "--tenant", "acme", "--name", "nord")
	until(t, "the box is ready and knows the time", func() bool {
		r := p.report()
		if r.Box.ID == "nord" && r.Verdict == agent.Ready && r.Stamp.Clock == agent.ClockSet {
			return true
		}
		p.look()
		return false
	})
	o := &others{practice: p, fleet: sim, conn: p.join()}
	o.report(nil, agent.Ready, p.report().Profiles)

	fault, err := farends.FaultOf("group-blocked")
	if err == nil {
		err = p.ends.Break(fault)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.finds(fault.Codes[0], true)
	r := p.report()
	if f := r.Findings[0]; fleet.OutageTarget(f) == "" || f.Cause != agent.CausePractice {
		t.Fatalf("the box finds %+v, of which nobody could say that others have it too", f)
	}
	if strings.Contains(p.says(), "knows of this outage") {
		t.Error("the box knows of an outage before there is one")
	}
	o.report(r.Findings, r.Verdict, r.Profiles)

	nord := fleet.Address{Tenant: "acme", Box: "nord"}
	until(t, "the vendor tells the box", func() bool { return len(o.told(nord)) == 1 })
	if all := o.told(sim.Address(0)); len(all) != 0 {
		t.Errorf("a box whose fault is older is told of %+v", all)
	}
	page := func(path string) string { return fetch(t, strings.TrimSuffix(p.page, "/")+path) }
	until(t, "the overview tells of it", func() bool { return strings.Contains(page("/?lang=en"), "12 boxes affected") })
	for _, path := range []string{"/", "/boxes/acme/nord", "/incidents"} {
		if s := page(path + "?lang=en"); !strings.Contains(s, "Outage of the service: "+fleet.OutageTarget(r.Findings[0])) {
			t.Errorf("%s does not tell of the outage: %s", path, s)
		}
	}
	if s := page("/boxes/acme/nord?lang=en"); !strings.Contains(s, "please change nothing in your practice") {
		t.Error("the vendor's page of the box gives other advice than the box")
	}
	if s := page("/boxes/" + sim.Address(0).String() + "?lang=en"); strings.Contains(s, "Outage of the service") || strings.Contains(s, "please change nothing") {
		t.Error("a box whose fault is older is said to suffer from the outage")
	}
	until(t, "boxes are found by the cause", func() bool {
		return strings.Contains(page("/api/v1/boxes?cause=vendor"), `"nord"`) && strings.Contains(page("/?cause=vendor&lang=en"), "12 boxes, ")
	})
	if s := page("/?cause=practice&lang=en"); !strings.Contains(s, "1 box, ") || !strings.Contains(s, sim.Address(0).Box) {
		t.Errorf("by the cause practice there is not only the box whose fault is older: %s", s)
	}
	until(t, "the webhook is told of the outage", func() bool { return slices.Equal(hook.types(), []string{alert.IncidentStarted}) })
	until(t, "the box tells its practice", func() bool {
		return strings.Contains(p.says(), "The video service knows of this outage and sees to it; please change nothing in your practice.")
	})
	if now := p.report(); now.Verdict != r.Verdict {
		t.Errorf("the verdict was %s and is %s: the practice still cannot", r.Verdict, now.Verdict)
	}

	if err := p.ends.Heal(); err != nil {
		t.Fatal(err)
	}
	p.finds(fault.Codes[0], false)
	o.report(nil, agent.Ready, r.Profiles)
	until(t, "the outage is over on the pages", func() bool { return !strings.Contains(page("/?lang=en"), "boxes affected") })
	until(t, "it is kept with its end", func() bool {
		s := page("/incidents?lang=en")
		return strings.Contains(s, "Outage of the service") && !strings.Contains(s, "goes on")
	})
	until(t, "the webhook is told of the end, and of nothing else", func() bool {
		return slices.Equal(hook.types(), []string{alert.IncidentStarted, alert.IncidentEnded})
	})
	if strings.Contains(p.says(), "knows of this outage") || len(o.told(nord)) != 0 {
		t.Error("the outage has not ended for the box")
	}
}

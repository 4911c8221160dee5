package dashboard_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
)

// clerk is a desk that does what the test wants.
type clerk struct {
	err  error
	done []string
}

func (c *clerk) Command(_ context.Context, at fleet.Address, name string) error {
	c.done = append(c.done, name+" "+at.String())
	return c.err
}

func (c *clerk) Claim(_ context.Context, code string, at fleet.Address) error {
	c.done = append(c.done, "claim "+code+" "+at.String())
	return c.err
}

// post sends a form as a page elsewhere or of ours would, and shows where it leads.
func (b *bench) post(path, site string, form url.Values) (int, string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", site)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestCommandsFromThePage(t *testing.T) {
	c := &clerk{}
	b := newBench(t, dashboard.Config{Desk: c})
	b.take("acme", "nord", report("Nord"))
	_, page := b.get("/boxes/acme/nord?lang=en")
	contains(t, page, "Check now", "Make the box blink", "Measure bandwidth")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "The box has accepted."}, {dashboard.ErrAbsent, "The box cannot be reached right now."}, {dashboard.ErrLate, "The box did not answer."},
		{dashboard.Refusal("too-often"), "The box refuses: too often."}, {dashboard.Refusal("<b>evil"), "The box has refused."}, {dashboard.Refusal("accepted"), "The box has refused."},
		{errors.New("x"), "That did not work."},
	} {
		c.err = tt.err
		code, page := b.post("/boxes/acme/nord/commands?lang=en", "same-origin", url.Values{"name": {"identify"}})
		if code != 200 {
			t.Fatalf("%v: %d", tt.err, code)
		}
		contains(t, page, "Make the box blink: "+tt.want)
	}
	n := len(c.done)
	if n != 7 || c.done[0] != "identify acme/nord" {
		t.Errorf("the desk has done %q", c.done)
	}
	for _, tt := range []struct {
		path, site, name string
		want             int
	}{
		{"/boxes/acme/nord/commands", "cross-site", "check", 403}, // somebody else's page, with our reader's cookie
		{"/boxes/acme/nord/commands", "same-origin", "reboot", 400},
		{"/boxes/acme/none/commands", "same-origin", "check", 404},
	} {
		if code, _ := b.post(tt.path, tt.site, url.Values{"name": {tt.name}}); code != tt.want {
			t.Errorf("%+v: %d", tt, code)
		}
	}
	if len(c.done) != n {
		t.Errorf("what was refused was done: %q", c.done[n:])
	}
	// An address that somebody made up says nothing of its own.
	_, page = b.get("/boxes/acme/nord?lang=en&sent=identify&answer=%3Cb%3Eall+is+lost")
	if strings.Contains(page, "all is lost") {
		t.Error("the address says what the page shows")
	}
}

func TestClaimFromThePage(t *testing.T) {
	c := &clerk{}
	b := newBench(t, dashboard.Config{Desk: c, Waiting: func() []dashboard.Waiter {
		return []dashboard.Waiter{{Code: "P10H-KJQ7-87M1", Box: "linux/arm", At: start}}
	}})
	_, page := b.get("/claim?lang=de&code=P10H-KJQ7-87M1")
	contains(t, page, "Box zuordnen", "P10H-KJQ7-87M1", "linux/arm")
	if !strings.Contains(page, `name="code" value="P10H-KJQ7-87M1"`) {
		t.Error("the code is not filled in")
	}
	form := func(tenant, name string) url.Values {
		return url.Values{"code": {"P10H-KJQ7-87M1"}, "tenant": {tenant}, "name": {name}}
	}
	code, page := b.post("/claim?lang=de", "same-origin", form("acme", "nord"))
	contains(t, page, "acme/nord ist zugeordnet.")
	if code != 200 || len(c.done) != 1 || c.done[0] != "claim P10H-KJQ7-87M1 acme/nord" {
		t.Errorf("%d, the desk has done %q", code, c.done)
	}
	for _, tt := range []struct {
		err                error
		tenant, name, want string
	}{
		{nil, "acme", "*", "Kleinbuchstaben"}, {nil, "", "nord", "Kleinbuchstaben"},
		{dashboard.ErrCode, "acme", "nord", "Keine wartende Box"}, {dashboard.ErrTaken, "acme", "nord", "andere Box"},
	} {
		c.err, c.done = tt.err, nil
		code, page := b.post("/claim?lang=de", "same-origin", form(tt.tenant, tt.name))
		contains(t, page, tt.want)
		if code != http.StatusUnprocessableEntity || !strings.Contains(page, `role="alert"`) || (len(c.done) > 0) != (tt.err != nil) {
			t.Errorf("%+v: %d, done %q", tt, code, c.done)
		}
	}
	if code, _ := b.post("/claim", "cross-site", form("acme", "nord")); code != http.StatusForbidden {
		t.Errorf("a foreign page claims: %d", code)
	}
}

// Without the key the pages say what to type where it is, and do nothing.
func TestWithoutDesk(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	b.take("acme", "nord", report("Nord"))
	_, page := b.get("/boxes/acme/nord?lang=en")
	contains(t, page, "sprechprobe-fleet command acme/nord check")
	_, page = b.get("/claim?lang=en&code=P10H-KJQ7-87M1")
	contains(t, page, "sprechprobe-fleet claim P10H-KJQ7-87M1 --tenant T --name N")
	for _, path := range []string{"/boxes/acme/nord/commands", "/claim"} {
		if code, _ := b.post(path, "same-origin", url.Values{"name": {"check"}}); code != http.StatusConflict {
			t.Errorf("POST %s: %d", path, code)
		}
	}
}

// The release request says what the box's own page would, to print and as text.
func TestRequest(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	r := broken(report("Praxis Nord"))
	b.take("acme", "nord", r)
	_, page := b.get("/boxes/acme/nord/request?lang=de")
	contains(t, page, "Freigabeanforderung", "turn.demo.test", "nur ausgehend")
	_, plain := b.get("/boxes/acme/nord/request?lang=de&format=text")
	if !strings.Contains(plain, "turn.demo.test") || strings.Contains(plain, "<") {
		t.Errorf("as text: %s", plain)
	}
}

// Charts have units, gaps where nothing was measured, and the same as a table; the
// log says what began and ended.
func TestChartsAndLog(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	measured := func(rtt float64) agent.Report {
		r := report("Nord")
		r.Evidence = append(r.Evidence, agent.See(agent.ProbeSTUN, agent.Target{Host: "s.example"}, agent.Answered, "").With(agent.RTT, rtt),
			agent.See(agent.ProbeBandwidth, agent.Target{Host: "s.example"}, agent.Answered, "").With(agent.DownRate, 48.5e6).With(agent.UpRate, 9e6))
		return r
	}
	for i := range 60 { // five hours, of which one is missing
		if b.now = start.Add(timeOf(i)); i >= 24 && i < 36 {
			continue
		}
		r := measured(20 + float64(i%3))
		if i >= 48 {
			bad := broken(report("Nord"))
			r.Verdict, r.Findings, r.Evidence = bad.Verdict, bad.Findings, append(bad.Evidence, r.Evidence...)
		}
		r.Stamp.At = b.now
		b.take("acme", "nord", r)
	}
	_, page := b.get("/boxes/acme/nord?lang=de")
	contains(t, page, "Antwortzeit (ms)", "Mittel 21, kleinster 20, größter 22", "Durchsatz (Mbit/s)", "Mittel 48,5", "Paketverlust (%) In diesem Zeitraum wurde das nicht gemessen.",
		"keine Meldungen", "bereit → nicht bereit", "neu: udp-all-block", "Zeiten in UTC.")
	if n := strings.Count(pathOf(t, page), "h.1"); n != 2 {
		t.Errorf("the line has %d parts, want 2 with a gap between them", n)
	}
	for _, r := range []string{"7d", "30d", "nonsense"} {
		if code, page := b.get("/boxes/acme/nord?lang=en&range=" + r); code != 200 || !strings.Contains(page, `class="line"`) {
			t.Errorf("range %s: %d, or no line", r, code)
		}
	}
	checkMarkup(t, "box", page)
}

// pathOf is the first line of the chart of response times.
func pathOf(t *testing.T, page string) string {
	t.Helper()
	_, after, ok := strings.Cut(page, `<path class="line" d="`)
	if !ok {
		t.Fatal("no line")
	}
	path, _, _ := strings.Cut(after, `"`)
	return path
}

func timeOf(i int) time.Duration { return time.Duration(i) * 5 * time.Minute }

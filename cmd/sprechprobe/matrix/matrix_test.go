package matrix

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/probe/ipv6"
	"github.com/sprechprobe/sprechprobe/agent/profile"
)

// row is one line of the matrix.
type row struct {
	id, what string
	profile  string                      // webprax where empty
	inject   func(s *scene)              // breaks something; nil: nothing is broken
	look     func(s *scene) agent.Report // how the box looks; nil: one check
	// record turns a healthy round's evidence into what the box would see, where
	// the fault itself cannot be injected; unable says why not.
	record func([]agent.Evidence) []agent.Evidence
	unable string

	want    string // "code" or "code:cause", by blanks; the cause is practice's where none is named
	notes   string // findings that are only worth knowing, in the same form
	verdict agent.Verdict
	caps    string      // direct, relay, group: o ok, l limited, n no, ? unknown, - not offered, * any
	hd      agent.State // where it is harmed
	report  agent.State // how it stands with the reports, where that is harmed
	light   light.State // where the verdict alone does not say it
	// asks are the lines of the release request, "UDP 3478 coturn.webprax.de", and
	// once they are followed the practice is well.
	asks []string
	also []string // further addresses that the box may ask
}

// The environment of the processes that the tests start.
const (
	programVar = "SPRECHPROBE_MATRIX_PROGRAM" // the built program
	resultsVar = "SPRECHPROBE_MATRIX_RESULTS" // directory for what came out
	repeatsVar = "SPRECHPROBE_MATRIX_REPEATS" // how often each row without a fault runs
	loadVar    = "SPRECHPROBE_MATRIX_LOAD"    // how many cores are kept busy
)

func TestMain(m *testing.M) {
	if os.Getenv(programVar) != "" { // a process that a test has started
		burn()
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "matrix")
	if err == nil {
		err = os.Setenv(resultsVar, dir)
	}
	if err == nil {
		err = build(filepath.Join(dir, "sprechprobe"))
	}
	code := 1
	if err == nil {
		code = m.Run()
		tell(dir)
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func build(path string) error {
	out, err := exec.Command("go", "build", "-o", path, "github.com/sprechprobe/sprechprobe/cmd/sprechprobe").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return os.Setenv(programVar, path)
}

// burn keeps cores busy, where that is asked for.
func burn() {
	n, _ := strconv.Atoi(os.Getenv(loadVar))
	for range n {
		go func() {
			for x := uint64(1); ; x = x*6364136223846793005 + 1 {
				_ = x
			}
		}()
	}
}

// scene is a practice with a row's fault in it.
type scene struct {
	*practice.Practice
	t       *testing.T
	row     row
	undoing []func()
	state   string // the box's directory for what outlives it
}

// later undoes an injection when the row has been played.
func (s *scene) later(undo func()) { s.undoing = append(s.undoing, undo) }

func (s *scene) undo() {
	for _, f := range slices.Backward(s.undoing) {
		f()
	}
	s.undoing = nil
	s.Router.ForgetConnections()
}

// block is a rule of the practice's firewall.
func (s *scene) block(match, verdict string) { s.later(s.Router.Block(match, verdict).Remove) }

// config is a configuration file for the row's profile.
func (s *scene) config(more string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "sprechprobe.toml")
	text := fmt.Sprintf("profiles = [%q]\nstate_dir = %q\n[spool]\ndir = %q\n[box]\nid = \"matrix\"\ntenant = \"praxis\"\n[lights]\ndriver = \"none\"\n%s", s.profile(), s.state, filepath.Join(s.state, "spool"), more)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *scene) profile() string {
	if s.row.profile == "" {
		return "webprax"
	}
	return s.row.profile
}

// check lets the box look once.
func (s *scene) check() agent.Report { return s.checkWith("") }

func (s *scene) checkWith(config string) agent.Report {
	s.t.Helper()
	return s.read(s.Run(exec.Command(os.Getenv(programVar), "check", "--format", "json", "--config", s.config(config))))
}

// read is the report that a check has written.
func (s *scene) read(res practice.Result) (r agent.Report) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(res.Out), &r); err != nil {
		s.t.Fatalf("check said %q, %q: %v", res.Out, res.Err, err)
	}
	return r
}

// play runs rows in one practice, in the process that has it.
func play(t *testing.T, plan practice.Plan, rows []row) {
	for _, tool := range []string{"nft:nftables", "tc:iproute2", "ip:iproute2", "dnsmasq:dnsmasq-base", "turnserver:coturn"} {
		name, debian, _ := strings.Cut(tool, ":")
		lab.Program(t, name, debian)
	}
	t.Parallel()
	if !lab.Inside(t) {
		return
	}
	p := practice.New(t, plan)
	for _, r := range rows {
		for i := range repeats(r) {
			t.Run(fmt.Sprintf("%s %s %d", r.id, r.what, i), func(t *testing.T) { playOne(t, p, r) })
		}
	}
}

// repeats is how often a row is played: one without a fault as often as asked for.
func repeats(r row) int {
	n, _ := strconv.Atoi(os.Getenv(repeatsVar))
	if n < 1 || r.verdict != agent.Ready {
		return 1
	}
	return n
}

func playOne(t *testing.T, p *practice.Practice, r row) {
	s, got, class := stage(t, p, r)
	defer func() { s.undo() }()
	for range again(class) {
		t.Logf("LOAD? %s: got\n%s", class, told(got))
		s.undo()
		if s, got, class = stage(t, p, r); class != right {
			break
		}
	}
	note(t, r, class, got)
	if class != right {
		t.Errorf("%s: got\n%s\nwant\n%s", class, told(got), wanted(r))
		for _, e := range got.Evidence {
			t.Log(advice.Proof(e, advice.English), e.Values)
		}
	}
	s.strays()
	if r.asks != nil {
		s.follow(got)
	}
}

// stage injects a row's fault and lets the box look.
func stage(t *testing.T, p *practice.Practice, r row) (s *scene, got agent.Report, class string) {
	t.Helper()
	s = &scene{Practice: p, t: t, row: r, state: t.TempDir()}
	if r.inject != nil {
		r.inject(s)
	}
	p.Router.Forget()
	look := r.look
	if look == nil {
		look = (*scene).check
	}
	got = look(s)
	if r.record != nil {
		got = judged(got, s.profiles(), r.record)
	}
	return s, got, classify(r, got)
}

// again is how often a row that came out wrong has to be right after that: among
// all other tests this machine is at times too busy to look. "make lab", which has
// it for itself, takes every play as it comes.
func again(class string) int {
	if class == right || os.Getenv(repeatsVar) != "" || os.Getenv(loadVar) != "" {
		return 0
	}
	return 2
}

func (s *scene) profiles() []agent.Profile {
	return slices.DeleteFunc(profile.Builtin(), func(p agent.Profile) bool { return p.Name != s.profile() })
}

// judged judges recorded evidence, seen twice.
func judged(r agent.Report, ps []agent.Profile, record func([]agent.Evidence) []agent.Evidence) agent.Report {
	var b assess.Book
	es := record(slices.Clone(r.Evidence))
	b.Add(es, es)
	j := assess.Assess(assess.Policy{Profiles: ps}, &b, nil, time.Now())
	r.Verdict, r.Capabilities, r.Findings, r.Evidence, r.Profiles = j.Verdict, j.Capabilities, j.Findings, j.Evidence, j.Profiles
	return r
}

// How a row came out.
const (
	right      = "right"
	wrongCause = "wrong cause"
	wrongHarm  = "wrong harm"
	missed     = "missed"
	falseAlarm = "false alarm"
)

func classify(r row, got agent.Report) string {
	want, have := expected(r.want), found(got, false)
	switch {
	case len(want) == 0 && len(have) > 0, r.verdict == agent.Ready && got.Verdict > agent.Ready:
		return falseAlarm
	case len(want) > 0 && len(have) == 0:
		return missed
	case !slices.Equal(want, have):
		return wrongCause
	case got.Verdict != r.verdict, !like(r.caps, caps(got)), offersHD(got) && got.Capabilities[agent.HD] < r.hd,
		got.Capabilities[agent.Reporting] < r.report, light.Of(got).State != r.lights():
		return wrongHarm
	}
	for _, n := range expected(r.notes) {
		if !slices.Contains(found(got, true), n) {
			return missed
		}
	}
	return right
}

// lights is what the box is to show.
func (r row) lights() light.State {
	if r.light != light.Starting {
		return r.light
	}
	return map[agent.Verdict]light.State{
		agent.Ready: light.Ready, agent.VerdictLimited: light.Limited, agent.Blocked: light.Blocked,
		agent.Offline: light.NoInternet, agent.VerdictUnknown: light.Unknown,
	}[r.verdict]
}

func offersHD(r agent.Report) bool {
	_, ok := r.Profiles[0].Capabilities[agent.HD]
	return ok
}

// expected reads codes and causes.
func expected(words string) []string {
	out := []string{}
	for _, w := range strings.Fields(words) {
		if !strings.Contains(w, ":") {
			w += ":practice"
		}
		out = append(out, w)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// found are the findings of a report, those that harm or those only worth knowing.
func found(r agent.Report, info bool) []string {
	out := []string{}
	for _, f := range r.Findings {
		if (f.Severity == agent.Info) == info {
			out = append(out, fmt.Sprintf("%s:%s", f.Code, f.Cause))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func caps(r agent.Report) string {
	var b strings.Builder
	for _, k := range []agent.Capability{agent.Direct, agent.Relay, agent.Group} {
		s, ok := r.Profiles[0].Capabilities[k]
		if !ok {
			b.WriteByte('-')
			continue
		}
		b.WriteByte("?oln"[s])
	}
	return b.String()
}

// like reports whether capabilities are as wanted; a star wants nothing.
func like(want, got string) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != '*' && want[i] != got[i] {
			return false
		}
	}
	return true
}

func told(r agent.Report) string {
	return fmt.Sprintf("%s, %s, light %s: %v, worth knowing %v", r.Verdict, caps(r), light.Of(r), found(r, false), found(r, true))
}

func wanted(r row) string {
	return fmt.Sprintf("%s, %s, light %s: %v, worth knowing %v", r.verdict, r.caps, r.lights(), expected(r.want), expected(r.notes))
}

// strays fails if anything left the box for an address that it has no business
// with: only the profile's targets, the gateway and the resolver, which it is.
func (s *scene) strays() {
	gateway6 := practice.LAN6.Addr().Next()
	allowed := map[netip.Addr]bool{practice.Gateway: true, gateway6: true}
	for _, a := range append([]netip.Addr{internet.WebAddr, internet.TURNAddr, internet.TURNOther, internet.MeetAddr, internet.STUNAddr,
		internet.ReportAddr}, internet.NATSAddrs[:]...) {
		allowed[a], allowed[internet.V6(a)], allowed[ipv6.Synthesize(practice.NAT64, a)] = true, true, true
	}
	for _, a := range s.row.also {
		allowed[netip.MustParseAddr(a)] = true
	}
	for _, f := range s.Router.Seen() {
		if a := f.To.Addr(); !allowed[a] && !a.IsMulticast() && !a.IsLinkLocalUnicast() {
			s.t.Errorf("%d packets went to %s over %s", f.Packets, f.To, f.Protocol)
		}
	}
}

// note keeps what came out for the table.
func note(t *testing.T, r row, class string, got agent.Report) {
	t.Helper()
	line, err := json.Marshal(outcome{r.id, r.what, class, told(got), got.TookMS, r.unable})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(os.Getenv(resultsVar), "results"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

// outcome is one line of the results.
type outcome struct {
	ID, What, Class, Told string
	TookMS                int64
	Unable                string
}

// tell prints the matrix and how often the box was right.
func tell(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "results"))
	if err != nil {
		return // nothing was played
	}
	var all []outcome
	for line := range strings.Lines(string(b)) {
		var o outcome
		if json.Unmarshal([]byte(line), &o) == nil {
			all = append(all, o)
		}
	}
	slices.SortStableFunc(all, func(a, b outcome) int { return strings.Compare(a.ID, b.ID) })
	count := map[string]map[string]int{}
	slowest := int64(0)
	for _, o := range all {
		recorded := ""
		if o.Unable != "" {
			recorded = " (recorded: " + o.Unable + ")"
		}
		fmt.Printf("%-4s %-11s %6d ms  %s: %s%s\n", o.ID, o.Class, o.TookMS, o.What, o.Told, recorded)
		if count[o.ID[:1]] == nil {
			count[o.ID[:1]] = map[string]int{}
		}
		count[o.ID[:1]][o.Class]++
		slowest = max(slowest, o.TookMS)
	}
	fmt.Printf("\n%-6s %6s %12s %11s %7s %12s\n", "rows", right, wrongCause, wrongHarm, missed, falseAlarm)
	for _, kind := range []string{"N", "D", "X", "P"} {
		c := count[kind]
		fmt.Printf("%-6s %6d %12d %11d %7d %12d\n", kind, c[right], c[wrongCause], c[wrongHarm], c[missed], c[falseAlarm])
	}
	fmt.Printf("slowest round %d ms\n", slowest)
}

// box runs ip on the box itself.
func (s *scene) box(lines string) { lab.Batch(s.t, "", lines) }

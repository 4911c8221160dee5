package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/farends"
)

// practice is a real box that runs in a network of its own, a video service that
// works, and a vendor.
type practice struct {
	t       *testing.T
	dir     string
	program string
	config  string
	env     []string
	keys    []string // flags of the vendor's commands
	page    string
	bus     string
	ends    *farends.Service
	box     *exec.Cmd
}

// furnish gives the box a cable, an address and a router that does nothing.
func furnish(t *testing.T) {
	t.Helper()
	lab.IP(t, `link set lo up
netns add router
link add eth0 type veth peer name lan netns router
address add 198.18.5.2/24 dev eth0
link set eth0 up`)
	lab.Batch(t, "router", "address add 198.18.5.1/24 dev lan\nlink set lan up")
	lab.IP(t, "route add default via 198.18.5.1")
}

// newPractice furnishes one. more says how the vendor serves, where its keys are in a
// directory.
func newPractice(t *testing.T, more func(keys string) []string) *practice {
	t.Helper()
	furnish(t)
	p := &practice{t: t, dir: t.TempDir()}
	p.program = filepath.Join(p.dir, "sprechprobe")
	if out, err := exec.Command("go", "build", "-o", p.program, "../sprechprobe").CombinedOutput(); err != nil {
		t.Fatalf("build the box: %v\n%s", err, out)
	}
	keys, conf := filepath.Join(p.dir, "keys"), filepath.Join(p.dir, "conf")
	said := must(t, "nats-config", "embedded", "--out", conf, "--listen", "127.0.0.1:-1", "--keys", keys)
	vendorKey := regexp.MustCompile(`"(O[A-Z2-7]{55})"`).FindStringSubmatch(said)[1]
	var stop func() int
	p.page, p.bus, stop = serving(t, append(more(keys), "--nats-config", filepath.Join(conf, "nats.conf"), "--data", filepath.Join(p.dir, "bus"))...)
	t.Cleanup(func() { stop() })
	p.keys = []string{"--keys", keys, "--nats", p.bus}

	ends, err := farends.Start()
	if err != nil {
		t.Fatal(err)
	}
	p.ends = ends
	t.Cleanup(func() { _ = ends.Close() })
	profiles := filepath.Join(p.dir, "profiles")
	if err := os.Mkdir(profiles, 0o700); err != nil {
		t.Fatal(err)
	}
	ca, err := ends.WriteProfile(profiles)
	if err != nil {
		t.Fatal(err)
	}
	p.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "RUNTIME_DIRECTORY=" + p.dir, "SSL_CERT_FILE=" + ca}
	p.config = filepath.Join(p.dir, "box.toml")
	text := fmt.Sprintf(`profiles = [%q]
profile_dir = %q
state_dir = %q
[network]
resolvers = [%q]
[schedule]
every = "60s"
[central]
servers = [%q]
vendor_keys = [%q]
grants = []
[lights]
driver = "terminal"
`, farends.ProfileName, profiles, filepath.Join(p.dir, "state"), ends.Resolver(), p.bus, vendorKey)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// start runs the box; it ends with the test at the latest.
func (p *practice) start() {
	p.t.Helper()
	out, err := os.OpenFile(filepath.Join(p.dir, "box.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	p.box = exec.Command(p.program, "run", "--config", p.config)
	p.box.Env, p.box.Stdout, p.box.Stderr = p.env, out, out
	p.box.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.box.Start(); err != nil {
		p.t.Fatal(err)
	}
	box := p.box
	p.t.Cleanup(func() {
		_ = box.Process.Kill()
		_ = box.Wait()
		if p.t.Failed() {
			p.t.Logf("the box said:\n%s", p.log())
		}
	})
}

func (p *practice) log() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "box.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// fleet runs a command of the vendor's.
func (p *practice) fleet(args ...string) string {
	p.t.Helper()
	return must(p.t, append(args, p.keys...)...)
}

// who is what the box says of itself.
func (p *practice) who() (w struct{ Key, Code, State, Tenant, Name string }) {
	p.t.Helper()
	cmd := exec.Command(p.program, "identity", "--config", p.config, "--format", "json")
	cmd.Env = p.env
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &w)
	}
	if err != nil {
		p.t.Logf("identity: %v", err)
	}
	return w
}

// report is the newest one that the box has kept.
func (p *practice) report() agent.Report {
	b, err := os.ReadFile(filepath.Join(p.dir, "report.json"))
	if err != nil {
		return agent.Report{}
	}
	r, err := fleet.Decode(b)
	if err != nil {
		p.t.Error(err)
	}
	return r
}

func (p *practice) look() { _ = p.box.Process.Signal(syscall.SIGUSR1) }

// finds waits until the box's report has a finding.
func (p *practice) finds(c agent.Code, want bool) {
	p.t.Helper()
	until(p.t, fmt.Sprintf("finding %s: %v", c, want), func() bool {
		r := p.report()
		if r.Schema == "" {
			return false
		}
		has := slices.ContainsFunc(r.Findings, func(f agent.Finding) bool { return f.Code == c })
		if has != want {
			p.look()
		}
		return has == want
	})
}

// A real box and a real vendor, from the first start on: it blinks that it belongs to
// nobody, is claimed by its code, obeys, takes settings and refuses bad ones, says
// when it was revoked, is claimed again, and drops its settings after ten quick
// restarts.
func TestRealBoxAndVendor(t *testing.T) {
	t.Parallel() // it has a network of its own, and waits most of the time
	if !lab.Inside(t) {
		return
	}
	p := newPractice(t, func(keys string) []string { return []string{"--keys", filepath.Join(keys, "serve")} })
	p.start()
	until(t, "the lamps say that it belongs to nobody", func() bool { return strings.Contains(p.log(), "(unclaimed)") })
	who := p.who()
	if who.State != "unclaimed" || fleet.CheckBoxKey(who.Key) != nil || who.Code != fleet.Code(who.Key) {
		t.Fatalf("identity says %+v", who)
	}
	until(t, "it sees that all is well all the same", func() bool { return p.report().Verdict == agent.Ready })
	if state := p.report().Capabilities[agent.Reporting]; state != agent.Unknown {
		t.Errorf("reporting is %s on an unclaimed box, want unknown", state)
	}
	until(t, "the box waits to be claimed", func() bool { return strings.Contains(p.fleet("boxes"), who.Code) })
	until(t, "the page shows its code", func() bool { return strings.Contains(fetch(t, p.page), who.Code) })
	p.fleet("claim", who.Code, "--tenant", "acme", "--name", "nord")
	until(t, "the box has its grant", func() bool { return p.who().State == "claimed" })
	until(t, "the box reports under its name", func() bool { return strings.Contains(fetch(t, p.page+"?lang=en"), "acme") })
	until(t, "the lamps say that all is well", func() bool { return strings.Contains(p.log(), "(ready)") })
	if w := p.who(); w.Tenant != "acme" || w.Name != "nord" || w.Key != who.Key {
		t.Errorf("identity says %+v", w)
	}
	p.finds(agent.CentralAuth, false)
	until(t, "the page does not show its code any more", func() bool { return !strings.Contains(fetch(t, p.page), who.Code) })
	until(t, "its reports bear a time that can be believed, by the vendor's clock if by no other", func() bool {
		p.look()
		return p.report().Stamp.Clock == agent.ClockSet
	})

	p.commands()
	p.assignments()
	p.revocation()
	p.restarts()
}

func (p *practice) commands() {
	p.fleet("command", "acme/nord", "identify")
	until(p.t, "the lamps show which box it is", func() bool { return strings.Contains(p.log(), "(identify)") })
	p.fleet("command", "acme/nord", "check")
	until(p.t, "the report tells of the command", func() bool {
		return slices.ContainsFunc(p.report().Commands, func(n agent.CommandNote) bool { return n.Name == fleet.Check && n.Answer == "accepted" })
	})
	var done fleet.Done
	if err := json.Unmarshal([]byte(p.fleet("command", "acme/nord", "last")), &done); err != nil || done.Report == nil || done.Report.Box.ID != "nord" {
		p.t.Errorf("last: %+v, %v", done, err)
	}
	// What nobody has signed is not even answered, and is told.
	centre := p.join()
	if m, err := centre.Request(fleet.Address{Tenant: "acme", Box: "nord"}.Command(fleet.Check), []byte(`{"name":"check"}`), patience/10); err == nil {
		p.t.Errorf("an unsigned command is answered: %q", m.Data)
	}
	p.look()
	until(p.t, "the report tells of the unsigned command", func() bool {
		p.look()
		return slices.ContainsFunc(p.report().Commands, func(n agent.CommandNote) bool { return n.Name == "" && n.Answer == "unsigned" })
	})
}

// join joins the bus as the vendor.
func (p *practice) join() *nats.Conn {
	p.t.Helper()
	nc, err := nats.Connect(p.bus, nats.UserCredentials(filepath.Join(p.dir, "keys", "serve", "fleet.creds")))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(nc.Close)
	return nc
}

func (p *practice) settings(what string, ok func(agent.Settings) bool) {
	p.t.Helper()
	until(p.t, what, func() bool {
		r := p.report()
		if r.Settings != nil && ok(*r.Settings) {
			return true
		}
		p.look()
		return false
	})
}

func (p *practice) assignments() {
	p.fleet("assign", "acme/nord", "--every", "5m")
	var version uint64
	p.settings("the box reports its version", func(s agent.Settings) bool { version = s.Version; return s.Version > 0 && s.Why == "" })

	js, err := jetstream.New(p.join())
	if err != nil {
		p.t.Fatal(err)
	}
	kv, err := js.KeyValue(p.t.Context(), fleet.Assignments)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := kv.PutString(p.t.Context(), "acme.nord", `{"tenant":"acme","box":"nord","version":99,"every_s":60}`); err != nil {
		p.t.Fatal(err)
	}
	p.settings("the box refuses what nobody signed", func(s agent.Settings) bool { return s.Version == version && s.Why != "" })
	if !slices.ContainsFunc(p.report().Evidence, func(e agent.Evidence) bool {
		return e.Probe == agent.ProbeAssignment && e.Reason == agent.NotAccepted
	}) {
		p.t.Errorf("no evidence of the refusal in %+v", p.report().Evidence)
	}
	if _, err := kv.PutString(p.t.Context(), "acme.nord", ""); err != nil {
		p.t.Fatal(err)
	}
}

func (p *practice) revocation() {
	p.fleet("revoke", "acme/nord")
	p.finds(agent.CentralAuth, true)
	until(p.t, "identity says that it was refused", func() bool { return p.who().State == "refused" })
	if r := p.report(); r.Verdict != agent.Ready {
		p.t.Errorf("verdict %s: that the vendor does not want its reports changes nothing for the practice", r.Verdict)
	}
	code := p.who().Code
	until(p.t, "the box asks to be claimed again", func() bool { return strings.Contains(p.fleet("boxes"), "(waits)") })
	p.fleet("claim", code, "--tenant", "acme", "--name", "sued")
	until(p.t, "the box has another name", func() bool { w := p.who(); return w.State == "claimed" && w.Name == "sued" })
	p.finds(agent.CentralAuth, false)
}

func (p *practice) restarts() {
	p.fleet("assign", "acme/sued", "--every", "4m")
	p.settings("the box takes settings", func(s agent.Settings) bool { return s.Version > 0 })
	version := p.report().Settings.Version
	for range 12 {
		_ = p.box.Process.Kill() // as if it fell over
		_ = p.box.Wait()
		before := strings.Count(p.log(), "lights: ")
		p.start()
		until(p.t, "the box starts", func() bool { return strings.Count(p.log(), "lights: ") > before })
	}
	p.settings("the settings are dropped", func(s agent.Settings) bool { return s.Version == 0 && s.Refused == version })
	p.fleet("assign", "acme/sued", "--every", "3m")
	p.settings("newer settings are taken", func(s agent.Settings) bool { return s.Version > version })
}

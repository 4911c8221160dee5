package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// text collects what a process writes while it runs.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) has(words ...string) bool {
	s := x.String()
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// manager is a service manager's end of sd_notify.
func manager(t *testing.T, dir string) (path string, said *text) {
	t.Helper()
	path, said = filepath.Join(dir, "notify"), &text{}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			fmt.Fprintf(said, "%s\n", b[:n])
		}
	}()
	return path, said
}

// bus is the vendor's NATS server with its stream of reports.
func bus(t *testing.T) (url string, reports func() []agent.Report) {
	t.Helper()
	s, reports := newBus(t, nil)
	return s.ClientURL(), reports
}

func newBus(t *testing.T, edit func(*server.Options), opts ...nats.Option) (*server.Server, func() []agent.Report) {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	if edit != nil {
		edit(o)
	}
	s, err := server.NewServer(o)
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("bus is not ready")
	}
	nc, err := nats.Connect(s.ClientURL(), append(opts, nats.InProcessServer(s))...)
	must(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(t, err)
	st, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: fleet.Stream, Subjects: []string{fleet.Reports}, Storage: jetstream.MemoryStorage})
	must(t, err)
	return s, func() []agent.Report {
		info, err := st.Info(t.Context())
		must(t, err)
		var out []agent.Report
		for i := uint64(1); i <= info.State.LastSeq; i++ {
			m, err := st.GetMsg(t.Context(), i)
			must(t, err)
			r, err := fleet.Decode(m.Data)
			must(t, err)
			out = append(out, r)
		}
		return out
	}
}

// daemon is a running box.
type daemon struct {
	cmd      *exec.Cmd
	out, log *text
	ended    chan error
}

func (v *vendor) run(t *testing.T, env ...string) *daemon {
	t.Helper()
	return v.runBy(t, nil, env...)
}

// runBy runs a box that another program starts and then becomes.
func (v *vendor) runBy(t *testing.T, starter []string, env ...string) *daemon {
	t.Helper()
	words := append(starter, build(t), "run", "--config", v.config)
	d := &daemon{cmd: exec.Command(words[0], words[1:]...), out: &text{}, log: &text{}, ended: make(chan error, 1)}
	d.cmd.Env = append(append(os.Environ(), "SSL_CERT_FILE="+v.caFile, "RUNTIME_DIRECTORY="+v.dir), env...)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.log
	must(t, d.cmd.Start())
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	return d
}

func (d *daemon) signal(t *testing.T, s os.Signal) {
	t.Helper()
	must(t, d.cmd.Process.Signal(s))
}

// configure adds lines to the box's configuration.
func (v *vendor) configure(t *testing.T, old, new string) {
	t.Helper()
	b, err := os.ReadFile(v.config)
	must(t, err)
	must(t, os.WriteFile(v.config, bytes.Replace(b, []byte(old), []byte(new), 1), 0o644))
}

func TestRun(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	url, reports := bus(t)
	notify, said := manager(t, v.dir)
	v.configure(t, "[box]\n", "[box]\ntenant = \"acme\"\n")
	v.configure(t, "driver = \"none\"", "driver = \"terminal\"\n[central]\nservers = [\""+url+"\"]\n[schedule]\nevery = \"24h\"")
	d := v.run(t, "NOTIFY_SOCKET="+notify, "WATCHDOG_USEC=600000")
	last := func() agent.Report {
		all := reports()
		if len(all) == 0 {
			return agent.Report{}
		}
		return all[len(all)-1]
	}

	until(t, "the first report", func() bool { return len(reports()) > 0 })
	if r := last(); r.Verdict != agent.Ready || r.Trigger != agent.OnStart || r.Tenant != "acme" || r.Box.ID != "box-1" || r.Seq != 1 {
		t.Errorf("first report: %s %s of %s/%s, number %d", r.Verdict, r.Trigger, r.Tenant, r.Box.ID, r.Seq)
	}
	until(t, "lights, service manager and watchdog", func() bool {
		return d.out.has("(ready)") && said.has("READY=1", "STATUS=ready", "WATCHDOG=1")
	})

	must(t, v.coturn.Process.Kill())
	until(t, "coturn is gone", func() bool { return !answersSTUN(coturnAddr, plainPort) })
	d.signal(t, syscall.SIGUSR1)
	until(t, "the outage on the subject", func() bool { return last().Verdict == agent.Blocked })
	until(t, "the outage on the lights and in the log", func() bool {
		return d.out.has("(blocked)") && d.log.has("verdict=blocked", "code=turn-server") && said.has("STATUS=blocked")
	})
	if r := last(); r.Trigger != agent.OnCommand || r.Capabilities[agent.Reporting] != agent.OK {
		t.Errorf("report: trigger %s, reporting %s", r.Trigger, r.Capabilities[agent.Reporting])
	}

	v.configure(t, "[schedule]", "[schedul]")
	d.signal(t, syscall.SIGHUP)
	until(t, "a bad configuration is refused by file and line", func() bool { return d.log.has("old one stays", v.config+":") })
	d.signal(t, syscall.SIGUSR1)
	n := len(reports())
	until(t, "the old configuration goes on", func() bool { return len(reports()) > n })

	v.configure(t, "[schedul]", "[schedule]")
	v.configure(t, "name = \"Praxis Nord\"", "name = \"Praxis Süd\"")
	d.signal(t, syscall.SIGHUP)
	until(t, "a good configuration is taken over", func() bool { return last().Box.Name == "Praxis Süd" })
	if d.out.has("(gone)") || strings.Count(d.out.String(), "(starting)") > 1 {
		t.Errorf("the lights were given up for a new configuration that has the same:\n%s", d.out)
	}
	d.signal(t, syscall.SIGUSR2)
	until(t, "the lights show which box this is", func() bool { return d.out.has("(identify)") })
	if r := last(); r.Seq <= 2 {
		t.Errorf("number %d after a reload: numbers of one run must not begin again", r.Seq)
	}

	if r := v.box(t, []string{build(t)}, "request", "--config", v.config); r.code != 0 || r.errOut != "" {
		t.Errorf("request beside a running box: exit %d, %q; want the box's own report", r.code, r.errOut)
	}

	d.signal(t, syscall.SIGTERM)
	if err := <-d.ended; err != nil {
		t.Errorf("ended with %v\n%s", err, d.log)
	}
	if !d.out.has("(gone)") {
		t.Errorf("the lights do not show that the program is gone:\n%s", d.out)
	}
	until(t, "the service manager hears of the end", func() bool { return said.has("STOPPING=1") })
}

// A box whose vendor refuses it goes on, and says so.
func TestRunRefusedByVendor(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "vendor", Password: "secret", NoSigs: true, NoLog: true})
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("bus is not ready")
	}
	v.configure(t, "[box]\n", "[box]\ntenant = \"acme\"\n")
	v.configure(t, "driver = \"none\"", "driver = \"terminal\"\n[central]\nservers = [\""+s.ClientURL()+"\"]\n[schedule]\nevery = \"10s\"")
	d := v.run(t)
	until(t, "the lights say that nobody hears, and the verdict stays", func() bool { return d.out.has("(ready+u)") })
	d.signal(t, syscall.SIGTERM)
	if err := <-d.ended; err != nil {
		t.Errorf("ended with %v\n%s", err, d.log)
	}
}

// A configuration that changes in the middle of a round takes over after it: the
// report is not lost, and the watchdog goes on being fed.
func TestReloadDuringARound(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	url, reports := bus(t)
	notify, said := manager(t, v.dir)
	mute, err := net.ListenPacket("udp", "127.0.0.1:0") // a resolver that never answers makes the round long
	must(t, err)
	defer mute.Close()
	v.configure(t, v.names.String(), mute.LocalAddr().String())
	v.configure(t, "[box]\n", "[box]\ntenant = \"acme\"\n")
	v.configure(t, "driver = \"none\"", "driver = \"none\"\n[central]\nservers = [\""+url+"\"]\n[schedule]\nevery = \"24h\"")
	d := v.run(t, "NOTIFY_SOCKET="+notify, "WATCHDOG_USEC=600000")
	_, _, err = mute.ReadFrom(make([]byte, 512))
	must(t, err)
	d.signal(t, syscall.SIGHUP)
	until(t, "a second report", func() bool { return len(reports()) >= 2 })
	if r := reports()[0]; r.Seq != 1 {
		t.Errorf("first report has number %d, want that of the round under way", r.Seq)
	}
	_, after, ok := strings.Cut(said.String(), "RELOADING=1")
	during, _, done := strings.Cut(after, "READY=1")
	if !ok || !done || !strings.Contains(after, "MONOTONIC_USEC=") || !strings.Contains(during, "WATCHDOG=1") {
		t.Errorf("the service manager heard %q, want a reload with the watchdog fed", said)
	}
}

// A connection to the vendor that is lost during a round has failed once: nothing
// is said before it has failed twice.
func TestVendorLostDuringARound(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	s, reports := newBus(t, nil)
	mute, err := net.ListenPacket("udp", "127.0.0.1:0") // the first resolver never answers: each round takes a second
	must(t, err)
	defer mute.Close()
	v.configure(t, "\""+v.names.String()+"\"", "\""+mute.LocalAddr().String()+"\", \""+v.names.String()+"\"")
	v.configure(t, "[box]\n", "[box]\ntenant = \"acme\"\n")
	v.configure(t, "driver = \"none\"", "driver = \"none\"\n[central]\nservers = [\""+s.ClientURL()+"\"]\n[schedule]\nevery = \"24h\"")
	d := v.run(t)
	asked := make(chan struct{}, 1000)
	go func() {
		for b := make([]byte, 512); ; asked <- struct{}{} {
			if _, _, err := mute.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	report := func() (r agent.Report) {
		b, _ := os.ReadFile(filepath.Join(v.dir, "report.json"))
		_ = json.Unmarshal(b, &r)
		return r
	}
	until(t, "a report", func() bool { return len(reports()) == 1 && report().Seq == 1 })
	before := len(asked)
	d.signal(t, syscall.SIGUSR1)
	until(t, "another round", func() bool { return len(asked) > before })
	s.Shutdown()
	until(t, "its report", func() bool { return report().Seq == 2 })
	if r := report(); len(r.Findings) > 0 {
		t.Errorf("one look was enough for %v", r.Findings)
	}
	d.signal(t, syscall.SIGUSR1)
	until(t, "the outage once it has lasted", func() bool {
		r := report()
		return r.Seq == 3 && len(r.Findings) == 1 && r.Findings[0].Code == agent.CentralDown
	})
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

// loadOf names the size of the fleet for TestLoad: a number of boxes.
const loadOf = "SPRECHPROBE_LOAD"

// load is one run of a fleet's program under the reports of many boxes.
type load struct {
	boxes  int
	burst  int           // rounds of all boxes, on top of the first one
	rate   float64       // of the burst, reports a second
	every  time.Duration // between two reports of a box, later
	steady time.Duration // how long they go on at that pace
}

// A fleet that reports and bursts is taken whole: no report is lost, each page is
// served, a change is seen by a page that is open, and whoever kills the program finds
// all of it again.
func TestFleetReportsAndBursts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	load{boxes: 2000, burst: 3, rate: 3000, every: 20 * time.Second, steady: 5 * time.Second}.run(t)
}

// TestLoad is the same at full size, for its figures: 20 times the pace of the fleet for
// more than a minute, then ten minutes at its pace. It wants a machine of its own.
func TestLoad(t *testing.T) {
	boxes, err := strconv.Atoi(os.Getenv(loadOf))
	if err != nil {
		t.Skip("LEFT OUT: the load of a large fleet, which takes a quarter of an hour; " + loadOf + "=100000 names its size")
	}
	l := load{boxes: boxes, burst: 5, every: 5 * time.Minute, steady: 10 * time.Minute}
	l.rate = 20 * float64(boxes) / l.every.Seconds()
	if s, err := time.ParseDuration(os.Getenv(loadOf + "_STEADY")); err == nil {
		l.steady = s
	}
	l.run(t)
}

func (l load) run(t *testing.T) {
	s := startLoad(t, l.boxes)
	_, took := s.simulate("--burst", strconv.Itoa(l.boxes))
	s.settle()
	s.sent += l.boxes
	t.Logf("%d boxes made known in %.1f s", l.boxes, took.Seconds())

	s.forget()
	l.bursts(s)
	burst := s.peak()
	s.bare() // makes the bus remember what it has long handed out
	s.forget()
	l.goesOn(s)

	s.settle()
	s.whole()
	t.Logf("memory: at most %d MB in the burst, %d MB later", burst>>20, s.peak()>>20)
	began := time.Now()
	s.kill()
	died := time.Now()
	s.start()
	t.Logf("ready %.1f s after it was started again (kill -9 took %.1f s)", time.Since(died).Seconds(), died.Sub(began).Seconds())
	s.whole()
}

// bursts sends at 20 times the usual pace.
func (l load) bursts(s *loaded) {
	most, stop := s.watchBacklog()
	n := l.burst * l.boxes
	used := s.cpu()
	own, took := s.simulate("--skip", "1", "--burst", strconv.Itoa(n), "--rate", fmt.Sprint(l.rate))
	stop()
	began := time.Now()
	s.settle()
	s.sent += n
	s.took = s.cpu() - used
	s.perReport = float64(s.took.Microseconds()) / float64(n)
	s.Logf("burst: %d reports at %.0f/s (wanted %.0f/s); backlog at most %d, which is %.1f s, and %.1f s after the last one none; processor a report: serve %.0f us, simulate %.0f us",
		n, float64(n)/took.Seconds(), l.rate, most(), float64(most())/l.rate, time.Since(began).Seconds(), s.perReport, float64(own.Microseconds())/float64(n))
}

// bare takes the same reports from the bus and forgets them.
func (s *loaded) bare() {
	js := s.jetstream()
	c, err := js.CreateConsumer(s.Context(), fleet.Stream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 20000})
	if err != nil {
		s.Fatal(err)
	}
	server, here, began := s.cpu(), ownCPU(), time.Now()
	n := 0
	for n < s.sent {
		got, err := c.Fetch(2000, jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			s.Fatal(err)
		}
		before := n
		for m := range got.Messages() {
			n++
			if err := m.Ack(); err != nil {
				s.Fatal(err)
			}
		}
		if n == before {
			s.Fatalf("the bus has %d reports of %d: %v", n, s.sent, got.Error())
		}
	}
	took := time.Since(began)
	each := float64((s.cpu() - server + ownCPU() - here).Microseconds()) / float64(n)
	s.Logf("bare: the same bus hands out and forgets %.0f reports/s at %.0f us of processor each; serve does all of its work in %.1f times that",
		float64(n)/took.Seconds(), each, s.perReport/each)
	if err := js.DeleteConsumer(s.Context(), fleet.Stream, c.CachedInfo().Name); err != nil {
		s.Fatal(err)
	}
}

// goesOn lets the fleet report at its pace, while somebody looks at the overview each
// second, and another page is open on which changes are awaited.
func (l load) goesOn(s *loaded) {
	ctx, stop := context.WithCancel(s.Context())
	var pages, changes times
	var both sync.WaitGroup
	both.Go(func() { s.look(ctx, &pages) })
	both.Go(func() { s.change(ctx, &changes) })
	most, done := s.watchBacklog()
	used := s.cpu()
	_, took := s.simulate("--skip", strconv.Itoa(1+l.burst), "--every", l.every.String(), "--for", l.steady.String())
	used = s.cpu() - used
	done()
	stop()
	both.Wait()
	s.sent += int(int64(l.boxes) * int64(l.steady) / int64(l.every))
	s.Logf("steady: %v at %.0f/s, %.0f %% of a core; backlog at most %d", took.Round(time.Second), float64(l.boxes)/l.every.Seconds(),
		100*used.Seconds()/took.Seconds(), most())
	s.Logf("steady: first byte of the overview %v; change until seen by an open page %v", &pages, &changes)
	if len(pages.all) == 0 || len(changes.all) == 0 {
		s.Errorf("%d pages and %d changes were seen", len(pages.all), len(changes.all))
	}
}

// loaded is a fleet's program under load.
type loaded struct {
	*testing.T
	program, dir, nets string
	boxes, sent        int
	took               time.Duration
	perReport          float64 // processor time, microseconds

	serve     *exec.Cmd
	page, bus string
	calls     int // reports of the box that changes
}

func startLoad(t *testing.T, boxes int) *loaded {
	t.Helper()
	s := &loaded{T: t, dir: t.TempDir(), boxes: boxes}
	s.program, s.nets = filepath.Join(s.dir, "sprechprobe-fleet"), filepath.Join(s.dir, "networks.csv")
	if out, err := exec.Command("go", "build", "-o", s.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.WriteFile(s.nets, []byte(simulate.New(simulate.Config{Boxes: 1, ISPs: 40}).Networks()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.start()
	return s
}

// start starts the program and waits until it says that it is ready.
func (s *loaded) start() {
	s.Helper()
	s.serve = exec.Command(s.program, "serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data", filepath.Join(s.dir, "data"), "--networks", s.nets,
		"--access", filepath.Join(s.dir, "access"))
	s.serve.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := s.serve.StderrPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := s.serve.Start(); err != nil {
		s.Fatal(err)
	}
	lines := bufio.NewReader(said)
	where := regexp.MustCompile(`dashboard=(\S+) bus=(\S+)`)
	for {
		line, err := lines.ReadString('\n')
		if m := where.FindStringSubmatch(line); m != nil {
			s.page, s.bus = m[1], m[2]
			break
		}
		if err != nil {
			s.Fatalf("serve: %v", err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	s.wait("health", func() error {
		resp, err := http.Get(s.page + "healthz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

func (s *loaded) kill() {
	if s.serve == nil || s.serve.Process == nil || s.serve.ProcessState != nil {
		return
	}
	_ = s.serve.Process.Kill()
	_ = s.serve.Wait()
}

// wait waits for something that takes its time on a busy machine.
func (s *loaded) wait(what string, ok func() error) {
	s.Helper()
	var err error
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); <-tick.C {
		if err = ok(); err == nil {
			return
		}
	}
	s.Fatalf("%s: %v", what, err)
}

// simulate runs the fleet that there is not, and returns the processor time that it
// took, and the time.
func (s *loaded) simulate(args ...string) (used, took time.Duration) {
	s.Helper()
	c := exec.Command(s.program, append([]string{"simulate", strconv.Itoa(s.boxes), "--nats", s.bus}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 0 not, in ") {
		s.Fatalf("simulate %q: %v\n%s", args, err, out)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), time.Since(began)
}

func (s *loaded) jetstream() jetstream.JetStream {
	s.Helper()
	nc, err := nats.Connect(s.bus)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.Fatal(err)
	}
	return js
}

func backlog(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	c, err := js.Consumer(ctx, fleet.Stream, hub.Ingester)
	if err != nil {
		return 0, err
	}
	return c.CachedInfo().NumPending + uint64(c.CachedInfo().NumAckPending), nil
}

// settle waits until all reports are in the history.
func (s *loaded) settle() {
	s.Helper()
	js := s.jetstream()
	s.wait("history", func() error {
		n, err := backlog(s.Context(), js)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d reports wait", n)
		}
		return err
	})
}

// watchBacklog looks four times a second how many reports are not in the history.
func (s *loaded) watchBacklog() (most func() uint64, stop func()) {
	js := s.jetstream()
	ctx, cancel := context.WithCancel(s.Context())
	var seen uint64
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if n, err := backlog(ctx, js); err == nil {
				seen = max(seen, n)
			}
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); done.Wait() }) }
	return func() uint64 { stop(); return seen }, stop
}

// whole finds every report that was sent in the history, once.
func (s *loaded) whole() {
	s.Helper()
	db, err := history.Open(s.Context(), filepath.Join(s.dir, "data", "history.db"), history.Config{})
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	boxes, reports := 0, 0
	for page := 1; ; page++ {
		all, err := db.List(s.Context(), history.Query{Sort: history.ByName, Size: 1000, Page: page})
		if err != nil {
			s.Fatal(err)
		}
		for _, b := range all {
			boxes++
			reports += int(b.Reports)
		}
		if len(all) == 0 {
			break
		}
	}
	extra := 0 // the box that changes
	if s.calls > 0 {
		extra = 1
	}
	if boxes != s.boxes+extra || reports != s.sent+s.calls {
		s.Errorf("the history has %d reports of %d boxes, want %d of %d", reports, boxes, s.sent+s.calls, s.boxes+extra)
	}
}

// look asks for the overview each second.
func (s *loaded) look(ctx context.Context, took *times) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var first time.Time
		began := time.Now()
		trace := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { first = time.Now() }})
		req, err := http.NewRequestWithContext(trace, http.MethodGet, s.page+"?lang=en", nil)
		if err != nil {
			s.Error(err)
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if ctx.Err() != nil {
			return
		}
		if err != nil || resp.StatusCode != http.StatusOK {
			s.Errorf("overview: %v %v", resp, err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		took.add(first.Sub(began))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// change lets one box, whose row is the first one, report another name every few
// seconds, and waits until a page that is open has it.
func (s *loaded) change(ctx context.Context, took *times) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.page+"events?lang=en", nil)
	if err != nil {
		s.Error(err)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Error(err)
		return
	}
	defer resp.Body.Close()
	seen := make(chan string)
	go func() {
		defer close(seen)
		names := regexp.MustCompile(`Change \d+\.`)
		for r := bufio.NewReader(resp.Body); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			for _, name := range names.FindAllString(line, -1) {
				select {
				case seen <- name:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	js := s.jetstream()
	for {
		s.calls++
		name := fmt.Sprintf("Change %d.", s.calls)
		began := time.Now()
		if err := publish(context.WithoutCancel(ctx), js, name, uint64(s.calls)); err != nil {
			s.Error(err)
			return
		}
		for got := range seen {
			if got == name {
				took.add(time.Since(began))
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(700+137*(s.calls%7)) * time.Millisecond): // at any moment of whatever beats
		}
	}
}

func publish(ctx context.Context, js jetstream.JetStream, name string, seq uint64) error {
	r := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: "box", Name: name}, Tenant: "aaa", Seq: seq, Trigger: agent.OnCommand, Verdict: agent.Blocked,
		Stamp:    agent.Stamp{At: time.Now().UTC(), Clock: agent.ClockSet, UptimeS: float64(seq)},
		Findings: []agent.Finding{{Code: agent.LinkDown, Severity: agent.Critical, Cause: agent.CausePractice, Evidence: []int{}}}}
	body, err := fleet.Encode(r)
	if err != nil {
		return err
	}
	subject, err := fleet.ReportSubject(r.Tenant, r.Box.ID)
	if err != nil {
		return err
	}
	m := nats.NewMsg(subject)
	m.Header.Set(fleet.HeaderBoot, "boot")
	m.Data = body
	ask, done := context.WithTimeout(ctx, 30*time.Second)
	defer done()
	_, err = js.PublishMsg(ask, m)
	return err
}

// times are how long something took, each time. Only one adds to them.
type times struct{ all []time.Duration }

func (t *times) add(d time.Duration) { t.all = append(t.all, d) }

func (t *times) String() string {
	if len(t.all) == 0 {
		return "never"
	}
	slices.Sort(t.all)
	at := func(share float64) float64 {
		return t.all[int(math.Ceil(share*float64(len(t.all))))-1].Seconds() * 1000
	}
	return fmt.Sprintf("median %.0f ms, p99 %.0f ms, max %.0f ms (%d times)", at(0.5), at(0.99), at(1), len(t.all))
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpu is the processor time of serve (proc_pid_stat(5), fields 14 and 15).
func (s *loaded) cpu() time.Duration {
	s.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.serve.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	user, errU := strconv.Atoi(fields[11])
	system, errS := strconv.Atoi(fields[12])
	if errU != nil || errS != nil {
		s.Fatalf("stat: %s", b)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// forget lets peak count from now on (clear_refs of proc_pid_clear_refs(5)).
func (s *loaded) forget() {
	s.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.serve.Process.Pid), []byte("5"), 0); err != nil {
		s.Logf("memory is counted from the start: %v", err)
	}
}

// peak is the most memory that serve had, bytes (VmHWM of proc_pid_status(5)).
func (s *loaded) peak() int64 {
	s.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.serve.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return kb << 10
}

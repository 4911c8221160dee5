// Package demo shows the whole product on one machine, with nothing but
// loopback: the vendor's bus and dashboard, a video service whose faults can be
// switched on by keys, and the real program of the box as a child process. It
// judges nothing: what it shows is what the box and the dashboard say.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/farends"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/ingest"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// Config says how to run the demonstration.
type Config struct {
	Box    string // the box's program; empty: see [FindBox]
	Listen string // of the dashboard
	Lang   advice.Lang
	In     *os.File // keys, where it is a terminal
	Out    io.Writer
	Log    *slog.Logger
}

// The demonstration's one box.
const (
	tenant  = "demo"
	boxID   = "praxis-nord-1"
	boxName = "Praxis Nord, Empfang"
)

var boxKey = registry.Key{Tenant: tenant, Box: boxID}

// stage is everything that runs.
type stage struct {
	conf  Config
	dir   string
	hub   *hub.Hub
	db    *history.DB
	reg   *registry.Registry
	ends  *farends.Service
	url   string // of the dashboard
	moved string // why the dashboard is not where it was wanted
	box   *child

	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// build starts everything. Close ends it, also after an error.
func build(ctx context.Context, c Config) (_ *stage, err error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &stage{conf: c, cancel: cancel}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "sprechprobe-demo-"); err != nil {
		return nil, err
	}
	steps := []func(context.Context) error{s.openHub, s.openDashboard, s.openEnds, s.openBox}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close ends everything and removes its files.
func (s *stage) Close() error {
	var errs []error
	if s.box != nil {
		s.box.stop()
	}
	s.cancel()
	s.tasks.Wait()
	if s.ends != nil {
		errs = append(errs, s.ends.Close())
	}
	if s.hub != nil {
		s.hub.Close()
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

func (s *stage) openHub(ctx context.Context) (err error) {
	s.hub, err = hub.Open(ctx, hub.Config{Listen: "127.0.0.1:0", Data: filepath.Join(s.dir, "bus"), MaxBytes: 64 << 20, Log: s.conf.Log})
	if err != nil {
		return err
	}
	if s.db, err = history.Open(ctx, filepath.Join(s.dir, "history.db"), history.Config{}); err != nil {
		return err
	}
	in := ingest.New(s.db, s.conf.Log)
	s.tasks.Go(func() { s.hub.Ingest(ctx, in.Take) })
	s.tasks.Go(func() { s.silence(ctx) })
	s.reg = registry.New(registry.Config{Log: s.conf.Log})
	s.tasks.Go(func() {
		s.hub.Follow(ctx, func(m hub.Message) { s.reg.Take(m.Subject, m.Boot, m.Payload, m.At) })
	})
	s.tasks.Go(func() {
		if err := s.hub.Listen(ctx, func(m hub.Message) { s.reg.Hear(m.Subject, m.Boot, m.Payload, m.At) }); err != nil {
			s.conf.Log.Warn("beats are not heard", "err", err)
		}
	})
	s.tasks.Go(func() { s.reg.Run(ctx) })
	return nil
}

// silence marks the box where it should have spoken, until ctx ends.
func (s *stage) silence(ctx context.Context) {
	const every = 2 * time.Second
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := s.db.Silence(ctx); err != nil && ctx.Err() == nil {
			s.conf.Log.Warn("a silent box is not marked", "err", err)
		}
	}
}

func (s *stage) openDashboard(ctx context.Context) error {
	ln, moved, err := listen(s.conf.Listen)
	if err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	page, err := dashboard.New(dashboard.Config{History: s.db, Registry: s.reg, Bus: s.hub.Connected, Log: s.conf.Log})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	s.url, s.moved = "http://"+ln.Addr().String()+"/", moved
	s.tasks.Go(func() {
		if err := page.Serve(ctx, ln); err != nil {
			s.conf.Log.Error("dashboard", "err", err)
		}
	})
	return nil
}

// listen opens an address, or the next port that is free, and says so.
func listen(at string) (ln net.Listener, moved string, err error) {
	ln, err = net.Listen("tcp", at)
	if err == nil {
		return ln, "", nil
	}
	host, port, perr := net.SplitHostPort(at)
	n, nerr := strconv.Atoi(port)
	if perr != nil || nerr != nil {
		return nil, "", err
	}
	for p := n + 1; p <= min(n+20, 65535); p++ {
		next, nerr := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p)))
		if nerr == nil {
			return next, fmt.Sprintf("%s is taken", at), nil
		}
	}
	return nil, "", err
}

func (s *stage) openEnds(context.Context) (err error) {
	s.ends, err = farends.Start()
	return err
}

func (s *stage) openBox(context.Context) error {
	program, err := FindBox(s.conf.Box)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "box")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	ca, err := s.ends.WriteProfile(dir)
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "config.toml")
	if err := os.WriteFile(file, []byte(s.boxConfig(dir)), 0o600); err != nil {
		return fmt.Errorf("configuration of the box: %w", err)
	}
	s.box, err = startChild(program, []string{"run", "--config", file}, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir,
		"RUNTIME_DIRECTORY=" + s.dir, "SSL_CERT_FILE=" + ca,
	})
	return err
}

// boxConfig is the box's configuration. Every 10 s is the fastest it takes.
func (s *stage) boxConfig(profiles string) string {
	return fmt.Sprintf(`profiles = [%q]
profile_dir = %q
language = %q
[box]
id = %q
name = %q
tenant = %q
[network]
resolvers = [%q]
[schedule]
every = "10s"
[central]
servers = [%q]
[spool]
dir = ""
[lights]
driver = "terminal"
`, farends.ProfileName, profiles, s.conf.Lang, boxID, boxName, tenant, s.ends.Resolver(), s.hub.URL())
}

// FindBox finds the box's program: the named file, or else one beside this
// program, or else in bin below the working directory.
func FindBox(named string) (string, error) {
	var places []string
	if named != "" {
		places = []string{named}
	} else {
		if self, err := os.Executable(); err == nil {
			places = append(places, filepath.Join(filepath.Dir(self), "sprechprobe"))
		}
		places = append(places, filepath.Join("bin", "sprechprobe"))
	}
	for _, p := range places {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return filepath.Abs(p)
		}
	}
	return "", fmt.Errorf("the box's program is not in %s: build it with make build, or name it with --box",
		strings.Join(places, " nor "))
}

// report is the newest report of the box, and whether there is one.
func (s *stage) report() (agent.Report, bool) {
	b, ok := s.reg.Box(boxKey)
	return b.Report, ok && b.Report.Schema != ""
}

// waitFor waits until the box's newest report is as wanted.
func (s *stage) waitFor(ctx context.Context, what string, want func(agent.Report) bool) (agent.Report, error) {
	changes, stop := s.reg.Watch()
	defer stop()
	for {
		r, ok := s.report()
		if ok && want(r) {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, fmt.Errorf("waited for %s: %w (the box says %s)", what, context.Cause(ctx), summary(r, ok))
		case <-s.box.gone:
			return r, s.box.death()
		case <-changes:
		}
	}
}

func summary(r agent.Report, ok bool) string {
	if !ok {
		return "nothing yet"
	}
	out := r.Verdict.String()
	for _, f := range r.Findings {
		out += ", " + string(f.Code)
	}
	return out
}

// fetch reads the dashboard as anybody would.
func (s *stage) fetch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"?lang="+string(s.conf.Lang), nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("dashboard: %w", err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("dashboard: %s, %v", resp.Status, err)
	}
	return string(page), nil
}

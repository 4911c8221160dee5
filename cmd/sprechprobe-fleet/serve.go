package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/beacons"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/incident"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/relaydesk"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/settings"
)

const serveArgs = `[flags]` + portalArgs + `
  --listen ADDR        where the built-in bus listens for boxes (default 127.0.0.1:4222);
                       beyond this machine only with --nats-config
  --data DIR           what the built-in bus keeps (default: the user's state directory)
  --nats-config FILE   a nats-server configuration for the built-in bus, with accounts and TLS
  --nats-account NAME  the account in it that holds the boxes' reports
  --nats URL           use this bus instead of the built-in one
  --creds FILE         our own credentials for the bus
  --ca FILE            certificates to trust for it (default: the system's)
  --keys DIR           what the serving machine has of the vendor's keys: hears the
                       claims of new boxes, and stands for --creds
  --sign DIR           all of the vendor's keys: lets support people claim and command
                       boxes on the pages. Whoever takes over this machine can then, too;
                       without it that is for the command line, on another one
  --beacon-zone ZONE   the domain below which boxes call for help by name look-ups
  --beacon-listen ADDR where to answer for it (default :53)
  --relay-secret FILE  the secret of the TURN servers (coturn's static-auth-secret): boxes
                       that ask get a name and a password made from it
  --relay-time DURATION  how long these are good for (default 10m)
  --max-bytes N        bound of the stream of reports on disk (default 4 GiB)
  --replicas N         copies of the reports in a cluster of three or more (default 1)
  --source DOMAIN      a region with a bus of its own, whose reports come here, too, by
                       its JetStream domain; may be given again
  --max-boxes N        bound of boxes shown (default 200000)` + historyArgs

// serveFlags are the settings of serve.
type serveFlags struct {
	portal   portalFlags
	hub      hub.Config
	maxBoxes int
	keys     string
	sign     string
	zone     string
	zoneAt   string
	kept     historyFlags
	relay    relaydesk.Config
}

func parseServe(args []string) (serveFlags, error) {
	var s serveFlags
	var secret string
	f := flags("serve")
	f.StringVar(&secret, "relay-secret", "", "")
	f.DurationVar(&s.relay.Valid, "relay-time", relaydesk.Usual, "")
	f.StringVar(&s.portal.http, "http", usualHTTP, "")
	f.Var(&s.portal.hosts, "host", "")
	f.StringVar(&s.portal.url, "url", "", "")
	f.StringVar(&s.portal.cert, "tls-cert", "", "")
	f.StringVar(&s.portal.key, "tls-key", "", "")
	f.StringVar(&s.portal.login, "login", "auto", "")
	f.StringVar(&s.portal.dir, "access", "", "")
	f.StringVar(&s.portal.config, "config", "", "")
	f.StringVar(&s.hub.Listen, "listen", "127.0.0.1:4222", "")
	f.StringVar(&s.hub.Data, "data", "", "")
	f.StringVar(&s.hub.ConfigFile, "nats-config", "", "")
	f.StringVar(&s.hub.Account, "nats-account", "", "")
	f.StringVar(&s.hub.URL, "nats", "", "")
	f.StringVar(&s.hub.Creds, "creds", "", "")
	f.StringVar(&s.hub.CA, "ca", "", "")
	f.StringVar(&s.keys, "keys", "", "")
	f.StringVar(&s.sign, "sign", "", "")
	f.StringVar(&s.zone, "beacon-zone", "", "")
	f.StringVar(&s.zoneAt, "beacon-listen", ":53", "")
	s.kept.add(f)
	f.IntVar(&s.hub.Replicas, "replicas", 1, "")
	f.Int64Var(&s.hub.MaxBytes, "max-bytes", hub.DefaultMaxBytes, "")
	f.Var((*list)(&s.hub.Sources), "source", "")
	f.IntVar(&s.maxBoxes, "max-boxes", 200000, "")
	if err := parse(f, args); err != nil {
		return s, err
	}
	set := given(f)
	if s.sign != "" && s.keys == "" {
		s.keys = filepath.Join(s.sign, authority.ServeDir)
	}
	switch {
	case s.hub.URL != "" && (set["listen"] || set["data"] || set["nats-config"] || set["nats-account"]):
		return s, errUsage{errors.New("--nats is another bus: --listen, --data, --nats-config and --nats-account are for the built-in one")}
	case s.hub.ConfigFile != "" && set["listen"]:
		return s, errUsage{errors.New("--nats-config says where to listen, so --listen cannot")}
	case s.hub.ConfigFile == "" && set["nats-account"]:
		return s, errUsage{errors.New("--nats-account is for --nats-config")}
	case s.keys != "" && s.hub.URL == "" && s.hub.ConfigFile == "":
		return s, errUsage{errors.New("--keys and --sign are for a bus that asks who is there: name it by --nats, or its configuration by --nats-config")}
	case s.hub.Replicas < 1 || s.hub.Replicas > 5 || s.hub.Replicas > 1 && s.hub.URL == "" && s.hub.ConfigFile == "":
		return s, errUsage{errors.New("--replicas wants 1 to 5, and a cluster: name it by --nats or --nats-config")}
	case set["beacon-listen"] && s.zone == "":
		return s, errUsage{errors.New("--beacon-listen is for --beacon-zone")}
	case set["relay-time"] && secret == "":
		return s, errUsage{errors.New("--relay-time is for --relay-secret")}
	case s.relay.Valid < relaydesk.Shortest || s.relay.Valid > relaydesk.Longest:
		return s, errUsage{fmt.Errorf("--relay-time wants %v to %v", relaydesk.Shortest, relaydesk.Longest)}
	case s.hub.MaxBytes < 1<<20 || s.maxBoxes < 1:
		return s, errUsage{errors.New("--max-bytes wants at least 1048576, --max-boxes at least 1")}
	}
	if err := s.kept.check(); err != nil {
		return s, err
	}
	if s.keys != "" && s.hub.Creds == "" {
		s.hub.Creds = filepath.Join(s.keys, authority.FleetCreds)
	}
	if err := s.portal.check(); err != nil {
		return s, err
	}
	var err error
	s.relay.Secret, err = relaySecret("--relay-secret", secret)
	return s, err
}

// relaySecret reads the secret of the TURN servers, one line; empty where there is
// no file.
func relaySecret(flag, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	b, err := strict.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if len(secret) < minSecret || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s %s: want one line of at least %d bytes", flag, file, minSecret)
	}
	return secret, nil
}

// minSecret is what a secret must have so that nobody guesses it, bytes.
const minSecret = 16

// serve runs the bus, the registry and the dashboard until ctx ends.
func serve(ctx context.Context, e env, args []string) error {
	f, err := parseServe(args)
	if err != nil {
		return err
	}
	useMemory()
	s := &server{serveFlags: f, log: slog.New(logHandler(e.err))}
	s.health.log = s.log
	defer s.close()
	if err := s.open(ctx, e); err != nil {
		return err
	}
	s.log.Info("serving", "dashboard", s.portal.base(s.ln.Addr())+"/", "bus", s.bus.URL())
	g, ctx := errgroup.WithContext(ctx)
	s.ingest(ctx, g)
	s.answer(ctx, g)
	s.claims(ctx, g)
	if s.web.alerts != nil {
		g.Go(func() error { s.web.alerts.Run(ctx); return nil })
	}
	g.Go(func() error { return s.web.page.Serve(ctx, s.ln) })
	return g.Wait()
}

// server is a fleet's program at work.
type server struct {
	serveFlags
	log     *slog.Logger
	closing []func() // in the order of opening
	own     settings.Settings

	ln       net.Listener
	bus      *hub.Hub
	db       *history.DB
	registry *registry.Registry
	web      *portal
	calls    *beacons.Server // nil: nobody listens for calls for help

	room   waitingRoom
	health health
	known  outages
}

func (s *server) close() {
	for _, f := range slices.Backward(s.closing) {
		f()
	}
}

func (s *server) later(f func() error) { s.closing = append(s.closing, func() { _ = f() }) }

// open opens everything that serving needs, and fails where it cannot.
func (s *server) open(ctx context.Context, e env) (err error) {
	if s.hub.Log = s.log; s.hub.Data == "" && s.hub.URL == "" {
		if s.hub.Data, err = stateDir("bus"); err != nil {
			return err
		}
	}
	if s.portal.config != "" {
		if s.own, err = settings.Read(s.portal.config); err != nil {
			return err
		}
	}
	if s.ln, err = s.portal.listen(); err != nil {
		return err
	}
	s.later(s.ln.Close)
	if s.bus, err = hub.Open(ctx, s.hub); err != nil {
		return err
	}
	s.closing = append(s.closing, s.bus.Close)
	if s.db, err = s.kept.open(ctx, s.hub.Data); err != nil {
		return err
	}
	s.later(s.db.Close)
	s.registry = registry.New(registry.Config{MaxBoxes: s.maxBoxes, Log: s.log})
	if s.web, err = s.openPortal(e.err); err != nil {
		return err
	}
	if s.relay.Secret != "" {
		s.relay.Conn, s.relay.Log = s.bus.Conn(), s.log
		desk, err := relaydesk.Open(s.relay)
		if err != nil {
			return fmt.Errorf("access to relays: %w", err)
		}
		s.closing = append(s.closing, desk.Close)
	}
	if s.zone == "" {
		return nil
	}
	if s.calls, err = beacons.Listen(s.zoneAt, beacons.Config{Zone: s.zone, Heard: showCall(s.registry), Log: s.log}); err != nil {
		return err
	}
	s.log.Info("answering calls for help", "zone", s.zone, "address", s.calls.Addr().String())
	return nil
}

// openPortal opens what people see.
func (s *server) openPortal(console io.Writer) (*portal, error) {
	var desk dashboard.Desk
	if s.sign != "" {
		desk = &signer{keys: keyFlags{keys: s.sign, nats: s.bus.URL(), ca: s.hub.CA}}
	}
	return s.portal.open(s.ln.Addr(), parts{
		registry: s.registry, history: s.db, desk: desk, waiting: s.room.boxes, incidents: s.known.all, settings: s.own, console: console, log: s.log,
		forget: s.forget,
		bus:    func() bool { return s.bus.Connected() && s.health.of(partBus) == nil }, troubles: s.health.troubles,
	})
}

// ingest takes in what boxes say, for as long as ctx lasts.
func (s *server) ingest(ctx context.Context, g *errgroup.Group) {
	reg := s.registry
	g.Go(func() error { keep(ctx, s.bus, s.db, s.health.note, s.log); return nil })
	look := newCorrelator(s.db, reg, &s.known, incident.Watch{Steady: s.own.Steady, Calm: s.own.Calm}, s.log)
	g.Go(func() error { look.run(ctx); return nil })
	g.Go(func() error { s.forgets(ctx); return nil })
	g.Go(func() error { s.bus.Watch(ctx, func(err error) { s.health.note(partBus, err) }); return nil })
	g.Go(func() error {
		restore(ctx, s.db, reg, s.log)
		s.bus.Follow(ctx, func(m hub.Message) { reg.Take(m.Subject, m.Boot, m.Payload, m.At) })
		return nil
	})
	g.Go(func() error {
		return s.bus.Listen(ctx, func(m hub.Message) { reg.Hear(m.Subject, m.Boot, m.Payload, m.At) })
	})
	g.Go(func() error { reg.Run(ctx); return nil })
}

// answer tells boxes what they ask for.
func (s *server) answer(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return s.bus.TellTime(ctx, time.Now) })
	g.Go(func() error { return s.bus.TellOutages(ctx, s.known.of) })
	if s.calls == nil {
		return
	}
	g.Go(func() error { return s.calls.Run(ctx) })
	g.Go(func() error {
		retry(ctx, s.log, "calls for help cannot be told apart", func(ctx context.Context) error { return keepBeacons(ctx, s.bus, s.calls) })
		return nil
	})
}

// claims lets new boxes in.
func (s *server) claims(ctx context.Context, g *errgroup.Group) {
	if s.keys == "" {
		return
	}
	g.Go(func() error {
		retry(ctx, s.log, "claims of new boxes are not heard", func(ctx context.Context) error { return keepDesk(ctx, s.bus, s.keys, s.log) })
		return nil
	})
	g.Go(func() error {
		retry(ctx, s.log, "who waits to be claimed is not known", func(ctx context.Context) error { return s.room.keep(ctx, s.bus) })
		return nil
	})
}

// stateDir is where a program keeps what must outlive it: what systemd gives,
// or the user's own (XDG Base Directory Specification).
func stateDir(what string) (string, error) {
	if d := os.Getenv("STATE_DIRECTORY"); d != "" {
		return filepath.Join(d, what), nil
	}
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "sprechprobe-fleet", what), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for data (name one with --data or --keys): %w", err)
	}
	return filepath.Join(home, ".local", "state", "sprechprobe-fleet", what), nil
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/api"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/metrics"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/settings"
)

// portalFlags say how people and programs reach the pages.
type portalFlags struct {
	http      string
	hosts     list
	url       string
	login     string
	dir       string // of users, sessions, tokens and the audit log
	config    string
	cert, key string
}

const portalArgs = `
  --http ADDR          where the dashboard listens (default 127.0.0.1:8080)
  --host NAME          a name under which the dashboard may be asked for, besides
                       localhost and addresses; may be given again
  --url URL            the address that people type, such as https://fleet.example
  --tls-cert FILE      certificate and key for TLS without a proxy in front
  --tls-key FILE
  --login WHEN         auto, always or never ask who is there (default auto: unless
                       the dashboard can be reached from this machine only)
  --access DIR         who may see what, and the log of who did (default: the user's
                       state directory)
  --config FILE        fleet.toml: OpenID provider, sessions, webhooks`

// usualHTTP is where the dashboard listens.
const usualHTTP = "127.0.0.1:8080"

func (p *portalFlags) check() error {
	switch {
	case !slices.Contains([]string{"auto", "always", "never"}, p.login):
		return errUsage{fmt.Errorf("--login %q: want auto, always or never", p.login)}
	case (p.cert == "") != (p.key == ""):
		return errUsage{errors.New("--tls-cert and --tls-key go together")}
	}
	if p.url == "" {
		return nil
	}
	u, err := url.Parse(p.url)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return errUsage{fmt.Errorf("--url %q: want an address without a path, such as https://fleet.example", p.url)}
	}
	if p.cert != "" && u.Scheme != "https" {
		return errUsage{errors.New("--url starts with https where there is --tls-cert")}
	}
	p.hosts, p.url = append(p.hosts, u.Hostname()), u.Scheme+"://"+u.Host
	return nil
}

// secure reports whether people come by TLS only.
func (p *portalFlags) secure() bool { return p.cert != "" || strings.HasPrefix(p.url, "https:") }

// asks reports whether a login is asked for. A name means that others are to come.
func (p *portalFlags) asks(at net.Addr) bool {
	return p.login == "always" || p.login == "auto" && (!onlyHere(at) || len(p.hosts) > 0)
}

func onlyHere(at net.Addr) bool {
	a, err := netip.ParseAddrPort(at.String())
	return err == nil && a.Addr().IsLoopback()
}

// base is the address that people type, as far as we know it.
func (p *portalFlags) base(at net.Addr) string {
	switch {
	case p.url != "":
		return p.url
	case p.cert != "":
		return "https://" + at.String()
	}
	return "http://" + at.String()
}

// listen opens the dashboard's address.
func (p *portalFlags) listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", p.http)
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	if p.cert == "" {
		return ln, nil
	}
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dashboard: %w", err), ln.Close())
	}
	return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}), nil
}

// accessFiles are in the directory of --access.
const (
	accessFile = "access.json"
	auditFile  = "audit.jsonl"
)

func (p *portalFlags) accessDir() (string, error) {
	if p.dir != "" {
		return p.dir, nil
	}
	return stateDir("access")
}

// gate makes what lets people in, and tells a new vendor on the console how.
func (p *portalFlags) gate(at net.Addr, s settings.Settings, m *metrics.Metrics, console io.Writer, log *slog.Logger) (*access.Gate, *audit.Log, error) {
	dir, err := p.accessDir()
	if err != nil {
		return nil, nil, err
	}
	c := access.Config{Secure: p.secure(), Idle: s.Idle, Absolute: s.Absolute, Log: log, Count: m.Login, Observe: m.Request,
		Audit: audit.Open(filepath.Join(dir, auditFile))}
	if !p.asks(at) {
		if !onlyHere(at) {
			log.Warn("the dashboard asks nobody who they are: put a proxy that does in front of it", "dashboard", at.String())
		}
		g, err := access.New(c)
		return g, c.Audit, err
	}
	store, err := access.OpenFile(filepath.Join(dir, accessFile))
	if err != nil {
		return nil, nil, err
	}
	c.Store = store
	if c.OpenID = s.OpenID; c.OpenID != nil {
		c.OpenID.Redirect = p.base(at) + "/openid/callback"
	}
	if !p.secure() && !onlyHere(at) {
		log.Warn("passwords cross the network in the clear: use --tls-cert, or a proxy and --url https://...", "dashboard", at.String())
	}
	code, err := access.Setup(store, time.Now())
	if err != nil {
		return nil, nil, err
	}
	if code != "" {
		fmt.Fprintf(console, "\nNobody has access yet. Whoever opens this address becomes the administrator:\n\n  %s\n\n", access.Link(p.base(at), code))
	}
	g, err := access.New(c)
	return g, c.Audit, err
}

// portal is everything that is asked by HTTP.
type portal struct {
	page   *dashboard.Server
	alerts *alert.Alerter // nil: there is no webhook
}

// parts are what a portal is made of.
type parts struct {
	registry *registry.Registry
	history  *history.DB
	desk     dashboard.Desk // nil: nothing is signed here
	bus      func() bool
	troubles func() []string // nil: there are none
	settings settings.Settings
	console  io.Writer
	log      *slog.Logger
	now      func() time.Time          // nil: time.Now
	waiting  func() []dashboard.Waiter // nil: nobody waits
	// forget deletes a box; nil: not from here.
	forget func(context.Context, fleet.Address) error
	// incidents are what many boxes have in common; nil: none are known.
	incidents func() []alert.Incident
}

// open makes the portal for a listener at an address.
func (p *portalFlags) open(at net.Addr, of parts) (*portal, error) {
	told := metrics.Config{Fleet: of.registry, Bus: of.bus, Open: func() map[string]int { return alert.Count(of.common()) }}
	out := &portal{}
	told.Waiting = func() int {
		if out.alerts == nil {
			return 0
		}
		return out.alerts.Waiting()
	}
	m := metrics.New(told)
	gate, deeds, err := p.gate(at, of.settings, m, of.console, of.log)
	if err != nil {
		return nil, err
	}
	out.alerts = p.alerts(at, of, m)
	programs, err := api.New(api.Config{Boxes: of.registry, Incidents: of.common, Past: of.history, Audit: deeds, Log: of.log})
	if err != nil {
		return nil, err
	}
	out.page, err = dashboard.New(dashboard.Config{History: of.history, Registry: of.registry, Bus: of.bus, Troubles: of.troubles, Hosts: p.hosts, Log: of.log, Gate: gate, Now: of.now,
		Waiting: of.waiting, Incidents: of.common, Desk: of.desk, Forget: of.forget, Secure: p.secure(), Base: p.url, More: slices.Concat(programs.Routes(), m.Routes())})
	return out, err
}

// common are the incidents that go on.
func (of parts) common() []alert.Incident {
	if of.incidents == nil {
		return nil
	}
	return of.incidents()
}

// alerts makes what tells the webhooks; nil: there is none.
func (p *portalFlags) alerts(at net.Addr, of parts, m *metrics.Metrics) *alert.Alerter {
	if len(of.settings.Webhooks) == 0 {
		return nil
	}
	return alert.New(alert.Config{Boxes: of.registry.Boxes, Incidents: of.common, Bus: of.bus, Webhooks: of.settings.Webhooks, Rules: of.settings.Rules,
		Alone: func(ctx context.Context, do func(context.Context, []byte, func([]byte) error)) {
			of.history.Alone(ctx, "alerts", do)
		},
		Base: p.base(at), Count: m.Delivery, Log: of.log})
}

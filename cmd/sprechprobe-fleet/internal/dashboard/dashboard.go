// Package dashboard is the vendor's pages: the boxes that the reader may see, the
// worst first, and all that is known of one box, live without reloading. It reads the
// history and the registry; it knows no bus and keeps no state but open connections
// and answers of a moment ago.
package dashboard

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

//go:embed assets
var assets embed.FS

// Config says what to show and to whom. History and Registry are needed.
type Config struct {
	History   *history.DB
	Registry  *registry.Registry      // what the bus tells now
	Bus       func() bool             // whether the bus is there; nil: always
	Troubles  func() []string         // what else is the matter, for /healthz; nil: nothing is
	Waiting   func() []Waiter         // boxes to claim, who asked last first; nil: it is not known
	Incidents func() []alert.Incident // outages that go on; nil: none are known
	Desk      Desk                    // claims and commands; nil: not from here
	// Forget deletes a box and all that is kept of it; nil: not from here.
	Forget     func(context.Context, fleet.Address) error
	Zone       *time.Location   // of times on charts; nil: the machine's
	Hosts      []string         // names under which the page may be asked for, besides localhost and addresses
	MaxStreams int              // open pages at a time; default 64
	Now        func() time.Time // default time.Now
	Log        *slog.Logger     // default: discard
	Gate       *access.Gate     // who may see what; default: everybody everything
	More       []access.Route   // routes of others, behind the same gate
	Secure     bool             // the page is reached by TLS only
	Base       string           // the address that people type, for one-time links; empty: as they came
}

// Server serves the page.
type Server struct {
	conf    Config
	pages   pages
	streams chan struct{} // one for each open page
	ending  chan struct{} // closed when open pages must leave
	tasks   sync.WaitGroup
	handler http.Handler

	lists  shared[[]history.Box]
	counts shared[history.Counts]
	kinds  shared[[]history.Facet]
}

// New makes a server.
func New(c Config) (*Server, error) {
	if c.Bus == nil {
		c.Bus = func() bool { return true }
	}
	if c.Waiting == nil {
		c.Waiting = func() []Waiter { return nil }
	}
	if c.Incidents == nil {
		c.Incidents = func() []alert.Incident { return nil }
	}
	if c.Zone == nil {
		c.Zone = time.Local
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = 64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p, err := parsePages()
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	if c.Gate == nil {
		if c.Gate, err = access.New(access.Config{}); err != nil {
			return nil, err
		}
	}
	s := &Server{conf: c, pages: p, streams: make(chan struct{}, c.MaxStreams), ending: make(chan struct{})}
	behind, err := c.Gate.Handler(s.Routes())
	if err != nil {
		return nil, err
	}
	s.handler = s.guard(behind)
	return s, nil
}

// Routes is the table of all routes: who may ask, and what of tenants each tells.
// There are no others.
//
//	GET /                                     the overview (?lang=de|en, ?state=, ?q=, ?page= ...)
//	GET /events                               the same page's changes, as server-sent events
//	GET /boxes/{tenant}/{box}                 one box (?range=24h|7d|30d)
//	GET /boxes/{tenant}/{box}/events          the same page's changes
//	GET /boxes/{tenant}/{box}/request         its release request, to print (?format=text: to mail)
//	POST /boxes/{tenant}/{box}/commands       asks it to do something (name=)
//	GET /boxes/{tenant}/{box}/export          all that is kept of it, as lines of JSON
//	POST /boxes/{tenant}/{box}/delete         forgets it (sure=, its name)
//	GET /incidents                            the outages that there are and were (?from=, ?until= dates)
//	GET /incidents/{id}                       one of them
//	GET /claim, POST /claim                   gives a box to a customer
//	GET /people, POST /people                 who gets in, and changes of it (do=); where a login is asked for
//	GET /account, POST /account/logout        one's own login, and the end of all one's sessions; likewise
//	GET /api/waiting                          boxes that wait to be claimed, as JSON
//	GET /healthz                              200 while all is well, else 503 and what is not
func (s *Server) Routes() []access.Route {
	out := []access.Route{
		{Pattern: "GET /{$}", Role: access.Viewer, Reach: access.Own, Page: true, Handler: s.overview},
		{Pattern: "GET /events", Role: access.Viewer, Reach: access.Own, Handler: s.events},
		{Pattern: "GET /boxes/{tenant}/{box}", Role: access.Viewer, Reach: access.Named, Page: true, Handler: s.box},
		{Pattern: "GET /boxes/{tenant}/{box}/events", Role: access.Viewer, Reach: access.Named, Handler: s.boxEvents},
		{Pattern: "GET /boxes/{tenant}/{box}/request", Role: access.Viewer, Reach: access.Named, Page: true, Handler: s.request},
		{Pattern: "POST /boxes/{tenant}/{box}/commands", Role: access.Support, Reach: access.Named, Handler: s.command},
		{Pattern: "GET /boxes/{tenant}/{box}/export", Role: access.Admin, Reach: access.Named, Page: true, Handler: s.export},
		{Pattern: "POST /boxes/{tenant}/{box}/delete", Role: access.Admin, Reach: access.Named, Handler: s.forget},
		{Pattern: "GET /incidents", Role: access.Viewer, Reach: access.Own, Page: true, Handler: s.incidents},
		{Pattern: "GET /incidents/{id}", Role: access.Viewer, Reach: access.Own, Page: true, Handler: s.incident},
		{Pattern: "GET /claim", Role: access.Support, Reach: access.Fleet, Page: true, Handler: s.claimPage},
		{Pattern: "POST /claim", Role: access.Support, Reach: access.Fleet, Handler: s.claim},
		{Pattern: "GET /api/waiting", Role: access.Support, Reach: access.Fleet, Handler: s.waiters},
		{Pattern: "GET /healthz", Role: access.Anyone, Reach: access.Nothing, Handler: s.health},
		{Pattern: "GET /style.css", Role: access.Anyone, Reach: access.Nothing, Handler: asset("style.css", "text/css; charset=utf-8")},
		{Pattern: "GET /live.js", Role: access.Anyone, Reach: access.Nothing, Handler: asset("live.js", "text/javascript; charset=utf-8")},
		{Pattern: "GET /icon.svg", Role: access.Anyone, Reach: access.Nothing, Handler: asset("icon.svg", "image/svg+xml")},
	}
	if !s.conf.Gate.Open() {
		out = append(out,
			access.Route{Pattern: "GET /people", Role: access.Admin, Reach: access.Fleet, Page: true, Handler: s.people},
			access.Route{Pattern: "POST /people", Role: access.Admin, Reach: access.Fleet, Handler: s.changePeople},
			access.Route{Pattern: "GET /account", Role: access.Viewer, Reach: access.Own, Page: true, Handler: s.account},
			access.Route{Pattern: "POST /account/logout", Role: access.Viewer, Reach: access.Nothing, Handler: s.logoutAll},
		)
	}
	return slices.Concat(out, s.conf.Gate.Routes(), s.conf.More)
}

// Handler answers the routes.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers on ln until ctx ends.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.conf.Log.Handler(), slog.LevelDebug),
		// No WriteTimeout: an open page is written to for days. Each write
		// has a deadline of its own.
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("dashboard: %w", err)
	case <-ctx.Done():
	}
	close(s.ending)
	end, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if srv.Shutdown(end) != nil {
		_ = srv.Close()
	}
	s.tasks.Wait()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("dashboard: %w", err)
	}
	return nil
}

// policy lets the page load nothing that is not ours, and nobody frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// guard refuses foreign names and sets what every answer has. A page elsewhere
// can point its own name at this machine (DNS rebinding) and would then read
// the fleet with its visitor's browser.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		// Not no-referrer: with that, browsers name no origin where a form is sent,
		// and without TLS it is all that tells our own forms from foreign ones.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if s.conf.Secure { // without TLS browsers grumble at these
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		h.Set("Cache-Control", "no-store")
		if !s.ours(r.Host) {
			http.Error(w, "this name is not one of the dashboard's (see --host)", http.StatusMisdirectedRequest)
			return
		}
		if !strings.HasSuffix(r.URL.Path, "/events") {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30 * time.Second))
		}
		next.ServeHTTP(w, r)
	})
}

// ours reports whether a Host header names this server.
func (s *Server) ours(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	return slices.ContainsFunc(s.conf.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	var bad []string
	if s.conf.Troubles != nil {
		bad = s.conf.Troubles()
	}
	if len(bad) == 0 && !s.conf.Bus() {
		bad = []string{"bus"}
	}
	if len(bad) > 0 {
		http.Error(w, "in trouble: "+strings.Join(bad, "; "), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func asset(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		http.ServeFileFS(w, r, assets, "assets/"+name)
	}
}

package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
)

// Reach says what of tenants a route tells.
type Reach string

// The reaches.
const (
	Nothing Reach = "nothing" // nothing of any tenant
	Own     Reach = "own"     // only of tenants that the asker may see: the handler's duty, by [WhoOf]
	Named   Reach = "named"   // of the tenant in its path, {tenant}; who may not see that gets 404
	Fleet   Reach = "fleet"   // of all; only for who may see all tenants
)

// Route is one row of the table of routes.
type Route struct {
	Pattern string // as of [http.ServeMux], with method
	Role    Role   // the least that is needed
	Reach   Reach
	Page    bool // for people: who is not logged in is sent to the login
	Handler http.HandlerFunc
}

// check says what is wrong with a row.
func (r Route) check() error {
	method, path, _ := strings.Cut(r.Pattern, " ")
	named := strings.Contains(path, "{tenant}")
	switch {
	case !strings.HasPrefix(path, "/") || method == "":
		return errors.New("pattern wants a method and a path")
	case r.Handler == nil:
		return errors.New("no handler")
	case r.Role != Anyone && !r.Role.atLeast(Viewer):
		return fmt.Errorf("unknown role %q", r.Role)
	case r.Reach != Nothing && r.Reach != Own && r.Reach != Named && r.Reach != Fleet:
		return fmt.Errorf("unknown reach %q", r.Reach)
	case r.Role == Anyone && r.Reach != Nothing:
		return errors.New("tells of tenants, but asks for no login")
	case named != (r.Reach == Named):
		return fmt.Errorf("reach %q, but path %s", r.Reach, path)
	}
	return nil
}

// Config says how people and programs get in.
type Config struct {
	Store    Store         // nil: no login; everybody may do everything
	Secure   bool          // the pages are reached by TLS only
	OpenID   *Provider     // nil: local passwords only
	Audit    *audit.Log    // nil: logins are not noted
	Idle     time.Duration // default 1 hour
	Absolute time.Duration // default 12 hours
	Now      func() time.Time
	Log      *slog.Logger
	// Count is told of each try to log in: by which method, and its result.
	Count func(m Method, result string)
	// Observe is told of each answer: by which row, its status, and how long it
	// took.
	Observe func(pattern string, status int, took time.Duration)
}

// Gate lets in. It is safe for concurrent use.
type Gate struct {
	conf   Config
	limits *limits
	pages  pages

	mu   sync.Mutex
	used map[string]time.Time // sessions by hash: when they were last used
}

// New makes a gate.
func New(c Config) (*Gate, error) {
	if c.Idle == 0 {
		c.Idle = time.Hour
	}
	if c.Absolute == 0 {
		c.Absolute = 12 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Count == nil {
		c.Count = func(Method, string) {}
	}
	if c.Observe == nil {
		c.Observe = func(string, int, time.Duration) {}
	}
	p, err := parsePages()
	if err != nil {
		return nil, err
	}
	return &Gate{conf: c, limits: newLimits(), pages: p, used: map[string]time.Time{}}, nil
}

// Open reports whether no login is asked for.
func (g *Gate) Open() bool { return g.conf.Store == nil }

// Handler serves the routes, and nothing else. A row that is not whole is an error.
func (g *Gate) Handler(routes []Route) (http.Handler, error) {
	mux := http.NewServeMux()
	for _, r := range routes {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("route %q: %w", r.Pattern, err)
		}
		mux.HandleFunc(r.Pattern, g.guard(r))
	}
	return http.NewCrossOriginProtection().Handler(mux), nil
}

// guard lets pass whom the row allows.
func (g *Gate) guard(r Route) http.HandlerFunc {
	return func(plain http.ResponseWriter, req *http.Request) {
		w := &recorder{plain, http.StatusOK}
		defer func(began time.Time) { g.conf.Observe(r.Pattern, w.status, time.Since(began)) }(time.Now())
		v := visit{gate: g, route: r}
		v.cookie, v.bearer = g.cookie(req), bearer(req)
		who, known := v.who(true)
		if r.Role != Anyone {
			tenant := req.PathValue("tenant")
			switch {
			case !known:
				g.unknown(w, req, r)
				return
			case r.Reach == Named && !who.Sees(tenant):
				NotFound(w) // as if it did not exist
				return
			case !who.is(r.Role), r.Reach == Fleet && !who.May(r.Role, AllTenants), r.Reach == Named && !who.May(r.Role, tenant):
				Refuse(w, http.StatusForbidden, "your role does not allow this")
				return
			}
		}
		r.Handler(w, req.WithContext(context.WithValue(req.Context(), visitKey{}, visited{v, who})))
	}
}

// recorder remembers how a request was answered.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// unknown answers who is not logged in.
func (g *Gate) unknown(w http.ResponseWriter, req *http.Request, r Route) {
	if r.Page && (req.Method == http.MethodGet || req.Method == http.MethodHead) && bearer(req) == "" {
		http.Redirect(w, req, loginURL(req.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="sprechprobe"`)
	Refuse(w, http.StatusUnauthorized, "log in, or bring a token")
}

// NotFound answers where there is nothing, or nothing that the asker may see.
func NotFound(w http.ResponseWriter) {
	Refuse(w, http.StatusNotFound, "there is no such thing here")
}

// Refuse answers no, in the form that programs read.
func Refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{why})
}

// bearer is the token that a request brings (RFC 6750, section 2.1).
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// visit is with what a request came, so that it can be judged again.
type visit struct {
	gate           *Gate
	route          Route
	cookie, bearer string
}

type visited struct {
	visit
	as Who
}

type visitKey struct{}

// who finds who comes. A token that is wrong is not made good by a cookie.
func (v visit) who(use bool) (Who, bool) {
	switch {
	case v.gate.Open():
		return everybody, true
	case v.bearer != "":
		return v.gate.token(v.bearer)
	case v.cookie != "":
		return v.gate.session(v.cookie, use)
	}
	return Who{}, false
}

// WhoOf is who makes a request that came through a gate; else somebody who may see
// nothing.
func WhoOf(ctx context.Context) Who {
	v, _ := ctx.Value(visitKey{}).(visited)
	return v.as
}

// Again is who makes a request that has been under way for a while, such as a
// stream of events, and whether they still may.
func Again(ctx context.Context) (Who, bool) {
	v, ok := ctx.Value(visitKey{}).(visited)
	if !ok {
		return Who{}, false
	}
	who, ok := v.who(false)
	return who, ok && who.is(v.route.Role) && (v.route.Reach != Fleet || who.May(v.route.Role, AllTenants))
}

// Note writes a deed into the audit log, by whoever makes the request. What cannot
// be noted must not be done: the caller has to give up on an error.
func Note(r *http.Request, e audit.Entry) error {
	v, ok := r.Context().Value(visitKey{}).(visited)
	if !ok || v.gate.conf.Audit == nil {
		return nil
	}
	e.Who, e.Method, e.From = v.as.Name, string(v.as.Method), network(remote(r))
	return v.gate.conf.Audit.Add(e)
}

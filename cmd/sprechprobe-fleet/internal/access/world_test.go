package access_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
)

const password = "ein langer Satz ist gut"

// world is a gate with a few routes behind it.
type world struct {
	*testing.T
	store *access.File
	audit *audit.Log
	srv   *httptest.Server

	mu  sync.Mutex
	now time.Time
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func says(what string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who := access.WhoOf(r.Context())
		fmt.Fprintf(w, "%s for %q by %s, sees acme %v, zoo %v", what, who.Name, who.Method, who.Sees("acme"), who.Sees("zoo"))
	}
}

// newWorld makes a gate; alter may change how.
func newWorld(t *testing.T, alter func(*access.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{T: t, now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), audit: audit.Open(filepath.Join(dir, "audit.jsonl"))}
	var err error
	if w.store, err = access.OpenFile(filepath.Join(dir, "access.json")); err != nil {
		t.Fatal(err)
	}
	c := access.Config{Store: w.store, Audit: w.audit, Now: w.time}
	w.srv = httptest.NewUnstartedServer(nil)
	if alter != nil {
		alter(&c)
	}
	g, err := access.New(c)
	if err != nil {
		t.Fatal(err)
	}
	h, err := g.Handler(append(g.Routes(),
		access.Route{Pattern: "GET /{$}", Role: access.Viewer, Reach: access.Own, Page: true, Handler: says("page")},
		access.Route{Pattern: "GET /api", Role: access.Viewer, Reach: access.Own, Handler: says("api")},
		access.Route{Pattern: "GET /of/{tenant}", Role: access.Viewer, Reach: access.Named, Handler: says("tenant")},
		access.Route{Pattern: "POST /do/{tenant}", Role: access.Support, Reach: access.Named, Handler: says("command")},
		access.Route{Pattern: "GET /all", Role: access.Viewer, Reach: access.Fleet, Handler: says("all")},
		access.Route{Pattern: "GET /admin", Role: access.Admin, Reach: access.Fleet, Handler: says("admin")},
		access.Route{Pattern: "GET /again", Role: access.Viewer, Reach: access.Own, Handler: func(rw http.ResponseWriter, r *http.Request) {
			_, still := access.Again(r.Context())
			_ = access.RemoveUser(w.store, access.WhoOf(r.Context()).Name)
			_, after := access.Again(r.Context())
			fmt.Fprint(rw, still, " ", after)
		}},
	))
	if err != nil {
		t.Fatal(err)
	}
	w.srv.Config.Handler = h
	if c.Secure {
		w.srv.StartTLS()
	} else {
		w.srv.Start()
	}
	t.Cleanup(w.srv.Close)
	return w
}

// right is a right as people write it.
func right(t *testing.T, role string, tenants ...string) access.Right {
	t.Helper()
	r, err := access.NewRight(role, tenants)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// browser keeps cookies, and shows redirects instead of following them.
type browser struct {
	*world
	http *http.Client
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	return &browser{w, &http.Client{Jar: jar, Transport: w.srv.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is what a browser got.
type answer struct {
	code int
	body string
	http.Header
}

func (b *browser) do(method, path string, form url.Values, header ...string) answer {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, b.srv.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return answer{resp.StatusCode, string(body), resp.Header}
}

func (b *browser) get(path string, header ...string) answer {
	b.Helper()
	return b.do(http.MethodGet, path, nil, header...)
}

// cookie is the value of the session's cookie; empty: none.
func (b *browser) cookie() string {
	u, err := url.Parse(b.srv.URL)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if strings.HasSuffix(c.Name, "sprechprobe") {
			return c.Value
		}
	}
	return ""
}

// user makes a user with a password.
func (w *world) user(name, role string, tenants ...string) {
	w.Helper()
	code, err := access.AddUser(w.store, name, right(w.T, role, tenants...), w.time())
	if err != nil {
		w.Fatal(err)
	}
	w.browser().welcome(code, "", password, http.StatusSeeOther)
}

func (b *browser) welcome(code, name, pass string, want int) answer {
	b.Helper()
	a := b.do(http.MethodPost, "/welcome", url.Values{"code": {code}, "name": {name}, "password": {pass}, "again": {pass}, "lang": {"en"}})
	if a.code != want {
		b.Fatalf("welcome: %d, want %d: %s", a.code, want, a.body)
	}
	return a
}

func (b *browser) login(name, pass string) answer {
	b.Helper()
	return b.do(http.MethodPost, "/login", url.Values{"name": {name}, "password": {pass}, "lang": {"en"}})
}

// enter logs in a user whom it makes.
func (w *world) enter(name, role string, tenants ...string) *browser {
	w.Helper()
	w.user(name, role, tenants...)
	b := w.browser()
	if a := b.login(name, password); a.code != http.StatusSeeOther {
		w.Fatalf("login of %s: %d %s", name, a.code, a.body)
	}
	return b
}

func (b *browser) wants(path string, code int) answer {
	b.Helper()
	a := b.get(path)
	if a.code != code {
		b.Errorf("GET %s: %d, want %d: %s", path, a.code, code, a.body)
	}
	return a
}

package access_test

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
)

func TestRights(t *testing.T) {
	tests := []struct {
		role    string
		tenants []string
		err     string
	}{
		{"viewer", []string{"acme"}, ""},
		{"support", []string{"acme", "zoo"}, ""},
		{"admin", []string{"*"}, ""},
		{"viewer", []string{"*"}, ""},
		{"admin", []string{"acme"}, "for all tenants"},
		{"viewer", nil, "sees nothing"},
		{"viewer", []string{"A b"}, "no tenant's name"},
		{"viewer", []string{"acme/x"}, "no tenant's name"},
		{"viewer", []string{""}, "no tenant's name"},
		{"anyone", []string{"acme"}, "unknown role"},
		{"", []string{"acme"}, "unknown role"},
	}
	for _, tt := range tests {
		_, err := access.NewRight(tt.role, tt.tenants)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s of %q: %v, want %q", tt.role, tt.tenants, err, tt.err)
		}
	}
	// A role for one tenant is not lent to another one.
	w := access.Who{Rights: []access.Right{right(t, "support", "acme"), right(t, "viewer", "zoo")}}
	for _, tt := range []struct {
		role   access.Role
		tenant string
		want   bool
	}{
		{access.Support, "acme", true}, {access.Viewer, "acme", true}, {access.Viewer, "zoo", true}, {access.Support, "zoo", false},
		{access.Admin, "acme", false}, {access.Viewer, "third", false}, {access.Viewer, access.AllTenants, false}, {access.Viewer, "", false},
		{"", "acme", false}, {"nonsense", "acme", false},
	} {
		if got := w.May(tt.role, tt.tenant); got != tt.want {
			t.Errorf("may %s of %q: %v", tt.role, tt.tenant, got)
		}
	}
	if (access.Who{}).Sees("acme") || (access.Who{}).SeesAll() {
		t.Error("nobody sees something")
	}
}

// Every row says whom it is for; one that does not is not served.
func TestRowsAreWhole(t *testing.T) {
	g, err := access.New(access.Config{})
	if err != nil {
		t.Fatal(err)
	}
	h := says("")
	tests := []struct {
		route access.Route
		err   string
	}{
		{access.Route{Pattern: "GET /", Role: access.Viewer, Reach: access.Own, Handler: h}, ""},
		{access.Route{Pattern: "GET /", Reach: access.Own, Handler: h}, "unknown role"},
		{access.Route{Pattern: "GET /", Role: access.Viewer, Handler: h}, "unknown reach"},
		{access.Route{Pattern: "GET /", Role: access.Anyone, Reach: access.Own, Handler: h}, "asks for no login"},
		{access.Route{Pattern: "GET /{tenant}", Role: access.Viewer, Reach: access.Own, Handler: h}, "but path"},
		{access.Route{Pattern: "GET /x", Role: access.Viewer, Reach: access.Named, Handler: h}, "but path"},
		{access.Route{Pattern: "/x", Role: access.Viewer, Reach: access.Own, Handler: h}, "method"},
		{access.Route{Pattern: "GET /x", Role: access.Viewer, Reach: access.Own}, "no handler"},
	}
	for _, tt := range tests {
		_, err := g.Handler([]access.Route{tt.route})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%+v: %v, want %q", tt.route, err, tt.err)
		}
	}
}

func TestRolesAndTenants(t *testing.T) {
	w := newWorld(t, nil)
	viewer := w.enter("vera", "viewer", "acme")
	support := w.enter("sam", "support", "acme")
	all := w.enter("vic", "viewer", "*")
	admin := w.enter("ada", "admin", "*")
	nobody := w.browser()
	tests := []struct {
		path                                 string
		nobody, viewer, support, all, theAdm int
	}{
		{"/", 303, 200, 200, 200, 200},
		{"/api", 401, 200, 200, 200, 200},
		{"/of/acme", 401, 200, 200, 200, 200},
		{"/of/zoo", 401, 404, 404, 200, 200},
		{"/of/*", 401, 404, 404, 200, 200},
		{"/all", 401, 403, 403, 200, 200},
		{"/admin", 401, 403, 403, 403, 200},
		{"/nothing-here", 404, 404, 404, 404, 404},
	}
	for _, tt := range tests {
		nobody.wants(tt.path, tt.nobody)
		viewer.wants(tt.path, tt.viewer)
		support.wants(tt.path, tt.support)
		all.wants(tt.path, tt.all)
		admin.wants(tt.path, tt.theAdm)
	}
	for b, want := range map[*browser]int{nobody: 401, viewer: 403, support: 200, all: 403, admin: 200} {
		if a := b.do(http.MethodPost, "/do/acme", url.Values{}); a.code != want {
			t.Errorf("command: %d, want %d", a.code, want)
		}
	}
	if a := support.do(http.MethodPost, "/do/zoo", url.Values{}); a.code != 404 {
		t.Errorf("command to a tenant that one may not see: %d, want 404", a.code)
	}
	if a := viewer.get("/"); !strings.Contains(a.body, `for "vera" by password, sees acme true, zoo false`) {
		t.Errorf("the page is %q", a.body)
	}
	if a := nobody.get("/?state=blocked&q=a%26b"); a.Get("Location") != "/login?next="+url.QueryEscape("/?state=blocked&q=a%26b") {
		t.Errorf("sent to %s", a.Get("Location"))
	}
}

// A login starts a new session, whatever cookie came with it, and ends that one.
func TestSessionFixation(t *testing.T) {
	w := newWorld(t, nil)
	w.user("vera", "viewer", "acme")
	b := w.browser()
	u, _ := url.Parse(w.srv.URL)
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "sprechprobe", Value: "planted-by-somebody-else"}})
	b.login("vera", password)
	first := b.cookie()
	if first == "" || first == "planted-by-somebody-else" {
		t.Fatalf("the session is %q", first)
	}
	b.wants("/api", 200)
	b.login("vera", password)
	if b.cookie() == first {
		t.Error("a second login keeps the session")
	}
	thief := w.browser()
	for _, old := range []string{first, "planted-by-somebody-else", "", strings.Repeat("x", 5000)} {
		thief.http.Jar.SetCookies(u, []*http.Cookie{{Name: "sprechprobe", Value: old}})
		thief.wants("/api", 401)
	}
	st, err := w.store.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st.Sessions {
		if s.Hash == b.cookie() {
			t.Error("the store holds a session as the browser has it")
		}
	}
	current := b.cookie()
	if a := b.do(http.MethodPost, "/logout", url.Values{}); a.code != 303 || b.cookie() != "" {
		t.Errorf("logout: %d, cookie %q", a.code, b.cookie())
	}
	thief.http.Jar.SetCookies(u, []*http.Cookie{{Name: "sprechprobe", Value: current}})
	thief.wants("/api", 401)
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld(t, nil)
	idle := w.enter("vera", "viewer", "acme")
	busy := w.enter("sam", "support", "acme")
	for range 11 {
		w.pass(59 * time.Minute)
		busy.wants("/api", 200)
	}
	idle.wants("/api", 401)
	w.pass(59 * time.Minute)
	w.pass(13 * time.Minute)
	busy.wants("/api", 401) // after 12 hours in any case

	// Used sessions outlive the program.
	b := w.browser()
	b.login("vera", password)
	w.pass(50 * time.Minute)
	b.wants("/api", 200)
	w.pass(50 * time.Minute)
	g, err := access.New(access.Config{Store: w.store, Now: w.time})
	if err != nil {
		t.Fatal(err)
	}
	if w.srv.Config.Handler, err = g.Handler([]access.Route{{Pattern: "GET /api", Role: access.Viewer, Reach: access.Own, Handler: says("api")}}); err != nil {
		t.Fatal(err)
	}
	b.wants("/api", 200)
}

// What an administrator changes holds at once, also for who is logged in.
func TestChangesHoldAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	vera := w.enter("vera", "viewer", "acme")
	sam := w.enter("sam", "viewer", "acme")
	vic := w.enter("vic", "viewer", "acme")
	if err := w.store.Update(func(s *access.State) error {
		for i := range s.Users {
			if s.Users[i].Name == "vera" {
				s.Users[i].Right = right(t, "viewer", "zoo")
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	vera.wants("/of/acme", 404)
	vera.wants("/of/zoo", 200)
	if err := access.RemoveUser(w.store, "sam"); err != nil {
		t.Fatal(err)
	}
	sam.wants("/api", 401)
	if _, err := access.AddUser(w.store, "sam", right(t, "viewer", "acme"), w.time()); err != nil {
		t.Fatal(err)
	}
	sam.wants("/api", 401) // another sam
	if _, err := access.ResetUser(w.store, "vera", w.time()); err != nil {
		t.Fatal(err)
	}
	vera.wants("/api", 401)
	if a := w.browser().login("vera", password); a.code != 401 {
		t.Errorf("the old password after a reset: %d", a.code)
	}
	if a := vic.get("/again"); a.body != "true false" {
		t.Errorf("a request under way, before and after its user was removed: %s", a.body)
	}
	if err := access.RemoveUser(w.store, "nobody"); !errors.Is(err, access.ErrNone) {
		t.Errorf("removing nobody: %v", err)
	}
}

func TestFirstAdmin(t *testing.T) {
	w := newWorld(t, nil)
	void, err := access.Setup(w.store, w.time())
	if err != nil || void == "" {
		t.Fatal(void, err)
	}
	code, err := access.Setup(w.store, w.time())
	if err != nil || code == "" {
		t.Fatal(code, err)
	}
	b := w.browser()
	b.welcome(void, "eve", password, 404)
	b.welcome("", "eve", password, 404)
	b.wants("/welcome?code="+void, 404)
	if a := b.wants("/welcome?code="+code, 200); !strings.Contains(a.body, `name="name"`) {
		t.Errorf("no name is asked for: %s", a.body)
	}
	for _, bad := range []struct{ name, password, says string }{
		{"ada", "short", "too short"}, {"ada", strings.Repeat("a", 20), "easily guessed"}, {"ada-lovelace-1", "Ada-Lovelace-1", "easily guessed"},
		{"a d a", password, "1 to 64"}, {"ada", strings.Repeat("langer Satz ", 60), "too long"},
	} {
		if a := b.welcome(code, bad.name, bad.password, 422); !strings.Contains(a.body, bad.says) {
			t.Errorf("%s: %s", bad.says, a.body)
		}
	}
	b.welcome(code, "Ada", password, 303)
	b.wants("/admin", 200)
	w.browser().welcome(code, "eve", password, 404)
	if code, err := access.Setup(w.store, w.time()); code != "" || err != nil {
		t.Errorf("a second set-up: %q, %v", code, err)
	}
	late, err := access.AddUser(w.store, "late", right(t, "viewer", "acme"), w.time())
	if err != nil {
		t.Fatal(err)
	}
	w.pass(73 * time.Hour)
	w.browser().welcome(late, "", password, 404)
}

func TestLoginIsLimited(t *testing.T) {
	w := newWorld(t, nil)
	w.user("vera", "viewer", "acme")
	b := w.browser()
	var codes []int
	for range 12 {
		codes = append(codes, b.login("vera", "wrong wrong wrong").code)
	}
	if codes[0] != 401 || codes[11] != 429 {
		t.Fatalf("twelve wrong passwords: %v", codes)
	}
	if a := b.login("vera", password); a.code != 429 || a.Get("Retry-After") == "" {
		t.Errorf("the right one after them: %d", a.code)
	}
	// Others in other networks get in, and so does she after a while.
	other := w.browser()
	if a := other.do(http.MethodPost, "/login", url.Values{"name": {"vera"}, "password": {password}}, "X-Forwarded-For", "192.0.2.1"); a.code != 303 {
		t.Errorf("from elsewhere: %d", a.code)
	}
	w.pass(time.Minute)
	if a := b.login("vera", password); a.code != 303 {
		t.Errorf("a minute later: %d", a.code)
	}
	entries, err := w.audit.Read(0, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	var refused, ok int
	for _, e := range entries {
		switch {
		case e.What == "login" && e.Result == "refused" && e.Who == "vera":
			refused++
		case e.What == "login" && e.Result == "ok" && e.Who == "vera":
			ok++
		}
	}
	if refused != 10 || ok != 3 {
		t.Errorf("the log has %d refused and %d good logins, want 10 and 3", refused, ok)
	}
	if a := w.browser().login("nobody-of-that-name", password); a.code != 401 {
		t.Errorf("an unknown name: %d", a.code)
	}
}

func TestForeignPagesCannotAct(t *testing.T) {
	w := newWorld(t, nil)
	b := w.enter("sam", "support", "acme")
	for _, path := range []string{"/do/acme", "/logout", "/login", "/welcome"} {
		if a := b.do(http.MethodPost, path, url.Values{}, "Sec-Fetch-Site", "cross-site"); a.code != 403 {
			t.Errorf("POST %s from another site: %d, want 403", path, a.code)
		}
		if a := b.do(http.MethodPost, path, url.Values{}, "Origin", "https://evil.example"); a.code != 403 {
			t.Errorf("POST %s from another origin: %d, want 403", path, a.code)
		}
	}
	b.wants("/api", 200)
	if a := b.do(http.MethodPost, "/do/acme", url.Values{}, "Sec-Fetch-Site", "same-origin"); a.code != 200 {
		t.Errorf("from our own page: %d", a.code)
	}
	// Without TLS browsers send no Sec-Fetch-Site.
	if a := b.do(http.MethodPost, "/do/acme", url.Values{}, "Origin", w.srv.URL); a.code != 200 {
		t.Errorf("from our own page without TLS: %d", a.code)
	}
}

func TestLoginSendsNobodyElsewhere(t *testing.T) {
	w := newWorld(t, nil)
	w.user("vera", "viewer", "acme")
	for next, want := range map[string]string{
		"/?q=x": "/?q=x", "": "/", "https://evil.example/": "/", "//evil.example/": "/", `/\evil.example`: "/", "/\t/evil.example": "/",
		"javascript:alert(1)": "/", "evil": "/", "/login": "/",
	} {
		a := w.browser().do(http.MethodPost, "/login", url.Values{"name": {"vera"}, "password": {password}, "next": {next}})
		if a.Get("Location") != want {
			t.Errorf("next %q leads to %q, want %q", next, a.Get("Location"), want)
		}
	}
}

func TestCookieIsKept(t *testing.T) {
	for _, secure := range []bool{false, true} {
		w := newWorld(t, func(c *access.Config) { c.Secure = secure })
		w.user("vera", "viewer", "acme")
		a := w.browser().login("vera", password)
		got := a.Get("Set-Cookie")
		want := []string{"Path=/", "HttpOnly", "SameSite=Lax"}
		if secure {
			want = append(want, "Secure", "__Host-sprechprobe=")
		}
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("secure %v: cookie %q has no %s", secure, got, part)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t, nil)
	id, token, err := access.AddToken(w.store, "grafana", right(t, "viewer", "acme"), 0, w.time())
	if err != nil {
		t.Fatal(err)
	}
	_, short, err := access.AddToken(w.store, "script", right(t, "viewer", "*"), time.Hour, w.time())
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	ask := func(path, token string) int { return b.get(path, "Authorization", "Bearer "+token).code }
	for _, tt := range []struct {
		path, token string
		want        int
	}{
		{"/api", token, 200}, {"/of/acme", token, 200}, {"/of/zoo", token, 404}, {"/all", token, 403}, {"/all", short, 200},
		{"/api", token + "x", 401}, {"/api", "spf_" + id + "_", 401}, {"/api", "", 401}, {"/api", "spf_", 401}, {"/", "wrong", 401},
	} {
		if got := ask(tt.path, tt.token); got != tt.want {
			t.Errorf("GET %s with %.12s: %d, want %d", tt.path, tt.token, got, tt.want)
		}
	}
	// A wrong token is not made good by a login.
	in := w.enter("vera", "viewer", "acme")
	if a := in.get("/api", "Authorization", "Bearer wrong"); a.code != 401 {
		t.Errorf("a wrong token with a good cookie: %d", a.code)
	}
	w.pass(2 * time.Hour)
	if got := ask("/all", short); got != 401 {
		t.Errorf("a token past its time: %d", got)
	}
	if err := access.RevokeToken(w.store, id); err != nil {
		t.Fatal(err)
	}
	if got := ask("/api", token); got != 401 {
		t.Errorf("a revoked token: %d", got)
	}
	if _, _, err := access.AddToken(w.store, "", right(t, "viewer", "acme"), 0, w.time()); err == nil {
		t.Error("a token for nothing is made")
	}
}

func TestStoreIsShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "access.json")
	now := time.Now()
	var all sync.WaitGroup
	for i := range 4 {
		st, err := access.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for j := range 10 {
				if _, err := access.AddUser(st, string(rune('a'+i))+string(rune('a'+j)), right(t, "viewer", "acme"), now); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	st, err := access.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := st.Read()
	if err != nil || len(s.Users) != 40 {
		t.Fatalf("%d users, want 40; %v", len(s.Users), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file may be read by others: %v, %v", info.Mode(), err)
	}
	// A file that cannot be read lets nobody in, and is not written over.
	for _, broken := range []string{"{", `{"users":[],"new_thing":1}`, string(text[:len(text)/2])} {
		if err := os.WriteFile(path+".new", []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Read(); err == nil {
			t.Errorf("%.20q is read", broken)
		}
		if _, err := access.AddUser(st, "zz", right(t, "viewer", "acme"), now); err == nil {
			t.Errorf("%.20q is written over", broken)
		}
	}
}

// The login speaks the language that its address or form asks for, else the one that
// was chosen on the pages, else the browser's.
func TestLoginSpeaks(t *testing.T) {
	w := newWorld(t, nil)
	for _, tt := range []struct{ path, cookie, accept, want string }{
		{"/login", "", "", "de"}, {"/login", "", "fr, en-GB;q=0.8", "en"}, {"/login", "lang=de", "en", "de"}, {"/login?lang=en", "lang=de", "de", "en"}, {"/login", "lang=xx", "en", "en"},
	} {
		if a := w.browser().get(tt.path, "Cookie", tt.cookie, "Accept-Language", tt.accept); !strings.Contains(a.body, `<html lang="`+tt.want+`">`) {
			t.Errorf("%+v: %.60s", tt, a.body)
		}
	}
	if a := w.browser().do(http.MethodPost, "/login", url.Values{"name": {"x"}, "password": {"y"}, "lang": {"en"}}, "Accept-Language", "de"); !strings.Contains(a.body, `<html lang="en">`) {
		t.Errorf("the form's language: %.60s", a.body)
	}
}

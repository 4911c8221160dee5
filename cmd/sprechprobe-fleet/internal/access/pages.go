package access

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
)

//go:embed assets
var assets embed.FS

type pages struct{ t *template.Template }

func parsePages() (pages, error) {
	t, err := template.ParseFS(assets, "assets/*.html")
	return pages{t}, err
}

// The paths that pages elsewhere point to.
const (
	LoginPath   = "/login"
	LogoutPath  = "/logout"
	WelcomePath = "/welcome"
)

// Routes are the gate's own: none where no login is asked for.
func (g *Gate) Routes() []Route {
	if g.Open() {
		return nil
	}
	out := []Route{
		{"GET /login", Anyone, Nothing, true, g.login},
		{"POST /login", Anyone, Nothing, true, g.tryLogin},
		{"POST /logout", Anyone, Nothing, true, g.logout},
		{"GET /welcome", Anyone, Nothing, true, g.welcome},
		{"POST /welcome", Anyone, Nothing, true, g.tryWelcome},
		{"GET /access.css", Anyone, Nothing, false, style},
	}
	if g.conf.OpenID != nil {
		out = append(out,
			Route{"GET /openid", Anyone, Nothing, true, g.openID},
			Route{"GET /openid/callback", Anyone, Nothing, true, g.openIDCallback})
	}
	return out
}

func style(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	http.ServeFileFS(w, r, assets, "assets/access.css")
}

// form is what a page of ours shows.
type form struct {
	L        words
	Lang     advice.Lang
	Next     string
	Name     string
	Code     string
	Setup    bool // the first admin chooses a name
	Trouble  string
	Provider bool // a provider can be asked
	OpenURL  string
}

func (g *Gate) form(r *http.Request) form {
	next := local(r.FormValue("next")) // parses the form
	lang := LanguageOf(r)
	f := form{L: wordsOf(lang), Lang: lang, Next: next, Provider: g.conf.OpenID != nil}
	f.OpenURL = "/openid?" + url.Values{"next": {f.Next}}.Encode()
	return f
}

func (g *Gate) show(w http.ResponseWriter, code int, page string, f form) {
	var b bytes.Buffer
	if err := g.pages.t.ExecuteTemplate(&b, page, f); err != nil {
		g.conf.Log.Error("page", "err", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // who left does not read
}

func (g *Gate) login(w http.ResponseWriter, r *http.Request) {
	f := g.form(r)
	if _, ok := g.session(g.cookie(r), true); ok {
		http.Redirect(w, r, f.Next, http.StatusSeeOther)
		return
	}
	g.show(w, http.StatusOK, "login.html", f)
}

const maxForm = 8 << 10 // bytes

func (g *Gate) tryLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	f := g.form(r)
	name, password := strings.ToLower(strings.TrimSpace(r.PostFormValue("name"))), r.PostFormValue("password")
	f.Name = name
	if !g.limits.allow(remote(r), name, g.conf.Now()) {
		g.conf.Count(Password, "limited")
		w.Header().Set("Retry-After", "60")
		f.Trouble = f.L.TooOften
		g.show(w, http.StatusTooManyRequests, "login.html", f)
		return
	}
	st, err := g.conf.Store.Read()
	if err != nil {
		g.broken(w, err)
		return
	}
	var u User
	if have := st.user(name); have != nil {
		u = *have
	}
	if len(password) > mostPassword || !verifyPassword(u.Password, password) {
		// A name that nobody has may be a password, typed in the wrong place.
		_ = g.note(r, Password, u.Name, "login", "refused") // has been said in the log
		f.Trouble = f.L.Wrong
		g.show(w, http.StatusUnauthorized, "login.html", f)
		return
	}
	g.limits.forgive(remote(r), name)
	g.enter(w, r, Session{User: u.Name, Epoch: u.Epoch}, u.Name, Password, f.Next)
}

// enter starts a session and goes on to where somebody wanted to go.
func (g *Gate) enter(w http.ResponseWriter, r *http.Request, s Session, name string, m Method, next string) {
	if err := g.note(r, m, name, "login", "ok"); err != nil {
		g.broken(w, err)
		return
	}
	cookie, err := g.begin(s, g.cookie(r))
	if err != nil {
		g.broken(w, err)
		return
	}
	http.SetCookie(w, g.cookieOf(g.cookieName(), cookie))
	http.Redirect(w, r, local(next), http.StatusSeeOther)
}

// note counts and writes down a try to log in.
func (g *Gate) note(r *http.Request, m Method, name, what, result string) error {
	g.conf.Count(m, result)
	if g.conf.Audit == nil {
		return nil
	}
	err := g.conf.Audit.Add(audit.Entry{Who: name, Method: string(m), From: network(remote(r)), What: what, Result: result})
	if err != nil {
		g.conf.Log.Error("logins cannot be noted", "err", err)
	}
	return err
}

func (g *Gate) broken(w http.ResponseWriter, err error) {
	g.conf.Log.Error("login", "err", err)
	http.Error(w, "login is out of order, please tell your administrator", http.StatusInternalServerError)
}

func (g *Gate) logout(w http.ResponseWriter, r *http.Request) {
	if cookie := g.cookie(r); cookie != "" {
		who, ok := g.session(cookie, false)
		if err := g.end(cookie); err != nil {
			g.broken(w, err)
			return
		}
		if ok {
			_ = g.note(r, who.Method, who.Name, "logout", "ok") // has been said in the log
		}
	}
	g.forget(w, g.cookieName())
	if g.conf.Secure { // browsers heed it there only
		w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	}
	http.Redirect(w, r, LoginPath, http.StatusSeeOther)
}

// welcome is where a one-time link leads.
func (g *Gate) welcome(w http.ResponseWriter, r *http.Request) {
	f := g.form(r)
	f.Code = r.FormValue("code")
	st, err := g.conf.Store.Read()
	if err != nil {
		g.broken(w, err)
		return
	}
	var ok bool
	if f.Name, f.Setup, ok = st.invited(f.Code, g); !ok {
		f.Trouble = f.L.LinkVoid
		g.show(w, http.StatusNotFound, "void.html", f)
		return
	}
	g.show(w, http.StatusOK, "welcome.html", f)
}

// invited says for whom a code is; setup: for whoever comes.
func (s *State) invited(code string, g *Gate) (name string, setup, ok bool) {
	good := func(o *Once) bool { return o != nil && o.Hash == digest(code) && g.conf.Now().Before(o.UntilAt) }
	if good(s.Setup) && len(s.Users) == 0 {
		return "", true, true
	}
	i := slices.IndexFunc(s.Users, func(u User) bool { return good(u.Link) })
	if i < 0 {
		return "", false, false
	}
	return s.Users[i].Name, false, true
}

var errVoid = errors.New("the link is void")

func (g *Gate) tryWelcome(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	f := g.form(r)
	f.Code = r.PostFormValue("code")
	if !g.limits.allow(remote(r), "welcome", g.conf.Now()) {
		f.Trouble = f.L.TooOften
		g.show(w, http.StatusTooManyRequests, "void.html", f)
		return
	}
	u, err := g.accept(f.Code, r.PostFormValue("name"), r.PostFormValue("password"), r.PostFormValue("again"))
	switch {
	case err == nil:
		g.limits.forgive(remote(r), "welcome")
		g.enter(w, r, Session{User: u.Name, Epoch: u.Epoch}, u.Name, Password, "/")
	case errors.Is(err, errVoid):
		f.Trouble = f.L.LinkVoid
		g.show(w, http.StatusNotFound, "void.html", f)
	case f.L.trouble(err) != "":
		if st, err := g.conf.Store.Read(); err == nil {
			f.Name, f.Setup, _ = st.invited(f.Code, g)
		}
		f.Name = cmp.Or(f.Name, r.PostFormValue("name"))
		f.Trouble = f.L.trouble(err)
		g.show(w, http.StatusUnprocessableEntity, "welcome.html", f)
	default:
		g.broken(w, err)
	}
}

var (
	errName  = errors.New("name of another form")
	errAgain = errors.New("passwords differ")
)

// accept sets the password for which a code is, and with it voids the code.
func (g *Gate) accept(code, name, password, again string) (User, error) {
	var u User
	hash := hashPassword(password) // not under the lock
	return u, g.conf.Store.Update(func(st *State) error {
		invited, setup, ok := st.invited(code, g)
		if !ok {
			return errVoid
		}
		if setup {
			var err error
			if invited, err = foldName(name); err != nil {
				return errName
			}
		}
		if password != again {
			return errAgain
		}
		if err := checkPassword(invited, password); err != nil {
			return err
		}
		if setup {
			st.Users = append(st.Users, User{Name: invited, Right: Right{Admin, []string{AllTenants}}, CreatedAt: g.conf.Now().UTC()})
			st.Setup = nil
		}
		have := st.user(invited)
		have.Password, have.Link, have.Epoch = hash, nil, secret()
		u = *have
		return nil
	})
}

func (g *Gate) cookieName() string { return g.prefix() + "sprechprobe" }

// prefix makes browsers take a cookie from us alone, by TLS alone (RFC 6265bis,
// section 4.1.3.2).
func (g *Gate) prefix() string {
	if g.conf.Secure {
		return "__Host-"
	}
	return ""
}

func (g *Gate) cookieOf(name, value string) *http.Cookie {
	// Lax, for a link in a mail must find its reader logged in. What changes
	// anything is a POST, which CrossOriginProtection judges besides.
	return &http.Cookie{Name: name, Value: value, Path: "/", Secure: g.conf.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func (g *Gate) forget(w http.ResponseWriter, name string) {
	c := g.cookieOf(name, "")
	c.MaxAge = -1
	http.SetCookie(w, c)
}

func (g *Gate) cookie(r *http.Request) string {
	c, err := r.Cookie(g.cookieName())
	if err != nil {
		return ""
	}
	return c.Value
}

func loginURL(next string) string {
	return LoginPath + "?" + url.Values{"next": {local(next)}}.Encode()
}

// local keeps only paths of our own: a login must not send people elsewhere.
func local(next string) string {
	u, err := url.Parse(next)
	bad := err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || len(next) > 2000
	if bad || u.Path == LoginPath || u.Path == WelcomePath {
		return "/"
	}
	return next
}

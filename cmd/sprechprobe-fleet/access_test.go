package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
)

// send sends a form of the page of people, and returns status and page.
func (h *house) send(c *http.Client, site string, form ...string) (int, string) {
	h.Helper()
	v := url.Values{}
	for i := 0; i < len(form); i += 2 {
		v.Set(form[i], form[i+1])
	}
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.url+"/people?lang=en", strings.NewReader(v.Encode()))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", site)
	resp, err := c.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	return resp.StatusCode, html.UnescapeString(string(body))
}

// does sends a form that must succeed, and returns the secret that is shown, if any.
func (h *house) does(c *http.Client, form ...string) string {
	h.Helper()
	code, page := h.send(c, "same-origin", form...)
	if code != http.StatusSeeOther && code != http.StatusOK {
		h.Fatalf("%q: %d %s", form, code, page)
	}
	m := regexp.MustCompile(`<code class="secret">([^<]+)`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return m[1]
}

// knows reports whether somebody is logged in, and as what.
func (h *house) knows(c *http.Client, token string) string {
	h.Helper()
	a := h.ask(c, token, http.MethodGet, "/api/v1/me")
	if a.code == http.StatusUnauthorized {
		return "nobody"
	}
	return a.body
}

// An administrator adds people and tokens, changes and takes what they may, all at
// once, and cannot shut out himself or everybody.
func TestPeopleOnThePages(t *testing.T) {
	h := newHouse(t, nil)
	ada := h.browser("ada", "admin", "*")
	page := func() string { return h.ask(ada, "", http.MethodGet, "/people?lang=en").body }

	link := h.does(ada, "do", "user-add", "name", "Vera", "role", "viewer", "tenants", "acme, zoo")
	if !strings.HasPrefix(link, h.url+"/welcome?code=") {
		t.Fatalf("the link of a new user is %q", link)
	}
	if p := page(); !strings.Contains(p, "vera") || !strings.Contains(p, "Viewer: acme, zoo") || !strings.Contains(p, "link for a password is good until") || strings.Contains(p, link) {
		t.Errorf("after the addition the page says: %s", p)
	}
	vera := newcomer(t, link, "")
	if me := h.knows(vera, ""); !strings.Contains(me, `"tenants":["acme","zoo"]`) {
		t.Errorf("the new user is %s", me)
	}
	h.does(ada, "do", "user-change", "name", "vera", "role", "support", "tenants", "acme")
	if me := h.knows(vera, ""); !strings.Contains(me, `"role":"support","tenants":["acme"]`) {
		t.Errorf("after the change the user is %s", me)
	}
	h.does(ada, "do", "user-logout", "name", "vera")
	if me := h.knows(vera, ""); me != "nobody" {
		t.Errorf("logged out everywhere: %s", me)
	}
	vera = newcomer(t, h.does(ada, "do", "user-reset", "name", "vera"), "")
	if p := page(); !strings.Contains(p, "Support: acme") || strings.Count(p, "never yet") != 0 {
		t.Errorf("after a login the page says: %s", p)
	}

	// Somebody from the provider is told apart, and can be logged out.
	err := h.store.Update(func(s *access.State) error {
		s.Sessions = append(s.Sessions, access.Session{Hash: "x", CreatedAt: time.Now(), SeenAt: time.Now(),
			Who: &access.Who{Name: "olga@house.example", Method: access.OpenID, Rights: []access.Right{{Role: access.Viewer, Tenants: []string{"*"}}}}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, guests, _ := strings.Cut(page(), "Logged in by your company")
	if !strings.Contains(guests, "olga@house.example") || strings.Contains(guests, "<bdi>vera</bdi>") {
		t.Errorf("of people from the provider the page says: %s", guests)
	}
	h.does(ada, "do", "guest-logout", "name", "olga@house.example")
	if strings.Contains(page(), "olga") {
		t.Error("who was logged out is logged in")
	}

	token := h.does(ada, "do", "token-add", "name", "grafana", "role", "viewer", "tenants", "*", "lasts", "30")
	if me := h.knows(plain, token); !strings.Contains(me, "grafana") || strings.Contains(page(), token) {
		t.Errorf("the new token %q is for %s", token, me)
	}
	id := strings.Split(token, "_")[1]
	h.does(ada, "do", "token-revoke", "name", id)
	if me := h.knows(plain, token); me != "nobody" {
		t.Errorf("a revoked token is for %s", me)
	}

	otto := newcomer(t, h.does(ada, "do", "user-add", "name", "otto", "role", "admin", "tenants", ""), "")
	h.does(otto, "do", "user-change", "name", "ada", "role", "viewer", "tenants", "acme")
	for _, tt := range []struct {
		who  *http.Client
		form []string
		code int
		want string
	}{
		{otto, []string{"do", "user-remove", "name", "otto"}, 422, "take the administration from himself"},
		{otto, []string{"do", "user-change", "name", "otto", "role", "viewer", "tenants", "*"}, 422, "take the administration from himself"},
		{otto, []string{"do", "user-add", "name", "vera", "role", "viewer", "tenants", "*"}, 422, "exists already"},
		{otto, []string{"do", "user-add", "name", "v v", "role", "viewer", "tenants", "*"}, 422, "1 to 64 letters"},
		{otto, []string{"do", "user-add", "name", "x", "role", "viewer", "tenants", "<b>"}, 422, "name customers by their names"},
		{otto, []string{"do", "user-add", "name", "x", "role", "boss", "tenants", "*"}, 422, "name customers by their names"},
		{otto, []string{"do", "user-remove", "name", "nobody"}, 422, "does not exist any more"},
		{otto, []string{"do", "token-add", "name", "", "role", "viewer", "tenants", "*"}, 422, "1 to 80 characters"},
		{otto, []string{"do", "everything"}, 400, "no such thing"},
		{ada, []string{"do", "user-remove", "name", "otto"}, 403, "role does not allow"}, // who is no admin any more
		{vera, []string{"do", "user-add", "name", "x", "role", "viewer", "tenants", "*"}, 403, "role does not allow"},
	} {
		if code, page := h.send(tt.who, "same-origin", tt.form...); code != tt.code || !strings.Contains(page, tt.want) {
			t.Errorf("%q: %d, want %d and %q: %s", tt.form, code, tt.code, tt.want, page)
		}
	}
	if code, _ := h.send(otto, "cross-site", "do", "user-remove", "name", "vera"); code != http.StatusForbidden {
		t.Errorf("a foreign page removes somebody: %d", code)
	}
	// The last administrator stays, also where one from the provider asks.
	g, err := access.New(access.Config{Store: h.store})
	if err != nil {
		t.Fatal(err)
	}
	boss := access.Who{Name: "otto", Method: access.OpenID, Rights: []access.Right{{Role: access.Admin, Tenants: []string{"*"}}}}
	if err := g.RemoveUser(boss, "otto"); err == nil || !strings.Contains(err.Error(), access.ErrLastAdmin.Error()) {
		t.Errorf("the last administrator is removed: %v", err)
	}
	h.does(otto, "do", "user-remove", "name", "vera")
	if me := h.knows(vera, ""); me != "nobody" {
		t.Errorf("who was removed is %s", me)
	}
	log := h.ask(otto, "", http.MethodGet, "/api/v1/audit?limit=1000").body
	for _, deed := range []string{`"what":"user-add","object":"Vera","result":"asked"`, `"what":"user-add","object":"Vera","result":"ok"`, `"what":"user-change","object":"vera"`,
		`"what":"user-reset"`, `"what":"user-logout"`, `"what":"guest-logout","object":"olga@house.example"`, `"what":"token-add","object":"` + id + ` (grafana)","result":"ok"`,
		`"what":"token-revoke","object":"` + id + `"`, `"what":"user-remove","object":"vera","result":"ok"`} {
		if !strings.Contains(log, deed) {
			t.Errorf("the log does not have %s: %s", deed, log)
		}
	}
	if strings.Contains(log, "welcome") || strings.Contains(log, "spf_") {
		t.Error("the log holds secrets")
	}
}

// Everybody sees their own login, and can end it wherever it is.
func TestOwnAccount(t *testing.T) {
	h := newHouse(t, nil)
	vera := h.browser("vera", "viewer", "acme")
	if a := h.ask(vera, "", http.MethodGet, "/account?lang=de"); a.code != 200 || !strings.Contains(a.body, "Ansehen: acme") || !strings.Contains(a.body, "<dd>1</dd>") {
		t.Errorf("the account says %d %s", a.code, a.body)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Client{Jar: jar, CheckRedirect: plain.CheckRedirect} // another browser of hers
	resp, err := other.PostForm(h.url+"/login", url.Values{"name": {"vera"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if h.knows(other, "") == "nobody" {
		t.Fatal("the login failed")
	}
	if a := h.ask(vera, "", http.MethodPost, "/account/logout"); a.code != http.StatusSeeOther {
		t.Errorf("log out everywhere: %d %s", a.code, a.body)
	}
	for _, c := range []*http.Client{vera, other} {
		if me := h.knows(c, ""); me != "nobody" {
			t.Errorf("after that she is %s", me)
		}
	}
}

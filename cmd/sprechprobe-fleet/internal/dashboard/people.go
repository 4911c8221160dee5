package dashboard

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
)

// peoplePage is who gets in, for who administers.
type peoplePage struct {
	frame
	Users, Guests []person // with a password here; logged in from the provider
	Tokens        []program
	Done, Wrong   string
	Secret        string // a link or token that is shown once; empty: none
	SecretHint    string
	Form          personForm // as it was typed, where it was wrong
	Zone          string
}

// person is somebody as the page shows them.
type person struct {
	Name           string
	Role, Tenants  string
	Rights         string // in words
	State          string // of the password, where it is not set
	Login, LoginAt string
	Sessions       int
	Seen           string
	Self           bool
}

// program is a token as the page shows it.
type program struct{ ID, Label, Rights, Until string }

type personForm struct{ Do, Name, Role, Tenants, Lasts string }

// OtherURL is this page in the other language.
func (p peoplePage) OtherURL() string { return "/people?lang=" + string(p.OtherLang()) }

// PageTitle is the window's.
func (p peoplePage) PageTitle() string { return p.L.People + " – " + p.L.Title }

// Roles are those that somebody can have.
func (f frame) Roles() []option {
	var out []option
	for _, r := range []access.Role{access.Viewer, access.Support, access.Admin} {
		out = append(out, option{Value: string(r), Text: f.L.Roles[string(r)]})
	}
	return out
}

// lasts are for how long a token can be made, days.
var lasts = []string{"30", "90", "365", ""}

// Lasts are for how long a token can be made.
func (p peoplePage) Lasts() []option {
	var out []option
	for _, d := range lasts {
		text := p.L.Forever
		if d != "" {
			text = fmt.Sprintf(p.L.ForDays, d)
		}
		out = append(out, option{Value: d, Text: text, On: d == cmp.Or(p.Form.Lasts, "365")})
	}
	return out
}

func (l labels) rights(all []access.Right) string {
	var out []string
	for _, r := range all {
		tenants := strings.Join(r.Tenants, ", ")
		if tenants == access.AllTenants {
			tenants = l.AllTenants
		}
		out = append(out, l.Roles[string(r.Role)]+": "+tenants)
	}
	return strings.Join(out, "; ")
}

// peopleOf reads who gets in.
func (s *Server) peopleOf(r *http.Request) (peoplePage, error) {
	who := access.WhoOf(r.Context())
	p := peoplePage{frame: s.frameOf(access.LanguageOf(r), who), Zone: s.zone()}
	all, err := s.conf.Gate.People()
	if err != nil {
		return p, err
	}
	st, err := s.conf.Gate.Store().Read()
	if err != nil {
		return p, err
	}
	for _, x := range all {
		one := s.personOf(p.frame, x)
		one.Self = x.Name == who.Name && x.Method == who.Method
		if x.Method == access.Password {
			p.Users = append(p.Users, one)
		} else {
			p.Guests = append(p.Guests, one)
		}
	}
	now := s.conf.Now()
	for _, t := range st.Tokens {
		until := p.L.Forever
		switch {
		case t.UntilAt.IsZero():
		case !now.Before(t.UntilAt):
			until = p.L.Expired
		default:
			until = fmt.Sprintf(p.L.Till, s.clock(t.UntilAt, p.language))
		}
		p.Tokens = append(p.Tokens, program{t.ID, clean(t.Label, 80), p.L.rights([]access.Right{t.Right}), until})
	}
	return p, nil
}

func (s *Server) personOf(f frame, x access.Person) person {
	one := person{Name: x.Name, Rights: f.L.rights(x.Rights), Sessions: x.Sessions}
	if len(x.Rights) == 1 {
		one.Role, one.Tenants = string(x.Rights[0].Role), strings.Join(x.Rights[0].Tenants, ", ")
	}
	if !x.LoginAt.IsZero() {
		one.Login, one.LoginAt = s.clock(x.LoginAt, f.language), stamp(x.LoginAt)
	}
	if !x.SeenAt.IsZero() {
		one.Seen = f.L.ago(s.conf.Now().Sub(x.SeenAt))
	}
	switch {
	case !x.LinkAt.IsZero():
		one.State = fmt.Sprintf(f.L.LinkOpen, s.clock(x.LinkAt, f.language))
	case x.NoneSet:
		one.State = f.L.LinkGone
	}
	return one
}

// people serves the page of who gets in.
func (s *Server) people(w http.ResponseWriter, r *http.Request) {
	s.remember(w, r)
	p, err := s.peopleOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if what, name := r.URL.Query().Get("done"), r.URL.Query().Get("name"); german.PeopleDone[what] != "" {
		p.Done = fmt.Sprintf(p.L.PeopleDone[what], clean(name, 80))
	}
	s.send(w, r, "people.html", p)
}

// errTenants is that the tenants which somebody typed are none.
var errTenants = errors.New("no names of tenants")

// changePeople does what a form of the page asks for. A secret is in the answer to the form,
// and nowhere else.
func (s *Server) changePeople(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	f := personForm{r.PostFormValue("do"), strings.TrimSpace(r.PostFormValue("name")), r.PostFormValue("role"), r.PostFormValue("tenants"), r.PostFormValue("lasts")}
	if german.PeopleDone[f.Do] == "" {
		access.Refuse(w, http.StatusBadRequest, "do: no such thing can be done")
		return
	}
	if !access.Human(r) {
		access.Refuse(w, http.StatusForbidden, "who gets in is for people to say, not for tokens")
		return
	}
	var secret string
	var err error
	right := access.Right{}
	if f.Do == "user-add" || f.Do == "user-change" || f.Do == "token-add" {
		right, err = f.right()
	}
	if err == nil {
		e := audit.Entry{What: f.Do, Object: f.Name}
		err = s.deed(r, &e, func() error {
			secret, err = s.doPeople(r, f, right, &e)
			return err
		})
	}
	lang := access.LanguageOf(r)
	if err == nil && secret == "" {
		http.Redirect(w, r, "/people?"+url.Values{"lang": {string(lang)}, "done": {f.Do}, "name": {f.Name}}.Encode(), http.StatusSeeOther)
		return
	}
	p, broken := s.peopleOf(r)
	status := http.StatusOK
	switch wrong := p.L.wrongPerson(err); {
	case broken != nil || err != nil && wrong == "":
		s.fail(w, r, errors.Join(err, broken))
		return
	case err != nil:
		p.Wrong, p.Form, status = wrong, f, http.StatusUnprocessableEntity
	default:
		p.Done, p.Secret, p.SecretHint = fmt.Sprintf(p.L.PeopleDone[f.Do], clean(f.Name, 80)), secret, p.L.LinkHint
		if f.Do == "token-add" {
			p.SecretHint = p.L.TokenHint
		}
	}
	s.sendAs(w, r, status, "people.html", p)
}

// right reads a role and its tenants. An admin is one for all.
func (f personForm) right() (access.Right, error) {
	tenants := strings.FieldsFunc(f.Tenants, func(c rune) bool { return c == ',' || c == ' ' || c == ';' })
	if f.Role == string(access.Admin) {
		tenants = []string{access.AllTenants}
	}
	r, err := access.NewRight(f.Role, tenants)
	if err != nil {
		return r, errTenants
	}
	return r, nil
}

// doPeople does one thing, by what the command line does it by. A token is told in e
// by the ID that it gets.
func (s *Server) doPeople(r *http.Request, f personForm, right access.Right, e *audit.Entry) (secret string, err error) {
	g, who, now := s.conf.Gate, access.WhoOf(r.Context()), s.conf.Now()
	switch f.Do {
	case "user-add":
		secret, err = access.AddUser(g.Store(), f.Name, right, now)
	case "user-reset":
		secret, err = access.ResetUser(g.Store(), f.Name, now)
	case "user-change":
		return "", g.SetRight(who, f.Name, right)
	case "user-remove":
		return "", g.RemoveUser(who, f.Name)
	case "user-logout":
		return "", access.EndSessions(g.Store(), access.Password, f.Name)
	case "guest-logout":
		return "", access.EndSessions(g.Store(), access.OpenID, f.Name)
	case "token-revoke":
		return "", access.RevokeToken(g.Store(), f.Name)
	case "token-add":
		var d time.Duration
		if i := slices.Index(lasts, f.Lasts); i >= 0 && f.Lasts != "" {
			d, err = time.ParseDuration(f.Lasts + "h")
		}
		if err == nil {
			var id string
			id, secret, err = access.AddToken(g.Store(), f.Name, right, 24*d, now)
			e.Object = id + " (" + f.Name + ")"
		}
		return secret, err
	}
	if err == nil {
		secret = access.Link(s.base(r), secret)
	}
	return secret, err
}

// base is the pages' address, as the reader's browser knows it where nothing was said.
// That it is one of ours has been checked.
func (s *Server) base(r *http.Request) string {
	scheme := "http://"
	if s.conf.Secure {
		scheme = "https://"
	}
	return cmp.Or(s.conf.Base, scheme+r.Host)
}

// wrongPerson says what is wrong with what somebody typed; empty: nothing of theirs.
func (l labels) wrongPerson(err error) string {
	for _, t := range []struct {
		err  error
		text string
	}{{access.ErrName, l.PersonName}, {access.ErrThere, l.PersonThere}, {access.ErrNone, l.PersonNone}, {access.ErrSelf, l.PersonSelf},
		{access.ErrLastAdmin, l.PersonLast}, {access.ErrLabel, l.TokenLabel}, {errTenants, l.PersonTenants}} {
		if errors.Is(err, t.err) {
			return t.text
		}
	}
	return ""
}

// deed enters something in the audit log, does it, and enters what came of it. What
// cannot be entered is not done.
func (s *Server) deed(r *http.Request, e *audit.Entry, do func() error) error {
	e.Result = "asked"
	if err := access.Note(r, *e); err != nil {
		return fmt.Errorf("what cannot be noted is not done: %w", err)
	}
	err := do()
	if e.Result = "ok"; err != nil {
		e.Result = err.Error()
	}
	if broken := access.Note(r, *e); broken != nil {
		s.conf.Log.Error("what came of a deed is not noted", "what", e.What, "err", broken)
	}
	return err
}

// accountPage is what somebody may know and do about their own login.
type accountPage struct {
	frame
	person
}

// OtherURL is this page in the other language.
func (p accountPage) OtherURL() string { return "/account?lang=" + string(p.OtherLang()) }

// PageTitle is the window's.
func (p accountPage) PageTitle() string { return p.L.Account + " – " + p.L.Title }

// account serves the page of one's own login.
func (s *Server) account(w http.ResponseWriter, r *http.Request) {
	s.remember(w, r)
	who := access.WhoOf(r.Context())
	p := accountPage{frame: s.frameOf(access.LanguageOf(r), who), person: person{Name: who.Name, Rights: labelsOf(access.LanguageOf(r)).rights(who.Rights)}}
	all, err := s.conf.Gate.People()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, x := range all {
		if x.Name == who.Name && x.Method == who.Method {
			p.person = s.personOf(p.frame, x)
		}
	}
	s.send(w, r, "account.html", p)
}

// logoutAll ends all sessions of whoever asks.
func (s *Server) logoutAll(w http.ResponseWriter, r *http.Request) {
	who := access.WhoOf(r.Context())
	if !access.Human(r) {
		access.Refuse(w, http.StatusForbidden, "a token has no sessions")
		return
	}
	err := s.deed(r, &audit.Entry{What: "logout-everywhere", Object: who.Name}, func() error {
		return access.EndSessions(s.conf.Gate.Store(), who.Method, who.Name)
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, access.LoginPath, http.StatusSeeOther)
}

package dashboard

import (
	"bytes"
	"context"
	"html/template"
	"net/http"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
)

// frame is what all pages have in common.
type frame struct {
	L        labels
	language advice.Lang
	Who      string // who is logged in; empty where nobody has to
	MayClaim bool
	MayAdmin bool // say who gets in
	IsHuman  bool // has a login of his own
}

func (s *Server) frameOf(lang advice.Lang, who access.Who) frame {
	human := who.Method == access.Password || who.Method == access.OpenID
	return frame{labelsOf(lang), lang, who.Name, who.May(access.Support, access.AllTenants), human && who.May(access.Admin, access.AllTenants), human}
}

// Lang is the page's language.
func (f frame) Lang() string { return string(f.language) }

// PageTitle is the window's.
func (f frame) PageTitle() string { return f.L.Title }

// Stream is where a page's changes come from; empty: it has none.
func (f frame) Stream() string { return "" }

// OverviewURL is the first page.
func (f frame) OverviewURL() string { return link(query{lang: f.language, page: 1}) }

// IncidentsURL is the list of outages.
func (f frame) IncidentsURL() string { return "/incidents?lang=" + string(f.language) }

// OtherLang is the language that the page is not in.
func (f frame) OtherLang() advice.Lang {
	if f.language == advice.German {
		return advice.English
	}
	return advice.German
}

// pages are the templates.
type pages struct{ t *template.Template }

func parsePages() (pages, error) {
	t, err := template.ParseFS(assets, "assets/*.html")
	return pages{t}, err
}

// part renders a part of a page.
func (p pages) part(name string, data any) (string, error) {
	var b bytes.Buffer
	err := p.t.ExecuteTemplate(&b, name, data)
	return b.String(), err
}

// send answers with a whole page, or with none.
func (s *Server) send(w http.ResponseWriter, r *http.Request, name string, data any) {
	s.sendAs(w, r, http.StatusOK, name, data)
}

func (s *Server) sendAs(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	page, err := s.pages.part(name, data)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(page)) // who left does not read
}

// fail answers that a page could not be made. What is wrong is for the log alone.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if context.Cause(r.Context()) != nil {
		return // nobody waits any more
	}
	s.conf.Log.Error("page", "path", r.URL.Path, "err", err)
	http.Error(w, labelsOf(access.LanguageOf(r)).Busy, http.StatusServiceUnavailable)
}

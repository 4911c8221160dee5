package dashboard

import (
	"bytes"
	"html/template"
	"net/http"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
)

// page serves the page whole: it says everything without its script.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	l := s.list(queryOf(r.URL.Query(), r.Header.Get("Accept-Language")), access.WhoOf(r.Context()))
	v := struct {
		list
		Head template.HTML
		Rows []template.HTML
	}{list: l}
	head, err := s.pages.head(l)
	v.Head = template.HTML(head) // rendered and escaped by the same templates
	now := s.conf.Now()
	for _, b := range l.Boxes {
		if err != nil {
			break
		}
		var html string
		html, err = s.pages.row(rowOf(b, l.lang, now))
		v.Rows = append(v.Rows, template.HTML(html))
	}
	var page bytes.Buffer
	if err == nil {
		err = s.pages.t.ExecuteTemplate(&page, "page.html", v)
	}
	if err != nil {
		s.conf.Log.Error("page", "err", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-Language")
	_, _ = w.Write(page.Bytes()) // who left does not read
}

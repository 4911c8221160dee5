package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// exporting is how long a box's data may take on their way.
const exporting = 10 * time.Minute

// export serves all that is kept of a box. Where that breaks off, the answer does, too:
// half of it must not look whole.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	a := addressOf(r)
	_, _, err := s.conf.History.Newest(r.Context(), a)
	if errors.Is(err, history.ErrUnknownBox) {
		access.NotFound(w)
		return
	}
	if err == nil {
		err = access.Note(r, audit.Entry{What: "history-export", Tenant: a.Tenant, Object: a.Box, Result: "asked"})
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(exporting)) // else the usual one holds
	w.Header().Set("Content-Type", "application/jsonl; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+a.Tenant+"-"+a.Box+`.jsonl"`)
	if err := s.conf.History.Export(r.Context(), a, w); err != nil {
		s.conf.Log.Error("export", "box", a.String(), "err", err)
		panic(http.ErrAbortHandler)
	}
}

// forget deletes a box. Who does it has typed its name.
func (s *Server) forget(w http.ResponseWriter, r *http.Request) {
	a := addressOf(r)
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	lang := access.LanguageOf(r)
	switch _, _, err := s.known(r.Context(), a); {
	case s.conf.Forget == nil:
		access.Refuse(w, http.StatusConflict, "boxes are not deleted from here")
		return
	case errors.Is(err, errGone):
		access.NotFound(w)
		return
	case r.PostFormValue("sure") != a.String():
		http.Redirect(w, r, boxURL(a, lang, "")+"&unsure=1#data", http.StatusSeeOther)
		return
	}
	err := s.deed(r, &audit.Entry{What: "history-delete", Tenant: a.Tenant, Object: a.Box}, func() error { return s.conf.Forget(r.Context(), a) })
	if err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/?"+url.Values{"lang": {string(lang)}}.Encode(), http.StatusSeeOther)
}

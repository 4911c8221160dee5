// Package api is the read interface for programs, /api/v1: boxes, counts, incidents
// and the audit log, as JSON or CSV, in pages. Its description (OpenAPI 3.1) is made
// from the same table and types that answer. It reads and changes nothing; who may
// see what is the gate's business, and each answer's that tells of several tenants.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// Boxes knows every box. A [registry.Registry] does.
type Boxes interface {
	Boxes() []registry.Box
	Box(registry.Key) (registry.Box, bool)
}

// Past knows the incidents that there were. A [history.DB] does.
type Past interface {
	Incidents(context.Context, history.IncidentQuery) ([]history.Incident, error)
}

// Config says what is told.
type Config struct {
	Boxes     Boxes
	Incidents func() []alert.Incident // those that go on; nil: none are known
	Past      Past                    // incidents that are kept; nil: none are
	Audit     *audit.Log              // nil: none is kept
	Log       *slog.Logger
}

// Server answers.
type Server struct {
	conf Config
	doc  []byte
}

// New makes a server.
func New(c Config) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Incidents == nil {
		c.Incidents = func() []alert.Incident { return nil }
	}
	s := &Server{conf: c}
	var err error
	s.doc, err = s.describe()
	return s, err
}

// Routes are the interface's rows of the table of routes.
func (s *Server) Routes() []access.Route {
	out := []access.Route{{Pattern: "GET /api/v1/openapi.json", Role: access.Anyone, Reach: access.Nothing, Handler: s.openAPI}}
	for _, o := range s.operations() {
		out = append(out, access.Route{Pattern: "GET " + o.path, Role: o.role, Reach: o.reach, Handler: o.strict()})
	}
	return out
}

// strict refuses questions that the description does not have: a mistyped filter
// must not look like an answer.
func (o operation) strict() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name := range r.URL.Query() {
			if !o.takes(name) {
				access.Refuse(w, http.StatusBadRequest, "unknown parameter "+clip(name))
				return
			}
		}
		o.handler(w, r)
	}
}

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(s.doc) // who left does not read
}

// me is who asks.
type me struct {
	Name   string         `json:"name"`
	Method access.Method  `json:"method"`
	Rights []access.Right `json:"rights"`
}

func (s *Server) me(w http.ResponseWriter, r *http.Request) {
	who := access.WhoOf(r.Context())
	send(w, me(who))
}

func (s *Server) boxes(w http.ResponseWriter, r *http.Request) {
	q, err := queryOf(r.URL.Query())
	if err != nil {
		access.Refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	found, next := q.cut(s.visible(r))
	out := boxPage{Boxes: make([]Box, len(found)), Next: next}
	for i, b := range found {
		out.Boxes[i] = boxOf(b, q.lang)
	}
	q.link(w, r, next)
	if q.csv {
		sendCSV(w, "boxes", boxHead, out.Boxes, Box.cells)
		return
	}
	send(w, out)
}

// visible are the boxes that the asker may see, in no order.
func (s *Server) visible(r *http.Request) []registry.Box {
	who := access.WhoOf(r.Context())
	var out []registry.Box
	for _, b := range s.conf.Boxes.Boxes() {
		if who.Sees(b.Tenant) {
			out = append(out, b)
		}
	}
	return out
}

func (s *Server) box(w http.ResponseWriter, r *http.Request) {
	b, ok := s.conf.Boxes.Box(registry.Key{Tenant: r.PathValue("tenant"), Box: r.PathValue("box")})
	if !ok {
		access.NotFound(w)
		return
	}
	lang := advice.German
	if asked := r.URL.Query().Get("lang"); asked != "" {
		var err error
		if lang, err = advice.ParseLang(asked); err != nil {
			access.Refuse(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	out := oneBox{Box: boxOf(b, lang)}
	if b.Report.Schema != "" {
		out.Report = &b.Report
	}
	send(w, out)
}

func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	send(w, summaryOf(s.visible(r)))
}

func (s *Server) incidents(w http.ResponseWriter, r *http.Request) {
	if v := r.URL.Query(); v.Get("since") != "" || v.Get("until") != "" {
		s.pastIncidents(w, r)
		return
	}
	who := access.WhoOf(r.Context())
	out := incidentList{Incidents: []incident{}}
	for _, i := range s.conf.Incidents() {
		mine := incident{i.ID, i.Cause, clean(i.Target), clean(i.Provider), i.StartedAt, time.Time{}, map[string]int{}}
		for k := range i.Members {
			if who.Sees(k.Tenant) {
				mine.Boxes[k.Tenant]++
			}
		}
		if len(mine.Boxes) > 0 {
			out.Incidents = append(out.Incidents, mine)
		}
	}
	send(w, out)
}

// mostIncidents is how many incidents one answer has.
const mostIncidents = 1000

// pastIncidents answers which incidents there were in a time.
func (s *Server) pastIncidents(w http.ResponseWriter, r *http.Request) {
	who := access.WhoOf(r.Context())
	q := history.IncidentQuery{Tenants: who.Tenants(), Most: mostIncidents}
	for name, at := range map[string]*time.Time{"since": &q.From, "until": &q.Until} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		var err error
		if *at, err = time.Parse(time.RFC3339, text); err != nil {
			access.Refuse(w, http.StatusBadRequest, name+" "+clip(text)+": want a time such as 2026-11-20T09:00:00Z")
			return
		}
	}
	out := incidentList{Incidents: []incident{}}
	if s.conf.Past != nil {
		all, err := s.conf.Past.Incidents(r.Context(), q)
		if err != nil {
			s.conf.Log.Error("incidents cannot be read", "err", err)
			access.Refuse(w, http.StatusServiceUnavailable, "the history does not answer")
			return
		}
		for _, i := range all {
			out.Incidents = append(out.Incidents, incident{i.ID, i.Cause.String(), clean(i.Target), clean(i.ISP), i.FromAt, i.UntilAt, i.Boxes})
		}
	}
	send(w, out)
}

func (s *Server) audit(w http.ResponseWriter, r *http.Request) {
	q, err := pageOf(r.URL.Query())
	if err != nil {
		access.Refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	after, err := number(r.URL.Query().Get("after"))
	if err != nil {
		access.Refuse(w, http.StatusBadRequest, "after: "+err.Error())
		return
	}
	out := auditPage{Entries: []audit.Entry{}}
	if s.conf.Audit != nil {
		if out.Entries, err = s.conf.Audit.Read(after, q.limit, nil); err != nil {
			s.conf.Log.Error("audit log cannot be read", "err", err)
			access.Refuse(w, http.StatusInternalServerError, "the log cannot be read")
			return
		}
	}
	if len(out.Entries) == q.limit {
		out.Next = numeral(out.Entries[q.limit-1].No)
	}
	q.link(w, r, out.Next)
	if q.csv {
		sendCSV(w, "audit", auditHead, out.Entries, auditCells)
		return
	}
	send(w, out)
}

func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v) // who left does not read
}

package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

const (
	gather   = 50 * time.Millisecond // wait for what belongs to a change
	between  = time.Second           // two pushes are at least this far apart
	remind   = 15 * time.Second      // a push without change, so that a dead way is noticed
	recheck  = 5 * time.Second       // for what changes without the registry: the bus, and who may see what
	maxWrite = 10 * time.Second      // for one push to one page
)

// push is one event: what is above the rows, and all rows in order. The html of
// a row that the page has already is left out.
type push struct {
	Head   string    `json:"head"`
	Status string    `json:"status"`
	Rows   []pushRow `json:"rows"`
}

type pushRow struct {
	ID   string `json:"id"`
	HTML string `json:"html,omitempty"`
}

// stream is one open page.
type stream struct {
	s    *Server
	q    query
	w    http.ResponseWriter
	out  *http.ResponseController
	sent map[registry.Key]uint64 // revision of each row that the page has
	last string                  // last event, to keep silent where nothing changed
	n    uint64
}

// events serves server-sent events. A page that connects again gets the whole
// list again: what it missed does not matter.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many open pages", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	st := &stream{s: s, w: w, out: http.NewResponseController(w), sent: map[registry.Key]uint64{},
		q: queryOf(r.URL.Query(), r.Header.Get("Accept-Language"))}
	if err := st.run(r.Context()); err != nil && r.Context().Err() == nil {
		s.conf.Log.Debug("page left", "err", err)
	}
}

func (st *stream) run(ctx context.Context) error {
	// The server's read deadline is for the request, which is done.
	if err := st.out.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	changes, stop := st.s.conf.Registry.Watch()
	defer stop()
	if err := st.write("retry: 2000\n\n"); err != nil {
		return err
	}
	if more, err := st.push(ctx); !more || err != nil {
		return err
	}
	reminder, bus := time.NewTicker(remind), time.NewTicker(recheck)
	defer reminder.Stop()
	defer bus.Stop()
	for pushed := (time.Time{}); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-st.s.ending:
			return nil
		case <-reminder.C:
			if err := st.write(": still here\n\n"); err != nil {
				return err
			}
			continue
		case <-bus.C:
		case <-changes:
			if !st.wait(ctx, max(gather, between-time.Since(pushed))) {
				return nil
			}
			pushed = time.Now()
		}
		if more, err := st.push(ctx); !more || err != nil {
			return err
		}
	}
}

// wait pauses and reports whether the page is still wanted.
func (st *stream) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-st.s.ending:
		return false
	case <-t.C:
		return true
	}
}

// push sends what changed since the last push, if anything did. more is false once
// the reader may no longer see anything.
func (st *stream) push(ctx context.Context) (more bool, err error) {
	who, still := access.Again(ctx)
	if !still {
		return false, nil
	}
	return true, st.show(who)
}

func (st *stream) show(who access.Who) (err error) {
	l := st.s.list(st.q, who)
	p := push{Status: l.Status(), Rows: make([]pushRow, len(l.Boxes))}
	if p.Head, err = st.s.pages.head(l); err != nil {
		return err
	}
	now := st.s.conf.Now()
	shown := make(map[registry.Key]uint64, len(l.Boxes))
	for i, b := range l.Boxes {
		p.Rows[i].ID = rowID(b.Key)
		if old, ok := st.sent[b.Key]; !ok || old != b.Revision {
			if p.Rows[i].HTML, err = st.s.pages.row(rowOf(b, l.lang, now)); err != nil {
				return err
			}
		}
		shown[b.Key] = b.Revision
	}
	st.sent = shown
	data, err := json.Marshal(p)
	if err != nil || string(data) == st.last {
		return err
	}
	st.n++
	// After this push its rows are known: only a further change is news.
	for i := range p.Rows {
		p.Rows[i].HTML = ""
	}
	known, err := json.Marshal(p)
	st.last = string(known)
	if err != nil {
		return err
	}
	return st.write(fmt.Sprintf("id: %d\nevent: list\ndata: %s\n\n", st.n, data))
}

func (st *stream) write(event string) error {
	if err := st.out.SetWriteDeadline(time.Now().Add(maxWrite)); err != nil {
		return err
	}
	if _, err := st.w.Write([]byte(event)); err != nil {
		return err
	}
	return st.out.Flush()
}

package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
)

const (
	gather   = 50 * time.Millisecond  // wait for what belongs to a change
	between  = 500 * time.Millisecond // two looks are at least this far apart
	follow   = 3 * time.Second        // after the bus has told of a change, the history may still be writing it
	remind   = 15 * time.Second       // a push without change, so that a dead way is noticed
	recheck  = 5 * time.Second        // for what changes without the bus: silence, and who may see what
	maxWrite = 10 * time.Second       // for one push to one page
)

// feed makes the data of the events of one open page: empty where nothing is new for
// it.
type feed interface {
	next(ctx context.Context, who access.Who) ([]byte, error)
}

// stream is one open page.
type stream struct {
	s    *Server
	feed feed
	w    http.ResponseWriter
	out  *http.ResponseController
	n    uint64
}

// events serves the overview's changes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	s.stream(w, r, &rows{s: s, q: queryOf(r), sent: map[fleet.Address]sent{}})
}

// stream serves server-sent events. A page that connects again gets everything
// again: what it missed does not matter.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, f feed) {
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
	st := &stream{s: s, feed: f, w: w, out: http.NewResponseController(w)}
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
	reminder, check, again := time.NewTicker(remind), time.NewTicker(recheck), time.NewTicker(between)
	defer reminder.Stop()
	defer check.Stop()
	defer again.Stop()
	var told, looked time.Time
	for {
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
		case <-check.C:
		case <-again.C:
			if time.Since(told) > follow {
				continue
			}
		case <-changes:
			told = time.Now()
			if !st.wait(ctx, max(gather, between-time.Since(looked))) {
				return nil
			}
		}
		looked = time.Now()
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
// the reader may no longer see anything. A history that does not answer for a while
// ends no page.
func (st *stream) push(ctx context.Context) (more bool, err error) {
	who, still := access.Again(ctx)
	if !still {
		return false, nil
	}
	data, err := st.feed.next(ctx, who)
	switch {
	case ctx.Err() != nil:
		return false, nil
	case err == errGone:
		return false, nil
	case err != nil:
		st.s.conf.Log.Warn("changes cannot be read", "err", err)
		return true, nil
	case data == nil:
		return true, nil
	}
	st.n++
	return true, st.write(fmt.Sprintf("id: %d\nevent: list\ndata: %s\n\n", st.n, data))
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

// push is one event: parts of the page, and all rows in order. The html of what the
// page has already is left out.
type push struct {
	Status string `json:"status"`
	Parts  []part `json:"parts"`
	Rows   []part `json:"rows,omitempty"`
}

type part struct {
	ID   string `json:"id"`
	HTML string `json:"html,omitempty"`
}

// rows is the feed of the overview: only the rows on the screen.
type rows struct {
	s    *Server
	q    query
	sent map[fleet.Address]sent // the rows that the page has
	last string                 // last event, to keep silent where nothing changed
	head string
}

// sent is one row as the page has it.
type sent struct{ version, print string }

func (f *rows) next(ctx context.Context, who access.Who) ([]byte, error) {
	l, err := f.s.overviewOf(ctx, f.q, who)
	if err != nil {
		return nil, err
	}
	head, err := f.s.pages.part("head.html", l)
	if err != nil {
		return nil, err
	}
	p := push{Status: l.Status(), Parts: []part{{ID: "head"}}, Rows: make([]part, len(l.Boxes))}
	if head != f.head {
		p.Parts[0].HTML = head
	}
	shown := make(map[fleet.Address]sent, len(l.Boxes))
	news := p.Parts[0].HTML != ""
	for i, b := range l.Boxes {
		p.Rows[i].ID = rowID(b.Address)
		now, had := b.version(), f.sent[b.Address]
		if had.version != now {
			html, print, err := f.s.rowHTML(ctx, b, l.lang)
			if err != nil {
				return nil, err
			}
			if print != had.print {
				p.Rows[i].HTML, news = html, true
			}
			had = sent{now, print}
		}
		shown[b.Address] = had
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	f.head, f.sent = head, shown
	// After this push its rows are known: only a further change is news.
	p.Parts[0].HTML = ""
	for i := range p.Rows {
		p.Rows[i].HTML = ""
	}
	known, err := json.Marshal(p)
	if err != nil || !news && string(known) == f.last {
		return nil, err
	}
	f.last = string(known)
	return data, nil
}

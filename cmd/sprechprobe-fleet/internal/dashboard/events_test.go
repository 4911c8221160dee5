package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

type event struct {
	Status      string
	Parts, Rows []struct{ ID, HTML string }
}

// stream opens /events and returns the events that follow, and the first one.
func (b *bench) stream(ctx context.Context, path string) (<-chan event, event) {
	b.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
		b.Fatalf("GET %s: %s, %s", path, resp.Status, ct)
	}
	out := make(chan event, 100)
	go func() {
		defer resp.Body.Close()
		defer close(out)
		r := bufio.NewScanner(resp.Body)
		r.Buffer(nil, 8<<20)
		for r.Scan() {
			data, ok := strings.CutPrefix(r.Text(), "data: ")
			if !ok {
				continue
			}
			var e event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				b.Errorf("event: %v", err)
				return
			}
			out <- e
		}
	}()
	return out, b.next(out)
}

func (b *bench) next(events <-chan event) event {
	b.Helper()
	select {
	case e, ok := <-events:
		if !ok {
			b.Fatal("the stream ended")
		}
		return e
	case <-time.After(20 * time.Second):
		b.Fatal("no event within 20 s")
	}
	panic("unreachable")
}

func TestEventsBringChanges(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	b.take("acme", "one", report("One"))
	b.take("acme", "two", report("Two"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, first := b.stream(ctx, "/events?lang=en")
	if len(first.Rows) != 2 || first.Rows[0].HTML == "" || first.Rows[1].HTML == "" {
		t.Fatalf("the first event has not the whole list: %+v", first)
	}

	b.take("acme", "two", broken(report("Two")))
	e := b.next(events)
	if len(e.Rows) != 2 || e.Rows[0].ID != "box.acme.two" || e.Rows[1].ID != "box.acme.one" {
		t.Fatalf("after a change the rows are %+v", e.Rows)
	}
	contains(t, e.Rows[0].HTML, "udp-all-block", advice.VerdictWord(agent.Blocked, advice.English))
	if e.Rows[1].HTML != "" {
		t.Error("a row that did not change was sent again")
	}
	if want := "2 boxes, 1 " + advice.VerdictWord(agent.Blocked, advice.English); !strings.HasPrefix(e.Status, want) {
		t.Errorf("status = %q, want it to start with %q", e.Status, want)
	}

	// Many changes come as few events, and the last one is the truth.
	for range 200 {
		b.reg.Call(registry.Key{Tenant: "acme", Box: "one"}, registry.Call{Reason: agent.Timeout, At: start.Add(-time.Hour)})
	}
	b.take("acme", "one", report("Renamed"))
	n := 0
	for {
		e := b.next(events)
		n++
		if strings.Contains(e.Rows[0].HTML+e.Rows[1].HTML, "Renamed") {
			break
		}
	}
	if n > 3 {
		t.Errorf("200 changes at once came as %d events", n)
	}
}

// The first change after a while is there at once; more of them come once a
// second. The bound is loose, for the machine may be busy.
func TestFirstChangeIsNotHeldBack(t *testing.T) {
	b := newBench(t, dashboard.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, _ := b.stream(ctx, "/events?lang=en")
	best := time.Hour
	for i := range 5 {
		began := time.Now()
		b.take("acme", fmt.Sprint("box", i), report("x"))
		b.next(events)
		best = min(best, time.Since(began))
		<-time.After(1100 * time.Millisecond) // the next one is a first one again
	}
	if best > 200*time.Millisecond {
		t.Errorf("the fastest of 5 changes took %v", best)
	}
}

func TestStreamsAreBound(t *testing.T) {
	b := newBench(t, dashboard.Config{MaxStreams: 2})
	ctx, cancel := context.WithCancel(t.Context())
	b.stream(ctx, "/events")
	b.stream(ctx, "/events")
	if code, body := b.get("/events"); code != http.StatusServiceUnavailable {
		t.Errorf("a third page: %d %s", code, body)
	}
	cancel()
	deadline := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, b.url+"/events", nil)
		req.RequestURI = ""
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		cancel()
		if err == nil && resp.StatusCode == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("places of pages that left are not free again")
		}
	}
}

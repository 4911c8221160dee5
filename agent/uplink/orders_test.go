package uplink_test

import (
	"crypto/tls"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

var box1 = fleet.Address{Tenant: "acme", Box: "box-1"}

// heard keeps what orders got.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (h *heard) add(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, s)
}

func (h *heard) has(s string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.all, s)
}

func (h *heard) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// assignments makes the vendor's bucket of settings.
func assignments(t *testing.T, s *server.Server) jetstream.KeyValue {
	t.Helper()
	nc := vendor(t, s)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: fleet.Assignments, Storage: jetstream.MemoryStorage,
		RePublish: &jetstream.RePublish{Source: fleet.AllAssignments, Destination: fleet.HintsFromKeys, HeadersOnly: true}})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func vendor(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func put(t *testing.T, kv jetstream.KeyValue, a fleet.Address, v string) {
	t.Helper()
	if _, err := kv.PutString(t.Context(), a.Key(), v); err != nil {
		t.Fatal(err)
	}
}

// The assignment is read when the box connects and after a hint, and only the
// box's own. One that was taken back is no assignment.
func TestReadsItsAssignment(t *testing.T) {
	s := bus(t, nil)
	kv := assignments(t, s)
	put(t, kv, box1, "first")
	put(t, kv, fleet.Address{Tenant: "acme", Box: "box-2"}, "another's")
	var got heard
	start(t, uplink.Options{Servers: []string{s.ClientURL()}, Orders: uplink.Orders{Assignment: func(b []byte) { got.add(string(b)) }}})
	until(t, "the assignment is read at connect", func() bool { return got.has("first") })
	put(t, kv, box1, "second")
	until(t, "the assignment is read after a hint", func() bool { return got.has("second") })
	if got.has("another's") || got.has("") {
		t.Errorf("got %q", got.all)
	}
}

func TestNoAssignment(t *testing.T) {
	s := bus(t, nil)
	kv := assignments(t, s)
	put(t, kv, box1, "taken back")
	if err := kv.Delete(t.Context(), box1.Key()); err != nil {
		t.Fatal(err)
	}
	var got heard
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}, Orders: uplink.Orders{Assignment: func(b []byte) { got.add(string(b)) }}})
	until(t, "the connection is up", func() bool { return u.Evidence().Outcome == agent.Answered })
	put(t, kv, box1, "a new one")
	until(t, "the new one is read", func() bool { return got.has("a new one") })
	if got.count() != 1 {
		t.Errorf("got %q, want only the new one", got.all)
	}
}

// Whoever hints all the time does not make the box ask all the time.
func TestFloodOfHints(t *testing.T) {
	s := bus(t, nil)
	kv := assignments(t, s)
	put(t, kv, box1, "the one")
	var got heard
	start(t, uplink.Options{Servers: []string{s.ClientURL()}, Orders: uplink.Orders{Assignment: func(b []byte) { got.add(string(b)) }}})
	until(t, "the assignment is read", func() bool { return got.has("the one") })
	nc := vendor(t, s)
	for range 20_000 {
		if err := nc.Publish(box1.Hint(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n := got.count(); n > 3 {
		t.Errorf("read %d times", n)
	}
}

// Commands are answered in the manner of nats.go's micro; one that gets no answer
// gets none.
func TestCommands(t *testing.T) {
	s := bus(t, nil)
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}, Orders: uplink.Orders{
		Command: func(subject, reply string, sealed []byte) (uplink.Answer, bool) {
			switch name := subject[strings.LastIndexByte(subject, '.')+1:]; name {
			case "good":
				return uplink.Answer{Body: append([]byte("did "), sealed...)}, reply != ""
			case "bad":
				return uplink.Answer{Code: 429, Error: "too-often"}, true
			default:
				return uplink.Answer{}, false
			}
		},
	}})
	until(t, "the connection is up", func() bool { return u.Evidence().Outcome == agent.Answered })
	nc := vendor(t, s)
	until(t, "the box listens", func() bool {
		_, err := nc.Request(box1.Command("good"), nil, patience)
		return err == nil
	})
	if m, err := nc.Request(box1.Command("good"), []byte("this"), patience); err != nil || string(m.Data) != "did this" || len(m.Header) != 0 {
		t.Errorf("good: %+v, %v", m, err)
	}
	if m, err := nc.Request(box1.Command("bad"), nil, patience); err != nil || m.Header.Get(fleet.HeaderErrorCode) != "429" || m.Header.Get(fleet.HeaderError) != "too-often" {
		t.Errorf("bad: %+v, %v", m, err)
	}
	if m, err := nc.Request(box1.Command("none"), nil, 200*time.Millisecond); err == nil {
		t.Errorf("no answer: %+v", m)
	}
	if _, err := nc.Request(fleet.Address{Tenant: "acme", Box: "box-2"}.Command("good"), nil, patience); err != nats.ErrNoResponders {
		t.Errorf("another box's command: %v", err)
	}
}

// A flood of commands holds up neither reports nor memory.
func TestFloodOfCommands(t *testing.T) {
	s := bus(t, nil)
	st := stream(t, s)
	gate := make(chan struct{})
	u := start(t, uplink.Options{Servers: []string{s.ClientURL()}, Orders: uplink.Orders{
		Command: func(string, string, []byte) (uplink.Answer, bool) { <-gate; return uplink.Answer{}, false },
	}})
	defer close(gate)
	until(t, "the connection is up", func() bool { return u.Evidence().Outcome == agent.Answered })
	nc := vendor(t, s)
	big := make([]byte, 60<<10)
	for range 500 {
		if err := nc.PublishRequest(box1.Command("check"), "reply", big); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	u.Offer(report(1))
	until(t, "the report arrives all the same", func() bool { return len(stored(t, st)) == 1 })
}

// A box whose clock was never set comes to a server whose certificate is younger
// than the box's program; what else a certificate must be, it must be.
func TestClockThatWasNeverSet(t *testing.T) {
	past, ahead := trusttest.Born.AddDate(-3, 0, 0), trusttest.Dead.AddDate(0, 0, 1)
	ca, stranger := trusttest.Named(t, "Vendor CA"), trusttest.Named(t, "Somebody Else")
	tests := []struct {
		name  string
		leaf  tls.Certificate
		now   time.Time
		unset bool
		want  agent.Outcome
	}{
		{"never set, and behind", ca.Leaf("127.0.0.1"), past, true, agent.Answered},
		{"never set, and right by chance", ca.Leaf("127.0.0.1"), trusttest.Today, true, agent.Answered},
		{"set, and behind", ca.Leaf("127.0.0.1"), past, false, agent.Refused},
		{"set, and right", ca.Leaf("127.0.0.1"), trusttest.Today, false, agent.Answered},
		{"never set, a stranger's certificate", stranger.Leaf("127.0.0.1"), past, true, agent.Tampered},
		{"never set, another server's certificate", ca.Leaf("127.0.0.2", "localhost"), past, true, agent.Tampered},
		{"set, a stranger's certificate", stranger.Leaf("127.0.0.1"), trusttest.Today, false, agent.Tampered},
		{"set, another server's certificate", ca.Leaf("127.0.0.2"), trusttest.Today, false, agent.Tampered},
		{"never set, by name", ca.Leaf("localhost"), past, true, agent.Answered},
		{"never set, another name", ca.Leaf("127.0.0.1", "elsewhere.example"), past, true, agent.Tampered},
		{"never set, and years ahead", ca.Leaf("127.0.0.1"), ahead.AddDate(50, 0, 0), true, agent.Answered},
		{"never set, years ahead, a stranger's certificate", stranger.Leaf("127.0.0.1"), ahead, true, agent.Tampered},
		{"set, past its end", ca.Leaf("127.0.0.1"), ahead, false, agent.Refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := bus(t, func(o *server.Options) {
				o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{tt.leaf}}
			})
			roots := filepath.Join(t.TempDir(), "ca.pem")
			writeFile(t, roots, ca.PEM())
			at := s.Addr().String()
			if strings.Contains(tt.name, "name") {
				at = strings.Replace(at, "127.0.0.1", "localhost", 1)
			}
			u := start(t, uplink.Options{Servers: []string{"tls://" + at}, CA: roots,
				Now: trusttest.At(tt.now), ClockSet: func() bool { return !tt.unset }})
			until(t, "an outcome shows", func() bool { return u.Evidence().Outcome != agent.NotLooked })
			if e := u.Evidence(); e.Outcome != tt.want {
				t.Errorf("%s %s %v, want %s", e.Outcome, e.Reason, e.Values, tt.want)
			}
		})
	}
}

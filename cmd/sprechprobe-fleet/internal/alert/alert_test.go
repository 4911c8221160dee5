package alert_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// scene is a fleet and its webhooks, in a test's own time.
type scene struct {
	*testing.T
	conf alert.Config
	stop func()
	at   *alert.Alerter

	mu        sync.Mutex
	boxes     map[registry.Key]registry.Box
	incidents []alert.Incident
	bus       bool
	answer    func(r *http.Request) int // nil: 200
	got       map[string][]alert.Message
	tries     []time.Time
	results   map[string]int
}

func newScene(t *testing.T, hooks ...alert.Webhook) *scene {
	s := &scene{T: t, boxes: map[registry.Key]registry.Box{}, bus: true, got: map[string][]alert.Message{}, results: map[string]int{}}
	if hooks == nil {
		hooks = []alert.Webhook{{Name: "all", URL: "https://hook.example/all", Lang: advice.English}}
	}
	s.conf = alert.Config{Boxes: s.list, Incidents: s.common, Bus: func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.bus }, Webhooks: hooks,
		Alone: alone(), Base: "https://fleet.example", Client: &http.Client{Transport: s},
		Count: func(r string) { s.mu.Lock(); defer s.mu.Unlock(); s.results[r]++ }}
	return s
}

// alone is a database in which one alerter after the other has its turn.
func alone() func(context.Context, func(context.Context, []byte, func([]byte) error)) {
	var kept []byte
	turn := make(chan struct{}, 1)
	return func(ctx context.Context, do func(context.Context, []byte, func([]byte) error)) {
		select {
		case <-ctx.Done():
			return
		case turn <- struct{}{}:
		}
		do(ctx, kept, func(b []byte) error { kept = slices.Clone(b); return nil })
		<-turn
	}
}

// start starts an alerter; the next start goes on where it ended.
func (s *scene) start() {
	s.Helper()
	a := alert.New(s.conf)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.at = a
	go func() { defer close(done); a.Run(ctx) }()
	s.stop = func() { cancel(); <-done }
}

func (s *scene) list() (out []registry.Box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boxes {
		out = append(out, b)
	}
	return out
}

func (s *scene) common() []alert.Incident {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.incidents)
}

// RoundTrip is the receivers of all webhooks.
func (s *scene) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code := 200
	if s.answer != nil {
		code = s.answer(r)
	}
	s.tries = append(s.tries, time.Now())
	if code == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if code == 200 {
		var m alert.Message
		if err := json.Unmarshal(body, &m); err != nil {
			s.Errorf("%v: %s", err, body)
		}
		s.got[r.URL.Path] = append(s.got[r.URL.Path], m)
	}
	return &http.Response{StatusCode: code, Status: fmt.Sprint(code), Body: http.NoBody, Request: r}, nil
}

// set changes how a box is.
func (s *scene) set(tenant, box string, v agent.Verdict, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := agent.Report{Schema: agent.Schema, Box: agent.Box{ID: box, Name: "Praxis " + box}, Tenant: tenant, Verdict: v}
	if v == agent.Blocked {
		r.Findings = []agent.Finding{{Code: agent.UDPAllBlock, Severity: agent.Critical, Cause: agent.CausePractice, Args: map[string]string{"hosts": "turn.example"}}}
	}
	k := registry.Key{Tenant: tenant, Box: box}
	s.boxes[k] = registry.Box{Key: k, Report: r, Silent: silent}
}

func (s *scene) alter(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// wants says which messages have come since it was asked last, each by its type and
// what it is about.
func (s *scene) wants(path string, want ...string) {
	s.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := []string{}
	for _, m := range s.got[path] {
		switch {
		case m.Box != nil:
			got = append(got, fmt.Sprintf("%s %s/%s %s>%s", m.Type, m.Box.Tenant, m.Box.Box, m.Box.Before, m.Box.State))
		case m.Boxes != nil:
			got = append(got, fmt.Sprintf("%s %d", m.Type, m.Boxes.Count))
		case m.Incident != nil:
			got = append(got, fmt.Sprintf("%s %s %d", m.Type, m.Incident.ID, m.Incident.Count))
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("after %v at %s: %q, want %q", time.Since(epoch), path, got, want)
	}
	delete(s.got, path)
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when time starts in a bubble

const hook = "/all"

func TestQuietByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.set("acme", "nord", agent.Ready, false)
		s.start()
		defer func() { s.stop() }()
		time.Sleep(time.Hour)
		s.wants(hook)
		// What passes by itself is not told.
		for range 10 {
			s.set("acme", "nord", agent.Blocked, false)
			time.Sleep(4 * time.Minute)
			s.set("acme", "nord", agent.Ready, false)
			time.Sleep(time.Minute)
		}
		s.set("acme", "nord", agent.VerdictUnknown, false)
		time.Sleep(time.Hour)
		s.wants(hook)
		// What lasts is told once, and that it is over once.
		s.set("acme", "nord", agent.Blocked, false)
		time.Sleep(3 * time.Hour)
		s.wants(hook, "box.changed acme/nord ready>blocked")
		s.set("acme", "nord", agent.VerdictUnknown, false)
		time.Sleep(time.Hour)
		s.set("acme", "nord", agent.Ready, false)
		time.Sleep(4 * time.Minute)
		s.set("acme", "nord", agent.Blocked, false)
		time.Sleep(time.Hour)
		s.wants(hook)
		s.set("acme", "nord", agent.VerdictLimited, false)
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/nord blocked>limited")
		s.set("acme", "nord", agent.Ready, true)
		time.Sleep(14 * time.Minute)
		s.wants(hook)
		time.Sleep(2 * time.Minute)
		s.wants(hook, "box.changed acme/nord limited>silent")
		s.set("acme", "nord", agent.Ready, false)
		time.Sleep(6 * time.Minute)
		s.wants(hook, "box.changed acme/nord silent>ready")
	})
}

func members(tenant string, n int) map[registry.Key]bool {
	m := map[registry.Key]bool{}
	for i := range n {
		m[registry.Key{Tenant: tenant, Box: fmt.Sprint("box-", i)}] = true
	}
	return m
}

// An incident is one message when it starts and one when it ends, however many boxes
// it has. A box with a fault of its own is told all the same.
func TestOneMessagePerIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		set := func(v agent.Verdict) {
			for k := range members("acme", 100) {
				s.set(k.Tenant, k.Box, v, false)
			}
		}
		set(agent.Ready)
		s.set("acme", "own-fault", agent.Ready, false)
		s.start()
		defer func() { s.stop() }()
		time.Sleep(time.Hour)
		set(agent.Blocked)
		s.set("acme", "own-fault", agent.Blocked, false)
		time.Sleep(time.Minute)
		i := alert.Incident{ID: "i1", Cause: "vendor", Target: "turn.example:3478/udp", StartedAt: time.Now(), Members: members("acme", 100)}
		s.alter(func() { s.incidents = []alert.Incident{i} })
		time.Sleep(3 * time.Minute)
		s.wants(hook, "incident.started i1 100")
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/own-fault ready>blocked")
		// A gap in it is no end.
		s.alter(func() { s.incidents = nil })
		time.Sleep(time.Minute)
		s.alter(func() { s.incidents = []alert.Incident{i} })
		time.Sleep(time.Hour)
		s.wants(hook)
		set(agent.Ready)
		s.set("acme", "box-7", agent.Blocked, false) // which does not recover with the others
		s.alter(func() { s.incidents = nil })
		time.Sleep(8 * time.Minute)
		s.wants(hook, "incident.ended i1 100")
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/box-7 ready>blocked")
		// One that passes by itself is not told, and neither are its boxes.
		set(agent.Ready)
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/box-7 blocked>ready")
		set(agent.Blocked)
		s.alter(func() { s.incidents = []alert.Incident{{ID: "i2", Cause: "isp", Members: members("acme", 100)}} })
		time.Sleep(time.Minute)
		s.alter(func() { s.incidents = nil })
		set(agent.Ready)
		time.Sleep(time.Hour)
		s.wants(hook)
	})
}

// Many boxes at once that nothing explains are one message.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.start()
		defer func() { s.stop() }()
		for k := range members("acme", 50) {
			s.set(k.Tenant, k.Box, agent.Offline, false)
		}
		time.Sleep(time.Hour)
		s.wants(hook, "boxes.changed 50")
		for k := range members("acme", 3) {
			s.set(k.Tenant, k.Box, agent.Ready, false)
		}
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/box-0 offline>ready", "box.changed acme/box-1 offline>ready", "box.changed acme/box-2 offline>ready")
	})
}

// While the bus is away nobody is silent; when it is back, boxes get their time.
func TestBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.set("acme", "nord", agent.Ready, false)
		s.start()
		defer func() { s.stop() }()
		time.Sleep(time.Hour)
		s.alter(func() { s.bus = false })
		s.set("acme", "nord", agent.Ready, true)
		time.Sleep(5 * time.Hour)
		s.alter(func() { s.bus = true })
		time.Sleep(5 * time.Minute)
		s.set("acme", "nord", agent.Ready, false)
		time.Sleep(time.Hour)
		s.wants(hook)
	})
}

// A webhook of one tenant gets nothing of another one, nor what it did not ask for.
func TestWebhooksOfTenants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t,
			alert.Webhook{Name: "acme", URL: "https://hook.example/acme", Tenants: []string{"acme"}, Lang: advice.German},
			alert.Webhook{Name: "zoo", URL: "https://hook.example/zoo", Tenants: []string{"zoo"}, Types: []string{alert.IncidentStarted}, Lang: advice.English})
		var raw strings.Builder
		s.alter(func() {
			s.answer = func(r *http.Request) int {
				if r.URL.Path == "/acme" {
					body, _ := r.GetBody()
					text, _ := io.ReadAll(body)
					raw.Write(text)
				}
				return 200
			}
		})
		s.start()
		defer func() { s.stop() }()
		s.set("acme", "nord", agent.Blocked, false)
		for k := range members("zoo", 30) {
			s.set(k.Tenant, k.Box, agent.Blocked, false)
		}
		all := members("zoo", 7)
		all[registry.Key{Tenant: "acme", Box: "sued"}] = true
		s.alter(func() {
			s.incidents = []alert.Incident{{ID: "i1", Cause: "vendor", Target: "turn.example", Members: all},
				{ID: "i2", Cause: "isp", Provider: "zoo-net", Members: members("zoo", 3)}}
		})
		time.Sleep(time.Hour)
		s.wants("/acme", "incident.started i1 1", "box.changed acme/nord ready>blocked")
		s.wants("/zoo", "incident.started i1 7", "incident.started i2 3")
		if strings.Contains(raw.String(), "zoo") || !strings.Contains(raw.String(), "Praxis nord (acme/nord): nicht bereit") ||
			!strings.Contains(raw.String(), "https://fleet.example/?lang=de\\u0026q=nord") {
			t.Errorf("acme is told\n%s", raw.String())
		}
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		fails := 4
		s.alter(func() {
			s.answer = func(*http.Request) int {
				if fails--; fails >= 0 {
					return []int{500, 0, 302, 429}[fails]
				}
				return 200
			}
		})
		s.start()
		defer func() { s.stop() }()
		s.set("acme", "nord", agent.Blocked, false)
		s.set("acme", "sued", agent.Blocked, false)
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/nord ready>blocked", "box.changed acme/sued ready>blocked")
		for i, least := range []time.Duration{4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second} {
			if gap := s.tries[i+1].Sub(s.tries[i]); gap < least || gap > 2*least {
				t.Errorf("wait %d is %v, want %v to %v", i, gap, least, 2*least)
			}
		}
		if s.results["ok"] != 2 || s.results["retry"] != 4 {
			t.Errorf("results %v", s.results)
		}
		// A message that the receiver does not understand makes way for others.
		s.alter(func() {
			s.answer = func(r *http.Request) int {
				body, _ := r.GetBody()
				if text, _ := io.ReadAll(body); strings.Contains(string(text), `"box":"west"`) {
					return 400
				}
				return 200
			}
		})
		s.set("acme", "west", agent.Blocked, false)
		s.set("acme", "x-ost", agent.Blocked, false)
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/x-ost ready>blocked")
		// And one that nobody takes for a day is given up.
		s.alter(func() { s.answer = func(*http.Request) int { return 503 } })
		s.set("acme", "nord", agent.Ready, false)
		time.Sleep(30 * time.Hour)
		s.alter(func() { s.answer, s.tries = nil, nil })
		time.Sleep(2 * time.Hour)
		s.wants(hook)
		if s.results["dropped"] != 2 || s.results["retry"] > 4+2+40 {
			t.Errorf("results %v", s.results)
		}
	})
}

// A restart neither repeats nor loses anything.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.set("acme", "nord", agent.Blocked, false)
		s.set("acme", "sued", agent.Ready, false)
		i := alert.Incident{ID: "i1", Cause: "isp", Provider: "Some Net", Members: members("acme", 3)}
		s.alter(func() { s.incidents = []alert.Incident{i} })
		s.start()
		time.Sleep(time.Hour)
		s.wants(hook, "incident.started i1 3", "box.changed acme/nord ready>blocked")
		s.alter(func() { s.answer = func(*http.Request) int { return 0 } })
		s.set("acme", "sued", agent.Offline, false)
		time.Sleep(time.Hour)
		s.stop()
		s.alter(func() { s.answer = nil })
		s.start()
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/sued ready>offline")
		s.stop()
		s.set("acme", "nord", agent.Ready, false)
		s.alter(func() { s.incidents = nil })
		time.Sleep(time.Hour)
		s.start()
		time.Sleep(time.Hour)
		s.wants(hook, "incident.ended i1 3", "box.changed acme/nord blocked>ready")
		s.stop()
	})
}

// Of two programs one tells; the other one goes on when that has ended.
func TestTwoTellOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.set("acme", "nord", agent.Blocked, false)
		s.start()
		first := s.stop
		s.start()
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/nord ready>blocked")
		first()
		time.Sleep(time.Hour)
		s.wants(hook)
		s.set("acme", "nord", agent.Ready, false)
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/nord blocked>ready")
		s.stop()
	})
}

// What could not be kept is not told: the next one would tell it again.
func TestWhatIsNotKeptIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		with := s.conf.Alone
		var broken atomic.Bool
		broken.Store(true)
		s.conf.Alone = func(ctx context.Context, do func(context.Context, []byte, func([]byte) error)) {
			for ctx.Err() == nil {
				with(ctx, func(ctx context.Context, kept []byte, keep func([]byte) error) {
					do(ctx, kept, func(b []byte) error {
						if broken.Load() {
							return errors.New("no room")
						}
						return keep(b)
					})
				})
			}
		}
		s.set("acme", "nord", agent.Blocked, false)
		s.start()
		time.Sleep(time.Hour)
		s.wants(hook)
		broken.Store(false)
		time.Sleep(time.Hour)
		s.wants(hook, "box.changed acme/nord ready>blocked")
		s.stop()
	})
}

// The signature is that of Standard Webhooks: the example of its libraries.
func TestSignature(t *testing.T) {
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := alert.Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Over a real connection: signed, and redirects are not followed with it.
func TestDelivery(t *testing.T) {
	type seen struct{ path, sign, id, at, body string }
	got := make(chan seen, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hook", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- seen{r.URL.Path, r.Header.Get("Webhook-Signature"), r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), string(body)}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	secret := []byte("geheim")
	k := registry.Key{Tenant: "acme", Box: "nord"}
	a := alert.New(alert.Config{Every: time.Millisecond, Rules: alert.Rules{Hold: time.Millisecond},
		Boxes: func() []registry.Box {
			return []registry.Box{{Key: k, Report: agent.Report{Schema: agent.Schema, Verdict: agent.Blocked}}}
		},
		Webhooks: []alert.Webhook{{Name: "x", URL: srv.URL + "/hook", Secret: secret, Lang: advice.German}}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	one := <-got
	cancel()
	<-done
	if want := "v1," + alert.Sign(secret, one.id, one.at, []byte(one.body)); one.sign != want || one.id == "" {
		t.Errorf("signature %q, want %q", one.sign, want)
	}
	if a.Waiting() != 1 {
		t.Errorf("%d messages wait, want the one that was not taken", a.Waiting())
	}
}

// A box that is deleted is in no message that waits, in no file, and tells nothing of
// what it was about to tell; if it comes again, it is a new one.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		var kept []byte
		alone := s.conf.Alone
		s.conf.Alone = func(ctx context.Context, do func(context.Context, []byte, func([]byte) error)) {
			alone(ctx, func(ctx context.Context, was []byte, keep func([]byte) error) {
				do(ctx, was, func(b []byte) error { kept = slices.Clone(b); return keep(b) })
			})
		}
		s.start()
		key := registry.Key{Tenant: "acme", Box: "geheim"}
		forget := func() {
			s.alter(func() { delete(s.boxes, key) })
			s.at.Forget(key)
			synctest.Wait()
			if strings.Contains(string(kept), "geheim") {
				t.Errorf("kept is %s", kept)
			}
		}
		s.alter(func() {
			s.incidents = []alert.Incident{{ID: "i1", Cause: "vendor", Target: "turn.example", StartedAt: time.Now(), Members: map[registry.Key]bool{key: true, {Tenant: "acme", Box: "other"}: true}}}
		})
		s.set("acme", "geheim", agent.Ready, false)
		time.Sleep(3 * time.Minute)
		s.wants("/all", "incident.started i1 2")
		s.alter(func() { s.incidents = nil; s.answer = func(*http.Request) int { return 503 } })
		time.Sleep(10 * time.Minute)
		s.set("acme", "geheim", agent.Blocked, false)
		time.Sleep(6 * time.Minute) // its message waits, for nobody takes any
		if n := s.at.Waiting(); n != 2 {
			t.Fatalf("%d messages wait, want those of the incident's end and of the box", n)
		}
		forget()
		s.alter(func() { s.answer = nil })
		time.Sleep(time.Hour)
		s.wants("/all", "incident.ended i1 2")

		// In its hold time.
		s.set("acme", "geheim", agent.Blocked, false)
		time.Sleep(4 * time.Minute)
		forget()
		time.Sleep(time.Hour)
		s.wants("/all")

		// As one of many, while the receiver is away.
		s.alter(func() { s.answer = func(*http.Request) int { return 503 } })
		s.set("acme", "geheim", agent.Blocked, false)
		for i := range 12 {
			s.set("acme", fmt.Sprint("x-", i), agent.Blocked, false)
		}
		time.Sleep(6 * time.Minute)
		forget()
		s.alter(func() { s.answer = nil })
		time.Sleep(time.Hour)
		s.wants("/all", "boxes.changed 13")

		// Between two turns.
		s.set("acme", "geheim", agent.Blocked, false)
		time.Sleep(6 * time.Minute)
		s.wants("/all", "box.changed acme/geheim ready>blocked")
		s.stop()
		s.alter(func() { delete(s.boxes, key) })
		if !strings.Contains(string(kept), "geheim") {
			t.Errorf("kept is %s", kept)
		}
		s.start()
		forget()
		time.Sleep(time.Minute)
		if strings.Contains(string(kept), "geheim") {
			t.Errorf("after the next turn kept is %s", kept)
		}
		s.stop()
	})
}

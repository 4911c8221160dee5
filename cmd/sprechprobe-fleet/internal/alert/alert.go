// Package alert tells webhooks what lasts: boxes that are bad, silent or well again,
// and incidents, one message each. It is quiet by default: whatever passes by itself
// is not told, what many boxes have in common is told once, and a restart tells
// nothing again. It judges no box: that is the boxes' own, and the correlation's.
package alert

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

// Webhook is where messages go.
type Webhook struct {
	Name    string // in the log and in the file of what waits
	URL     string
	Secret  []byte   // for the signature
	Tenants []string // whose boxes; empty: all
	Types   []string // of messages; empty: all
	Lang    advice.Lang
}

func (w Webhook) sees(tenant string) bool {
	return len(w.Tenants) == 0 || slices.Contains(w.Tenants, tenant)
}

func (w Webhook) wants(kind string) bool { return len(w.Types) == 0 || slices.Contains(w.Types, kind) }

// Config says what to watch and whom to tell. Boxes and Webhooks are needed.
type Config struct {
	Boxes     func() []registry.Box
	Incidents func() []Incident // nil: none are known
	Bus       func() bool       // without a bus nothing is seen; nil: always there
	Webhooks  []Webhook
	Rules     Rules
	// Alone does something when it is this program's turn, of all that serve one fleet,
	// with what the last one has kept, until the turn is over: each message is told by
	// one of them. nil: there is no other, and nothing is kept over a restart.
	Alone  func(ctx context.Context, do func(ctx context.Context, kept []byte, keep func([]byte) error))
	Base   string // address of the dashboard, for links; empty: none
	Every  time.Duration
	Client *http.Client        // default: one with a deadline, which follows no redirects
	Count  func(result string) // told of each try: ok, retry, dropped
	Log    *slog.Logger
}

// Alerter is at work while Run runs.
type Alerter struct {
	conf Config

	mu     sync.Mutex
	engine *engine
	queues map[string][]delivery // by webhook
	wake   map[string]chan struct{}
	told   memory // of the last look that told something
	keep   func([]byte) error
	gone   []registry.Key // boxes to forget
}

// kept is what the next one gets.
type kept struct {
	Told   memory                `json:"told"`
	Queues map[string][]delivery `json:"queues"`
}

// New makes an alerter.
func New(c Config) *Alerter {
	if c.Bus == nil {
		c.Bus = func() bool { return true }
	}
	if c.Incidents == nil {
		c.Incidents = func() []Incident { return nil }
	}
	if c.Every == 0 {
		c.Every = 10 * time.Second
	}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 15 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if c.Count == nil {
		c.Count = func(string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Alerter{conf: c, wake: map[string]chan struct{}{}}
	for _, h := range c.Webhooks {
		a.wake[h.Name] = make(chan struct{}, 1)
	}
	return a
}

// load goes on where the last one ended.
func (a *Alerter) load(data []byte, keep func([]byte) error) {
	var k kept
	if len(data) > 0 {
		if err := json.Unmarshal(data, &k); err != nil {
			a.conf.Log.Error("what was told before cannot be read, and may be told again", "err", err)
			k = kept{}
		}
	}
	e := newEngine(a.conf.Rules)
	e.remember(k.Told) // what there is at the start has to last, too
	a.mu.Lock()
	defer a.mu.Unlock()
	a.engine, a.told, a.queues, a.keep = e, k.Told, map[string][]delivery{}, keep
	for name, q := range k.Queues {
		if a.wake[name] != nil { // else the webhook is no longer wanted
			a.queues[name] = q
		}
	}
	a.forget()
}

// save writes down what was told and what waits. The caller holds the lock, so that
// nothing is sent before.
func (a *Alerter) save() error {
	data, err := json.Marshal(kept{a.told, a.queues})
	if err == nil {
		err = a.keep(data)
	}
	if err != nil {
		a.conf.Log.Error("alerts cannot be kept", "err", err)
	}
	return err
}

// Run watches and delivers until ctx ends.
func (a *Alerter) Run(ctx context.Context) {
	if a.conf.Alone == nil {
		a.turn(ctx, nil, func([]byte) error { return nil })
		return
	}
	a.conf.Alone(ctx, func(turn context.Context, kept []byte, keep func([]byte) error) {
		a.turn(turn, kept, keep)
		if ctx.Err() == nil { // what waits is another one's now
			a.mu.Lock()
			defer a.mu.Unlock()
			a.queues = nil
		}
	})
}

// turn watches and delivers until ctx ends, or nothing can be kept: what is told then
// could be told again.
func (a *Alerter) turn(ctx context.Context, kept []byte, keep func([]byte) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.load(kept, func(b []byte) error {
		err := keep(b)
		if err != nil {
			cancel()
		}
		return err
	})
	var all sync.WaitGroup
	for _, h := range a.conf.Webhooks {
		all.Go(func() { a.deliver(ctx, h) })
	}
	t := time.NewTicker(a.conf.Every)
	defer t.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case now := <-t.C:
			a.look(now)
		}
	}
	all.Wait()
}

// look sees what there is to tell and puts it into the queues.
func (a *Alerter) look(now time.Time) {
	there, boxes, incidents := a.conf.Bus(), a.conf.Boxes(), a.conf.Incidents()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !there {
		a.engine.blind = true
		return
	}
	n := a.engine.look(now, boxes, incidents)
	if len(n.changes)+len(n.episodes) == 0 {
		return
	}
	for _, h := range a.conf.Webhooks {
		for _, m := range (letters{h, a.conf.Base}).write(n, a.engine.rules.Burst, now) {
			a.put(h.Name, m)
		}
	}
	a.told = a.engine.memory()
	if a.save() != nil {
		a.queues = nil // the turn is over, and the next one tells
	}
}

// Forget drops all that is kept of a box: what was told of it, and what of it waits to
// be told. If it reports again, it is a new one.
func (a *Alerter) Forget(k registry.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone = append(a.gone, k); a.queues != nil { // else when it is this one's turn
		a.forget()
	}
}

// forget drops the boxes that are gone. The caller holds the lock.
func (a *Alerter) forget() {
	if len(a.gone) == 0 {
		return
	}
	for _, k := range a.gone {
		a.engine.forget(k)
		for name, q := range a.queues {
			kept := q[:0]
			for _, d := range q {
				if d.forget(k) {
					kept = append(kept, d)
				}
			}
			a.queues[name] = kept
		}
	}
	a.gone, a.told = nil, a.engine.memory()
	if a.save() != nil {
		a.queues = nil // the turn is over
	}
}

// put adds a message to a queue. The caller holds the lock.
func (a *Alerter) put(hook string, m Message) {
	m.ID = "msg_" + rand.Text()
	body, err := json.Marshal(m)
	if err != nil {
		a.conf.Log.Error("alert", "err", err)
		return
	}
	q := a.queues[hook]
	if len(q) >= mostWaiting {
		a.conf.Count("dropped")
		a.conf.Log.Warn("too many messages wait, the oldest is dropped", "webhook", hook)
		q = slices.Delete(q, 0, 1)
	}
	a.queues[hook] = append(q, delivery{ID: m.ID, Body: body, MadeAt: m.At})
	select {
	case a.wake[hook] <- struct{}{}:
	default: // it is awake
	}
}

// Waiting is how many messages have not been delivered.
func (a *Alerter) Waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, q := range a.queues {
		n += len(q)
	}
	return n
}

// Count counts incidents by cause.
func Count(all []Incident) map[string]int {
	out := map[string]int{}
	for _, i := range all {
		out[i.Cause]++
	}
	return out
}

// clean makes foreign text printable and short.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

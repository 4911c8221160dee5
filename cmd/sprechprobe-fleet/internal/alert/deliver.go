package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/registry"
)

const (
	mostWaiting = 1000 // messages of one webhook
	firstWait   = 5 * time.Second
	longestWait = time.Hour
	giveUp      = 24 * time.Hour
	// refusals is how often a receiver may say that the message itself is wrong
	// (4xx) before it is dropped: others wait behind it.
	refusals = 3
)

// delivery is one message on its way.
type delivery struct {
	ID     string          `json:"id"`
	Body   json.RawMessage `json:"body"`
	MadeAt time.Time       `json:"made_at"`
	Tries  int             `json:"tries"`
}

// forget takes a box out of a message, and reports whether there is anything left to
// tell.
func (d *delivery) forget(k registry.Key) bool {
	var m Message
	if json.Unmarshal(d.Body, &m) != nil {
		return true // not ours to judge
	}
	is := func(b Box) bool { return b.Tenant == k.Tenant && b.Box == k.Box }
	switch {
	case m.Box != nil && is(*m.Box):
		return false
	case m.Boxes != nil && slices.ContainsFunc(m.Boxes.Examples, is):
		m.Boxes.Examples = slices.DeleteFunc(m.Boxes.Examples, is)
		if body, err := json.Marshal(m); err == nil {
			d.Body = body
		}
	}
	return true
}

// deliver sends what waits for a webhook, in order, until ctx ends.
func (a *Alerter) deliver(ctx context.Context, h Webhook) {
	for ctx.Err() == nil {
		d, ok := a.first(h.Name)
		if !ok {
			select {
			case <-ctx.Done():
			case <-a.wake[h.Name]:
			}
			continue
		}
		code, err := a.send(ctx, h, d)
		if ctx.Err() != nil {
			return // it waits for the next start
		}
		d.Tries++
		switch {
		case err == nil:
			a.conf.Count("ok")
			a.settle(h.Name, d, false)
		case hopeless(code, d.Tries), time.Since(d.MadeAt) > giveUp:
			a.conf.Count("dropped")
			a.conf.Log.Error("message to a webhook is dropped", "webhook", h.Name, "tries", d.Tries, "err", err)
			a.settle(h.Name, d, false)
		default:
			a.conf.Count("retry")
			a.conf.Log.Warn("webhook does not take a message", "webhook", h.Name, "tries", d.Tries, "err", err)
			a.settle(h.Name, d, true)
			pause(ctx, wait(d.Tries))
		}
	}
}

// hopeless reports whether a receiver will not take a message however often it
// comes.
func hopeless(code, tries int) bool {
	switch {
	case code == http.StatusGone:
		return true
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return false
	}
	return code >= 400 && code < 500 && tries >= refusals
}

// wait grows from 5 s to an hour, by a fifth more or less, so that several programs
// do not come together.
func wait(tries int) time.Duration {
	d := longestWait
	if tries < 10 {
		d = firstWait << (tries - 1)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (a *Alerter) first(hook string) (delivery, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.queues[hook]; len(q) > 0 {
		return q[0], true
	}
	return delivery{}, false
}

// settle takes a message out of its queue, or notes that it has been tried.
func (a *Alerter) settle(hook string, d delivery, again bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.queues[hook], func(o delivery) bool { return o.ID == d.ID })
	switch {
	case i < 0: // dropped meanwhile, for too many wait
	case again:
		a.queues[hook][i] = d
	default:
		a.queues[hook] = slices.Delete(a.queues[hook], i, i+1)
	}
	_ = a.save() // if that fails, it is sent again, under the same id
}

// send posts a message, signed as Standard Webhooks 1.0 has it. code is 0 where there
// was no answer.
func (a *Alerter) send(ctx context.Context, h Webhook, d delivery) (code int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0, err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sprechprobe-fleet")
	req.Header.Set("Webhook-Id", d.ID)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", "v1,"+Sign(h.Secret, d.ID, at, d.Body))
	resp, err := a.conf.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode, fmt.Errorf("answer %s", resp.Status)
	}
	return resp.StatusCode, nil
}

// Sign is the signature of a message: HMAC-SHA256 over id, time and body, with dots
// in between, in base64.
func Sign(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, at)
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

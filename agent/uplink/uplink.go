// Package uplink carries reports to the vendor's NATS subject: one connection
// that never gives up, reports kept in memory until JetStream has acknowledged
// them, and a word on how it stands. It knows nothing of probes and shares no
// connection with them.
package uplink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	dialLimit    = 15 * time.Second // a busy server's TLS handshake takes its time
	ackLimit     = 10 * time.Second
	pingInterval = 25 * time.Second
	longestDelay = 60 * time.Second
	slowStart    = 2   // delays left out where a server is there but takes nothing
	most         = 128 // reports kept while the vendor is away
)

// Uplink reports. Its methods may be called from several goroutines.
type Uplink struct {
	opts    Options
	subject string
	boot    string
	wake    chan struct{}

	mu      sync.Mutex
	queue   []agent.Report // oldest first
	dropped int
	state   agent.Evidence
}

// New checks the options. It opens nothing.
func New(o Options) (*Uplink, error) {
	subject, err := fleet.ReportSubject(o.Tenant, o.Box)
	if err != nil {
		return nil, err
	}
	if len(o.Servers) == 0 {
		return nil, errors.New("no server to report to")
	}
	if _, err := o.nats(); err != nil {
		return nil, err
	}
	u := &Uplink{opts: o, subject: subject, boot: rand.Text(), wake: make(chan struct{}, 1)}
	u.state = agent.See(agent.ProbeUplink, u.target(), agent.NotLooked, agent.Cancelled)
	return u, nil
}

// Offer takes a report to be sent. It never blocks: when too many wait, the
// oldest goes, and the loss is counted.
func (u *Uplink) Offer(r agent.Report) {
	u.mu.Lock()
	u.queue = append(u.queue, r)
	if len(u.queue) > most {
		u.queue = u.queue[1:]
		u.dropped++
	}
	u.mu.Unlock()
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// Run sends what is offered until ctx ends; then it gives the newest report a
// moment to leave. It returns nil: an absent vendor is no reason to stop.
func (u *Uplink) Run(ctx context.Context) error {
	opts, err := u.opts.nats()
	if err != nil {
		return err
	}
	dial := &dialer{ctx: ctx}
	defer context.AfterFunc(ctx, dial.drop)()
	opts = append(append(opts, nats.SetCustomDialer(dial)), u.handlers()...)
	conn, err := nats.Connect(strings.Join(u.opts.Servers, ","), opts...)
	if err != nil {
		return fmt.Errorf("report to %s: %w", u.target(), err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	u.deliver(ctx, conn, js)
	return nil
}

// deliver sends whenever something waits, and again after a while what was not
// acknowledged, until ctx ends.
func (u *Uplink) deliver(ctx context.Context, conn *nats.Conn, js jetstream.JetStream) {
	var again <-chan time.Time // one at a time, however many reports wait
	for failed := 0; ; {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			u.flush(last, conn, js)
			return
		case <-u.wake:
		case <-again:
		}
		failed, again = failed+1, nil
		if u.flush(ctx, conn, js) {
			failed = 0
		} else {
			again = time.After(delay(failed + slowStart))
		}
	}
}

// flush sends what waits, oldest first, and reports false as soon as something
// was not acknowledged.
func (u *Uplink) flush(ctx context.Context, conn *nats.Conn, js jetstream.JetStream) bool {
	for conn.IsConnected() {
		r, ok := u.oldest()
		if !ok {
			break
		}
		err := u.send(ctx, js, r)
		if err == nil {
			u.forget(r)
		} else if ctx.Err() == nil {
			u.opts.Log.Warn("report not acknowledged", "err", err)
		}
		u.heard(err == nil)
		if err != nil {
			return false
		}
	}
	return true
}

// heard notes whether the vendor acknowledged a report: a connection behind which
// nobody takes them is none. Why there is none may be known better already.
func (u *Uplink) heard(yes bool) {
	was := u.Evidence().Outcome
	switch {
	case yes && was != agent.Answered:
		u.set(agent.Answered, "", "")
	case !yes && was == agent.Answered:
		u.set(agent.Silent, agent.Timeout, "no acknowledgement")
	}
}

func (u *Uplink) oldest() (agent.Report, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.queue) == 0 {
		return agent.Report{}, false
	}
	return u.queue[0], true
}

// forget drops an acknowledged report, if Offer has not dropped it already.
func (u *Uplink) forget(r agent.Report) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.queue) > 0 && u.queue[0].Seq == r.Seq {
		u.queue = u.queue[1:]
	}
}

// send publishes one report and waits for its acknowledgement. The message id is
// random, for a guessable one could be taken by another box; the boot id and
// the sequence number inside make a repeat recognisable.
func (u *Uplink) send(ctx context.Context, js jetstream.JetStream, r agent.Report) error {
	body, err := fleet.Encode(r)
	if err != nil {
		u.opts.Log.Error("report cannot be written", "err", err)
		return nil // sending it again would not help
	}
	msg := nats.NewMsg(u.subject)
	msg.Data = body
	msg.Header.Set(fleet.HeaderBoot, u.boot)
	ctx, cancel := context.WithTimeout(ctx, ackLimit)
	defer cancel()
	_, err = js.PublishMsg(ctx, msg, jetstream.WithMsgID(rand.Text()))
	return err
}

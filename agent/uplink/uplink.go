// Package uplink carries reports to the vendor's NATS subject: one connection
// that never gives up, reports kept in a spool until JetStream has acknowledged
// them, beats between them, and a word on how it all stands. It knows nothing of
// probes and shares no connection with them.
package uplink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/uplink/dial"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	ackLimit     = 10 * time.Second
	pingInterval = 25 * time.Second // under the shortest memory of a middlebox, half a minute
	beatEvery    = time.Minute
	lastWords    = 2 * time.Second // when the program ends

	// A report that was not acknowledged is sent again after these.
	firstPause = 4 * time.Second
	mostPause  = time.Minute
)

// Uplink reports. Its methods may be called from several goroutines.
type Uplink struct {
	opts                   Options
	subject, states, beats string
	boot                   string
	spool                  *spool.Spool
	pace                   *pace
	dialLimit              time.Duration
	ackLimit, beatEvery    time.Duration
	wake                   chan struct{}
	orders                 chan struct{} // there may be a new assignment
	clockless              chan struct{} // there may be somebody to ask for the time
	dialer                 atomic.Pointer[dialer]
	conn                   atomic.Pointer[nats.Conn]          // of the session; nil: none
	giveUp                 atomic.Pointer[context.CancelFunc] // the wait for an acknowledgement

	mu      sync.Mutex
	state   agent.Evidence
	seq     uint64 // of the newest report
	verdict agent.Verdict
	news    bool // the vendor has not heard of it
	mute    bool // beats are not wanted
}

// New checks the options. It opens nothing.
func New(o Options) (*Uplink, error) {
	subject, err := fleet.ReportSubject(o.Tenant, o.Box)
	if err != nil {
		return nil, err
	}
	states, beats, err := fleet.BeatSubjects(o.Tenant, o.Box)
	if err != nil {
		return nil, err
	}
	if len(o.Servers) == 0 {
		return nil, errors.New("no server to report to")
	}
	if o.Boot == "" {
		o.Boot = rand.Text()
	}
	if !isToken(o.Boot) {
		return nil, fmt.Errorf("boot %.70q: want 1 to 64 letters and digits", o.Boot)
	}
	if o.Spool == nil {
		o.Spool, _ = spool.Open(spool.Options{})
	}
	if _, err := inOrder(o.Servers); err != nil {
		return nil, err
	}
	if _, err := o.encryption(); err != nil {
		return nil, err
	}
	if _, err := o.nats(); err != nil {
		return nil, err
	}
	u := &Uplink{opts: o, subject: subject, states: states, beats: beats, boot: o.Boot, spool: o.Spool,
		pace: newPace(), dialLimit: dialLimit, ackLimit: ackLimit, beatEvery: beatEvery, wake: make(chan struct{}, 1), orders: make(chan struct{}, 1), clockless: make(chan struct{}, 1)}
	u.state = agent.See(agent.ProbeUplink, u.target(), agent.NotLooked, agent.Cancelled)
	return u, nil
}

// Offer takes a report to be sent. It waits for no disk and no network: when too
// many wait, the oldest goes, and the loss is counted.
func (u *Uplink) Offer(r agent.Report) {
	body, err := fleet.Encode(r)
	if err == nil {
		err = u.spool.Put(u.newLetter(body).seal())
	}
	if err != nil {
		u.opts.Log.Error("report cannot be kept", "err", err)
		return
	}
	u.mu.Lock()
	u.news = u.news || u.seq == 0 || u.verdict != r.Verdict
	u.seq, u.verdict = r.Seq, r.Verdict
	u.mu.Unlock()
	u.poke()
}

// Hurry makes an attempt to connect at once where there is no connection, for
// somebody is about to look. It waits for nothing, and comes to nothing if it
// was called a moment ago.
func (u *Uplink) Hurry() { u.pace.sooner() }

func (u *Uplink) poke() {
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
	d, err := u.opts.dialer(ctx, u.failed)
	if err != nil {
		return err
	}
	d.limit = u.dialLimit
	u.dialer.Store(d)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = u.spool.Run(ctx) })
	defer context.AfterFunc(ctx, d.drop)()
	opts = append(append(opts, u.handlers()...), nats.SetCustomDialer(d),
		nats.CustomReconnectDelay(func(int) time.Duration { u.pace.wait(ctx); return 0 }))
	for {
		if err := u.session(ctx, opts); err != nil || ctx.Err() != nil {
			return err
		}
		u.lost(nil)
		u.pace.wait(ctx)
	}
}

// session uses one client for as long as it lives. It outlives its connections,
// but gives up for good when a server sends it an error that it does not know.
func (u *Uplink) session(ctx context.Context, opts []nats.Option) error {
	given := make(chan struct{})
	opts = append(slices.Clone(opts), nats.ClosedHandler(func(*nats.Conn) { close(given) }))
	conn, err := nats.Connect("nats://vendor", opts...) // the dialer knows where he is
	if err != nil {
		return fmt.Errorf("report to %s: %w", u.target(), err)
	}
	u.conn.Store(conn)
	defer u.conn.Store(nil)
	stop := u.takeOrders(ctx, conn)
	u.deliver(ctx, conn, given)
	if s := u.dialer.Load().latest.Load(); s != nil {
		s.Close() // or a server that takes nothing would be waited for
	}
	stop()
	conn.Close()
	return nil
}

// dialer makes a dialer for our servers; failed is told why an attempt brought
// nothing.
func (o Options) dialer(ctx context.Context, failed func(error)) (*dialer, error) {
	servers, err := inOrder(o.Servers)
	if err != nil {
		return nil, err
	}
	encryption, err := o.encryption()
	if err != nil {
		return nil, err
	}
	to := dial.Options{TLS: encryption, Always: o.CA != "", Proxy: o.Proxy}
	return &dialer{ctx: ctx, servers: servers, opts: to, limit: dialLimit, failed: failed}, nil
}

// deliver sends whenever something waits, again after a while what was not
// acknowledged, and beats between, until ctx ends or the client has given up.
func (u *Uplink) deliver(ctx context.Context, conn *nats.Conn, given <-chan struct{}) {
	beats := time.NewTimer(mrand.N(u.beatEvery)) // not all boxes at the same second
	defer beats.Stop()
	var again <-chan time.Time // one at a time, however many reports wait
	for pause := firstPause; ; {
		due := false
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			u.flush(last, conn)
			return
		case <-given:
			return
		case <-beats.C:
			due = true
			beats.Reset(u.beatEvery)
		case <-u.wake:
		case <-again:
		}
		if !u.pace.isUp() {
			continue
		}
		u.beat(conn, due)
		again = nil
		if u.flush(ctx, conn) {
			pause = firstPause
			continue
		}
		again = time.After(pause/2 + mrand.N(pause/2))
		pause = min(2*pause, mostPause)
	}
}

// flush sends what waits, oldest first, and reports false as soon as something
// was not acknowledged.
func (u *Uplink) flush(ctx context.Context, conn *nats.Conn) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.giveUp.Store(&cancel) // the answer to what was lost with its connection never comes
	for u.pace.isUp() {
		r, ok := u.spool.Next()
		if !ok {
			break
		}
		receipt, err := u.send(ctx, conn, r)
		switch {
		case errors.Is(err, errNeverTaken):
			u.opts.Log.Error("report given up", "err", err)
			u.spool.Refuse(r)
			continue
		case err == nil:
			u.spool.Done(r, receipt)
		case ctx.Err() == nil:
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
	was := u.outcome()
	switch {
	case yes && was != agent.Answered:
		u.set(agent.Answered, "", "")
	case !yes && was == agent.Answered:
		u.set(agent.Silent, agent.Timeout, "no acknowledgement")
	}
}

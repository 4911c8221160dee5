package uplink

import (
	"context"
	mrand "math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Orders take what the vendor wants of the box. Nothing here is believed: each
// judges the signatures of what it gets.
type Orders struct {
	// Command answers one command; ok is false where there shall be no answer. It
	// must not take long. nil: the box takes none.
	Command func(subject, reply string, sealed []byte) (a Answer, ok bool)
	// Assignment gets the box's assignment whenever there may be a new one; nil:
	// none is read.
	Assignment func(sealed []byte)
}

// Answer is what goes back for a command.
type Answer struct {
	Body  []byte
	Code  int    // of HTTP; 0: done
	Error string // in lower-kebab-case, beside a code
}

const (
	// readEvery is how often the assignment is read at most: whoever hints all the
	// time makes the box ask no more often.
	readEvery = 2 * time.Second
	readLimit = 10 * time.Second
	// readAgain is when it is read again where nobody answered, and readAnyway
	// where nothing was heard: a hint may get lost.
	readAgain  = 2 * time.Minute
	readAnyway = 6 * time.Hour
	// pendingOrders bounds what waits in memory, messages and bytes.
	pendingOrders     = 16
	pendingOrderBytes = 256 << 10
)

// takeOrders serves commands, reads the assignment and asks for the time until ctx
// ends. stop waits for all to end.
func (u *Uplink) takeOrders(ctx context.Context, conn *nats.Conn) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	at := u.address()
	if u.opts.Orders.Command != nil {
		u.subscribe(conn, at.Command("*"), u.command)
	}
	if u.opts.Orders.Assignment != nil {
		u.subscribe(conn, at.Hint(), func(*nats.Msg) { u.Reread() })
		wg.Go(func() { u.read(ctx, conn, at) })
	}
	if u.opts.SetClock != nil && u.opts.ClockSet != nil {
		wg.Go(func() { u.askTime(ctx, conn, at) })
	}
	return func() { cancel(); wg.Wait() }
}

func (u *Uplink) subscribe(conn *nats.Conn, subject string, take nats.MsgHandler) {
	s, err := conn.Subscribe(subject, take)
	if err == nil {
		err = s.SetPendingLimits(pendingOrders, pendingOrderBytes)
	}
	if err != nil {
		u.opts.Log.Error("orders of the vendor cannot be taken", "subject", subject, "err", err)
	}
}

// command answers one command.
func (u *Uplink) command(m *nats.Msg) {
	a, ok := u.opts.Orders.Command(m.Subject, m.Reply, m.Data)
	if !ok {
		return
	}
	r := nats.NewMsg(m.Reply)
	r.Data = a.Body
	if a.Code != 0 {
		r.Header.Set(fleet.HeaderErrorCode, strconv.Itoa(a.Code))
		r.Header.Set(fleet.HeaderError, a.Error)
	}
	if err := m.RespondMsg(r); err != nil {
		u.opts.Log.Warn("command not answered", "err", err)
	}
}

// Reread asks for the assignment to be read again soon. It never blocks.
func (u *Uplink) Reread() {
	select {
	case u.orders <- struct{}{}:
	default:
	}
}

// read reads the assignment when there may be news.
func (u *Uplink) read(ctx context.Context, conn *nats.Conn, at fleet.Address) {
	next := readAnyway
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.orders:
		case <-time.After(next/2 + mrand.N(next/2)):
		}
		sealed, ok := u.assignment(ctx, conn, at)
		if next = readAnyway; !ok {
			next = readAgain
		}
		if len(sealed) > 0 {
			u.opts.Orders.Assignment(sealed)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(readEvery):
		}
	}
}

// assignment asks for what lies under the box's own key; empty where nothing does.
// ok is false where nobody answers.
func (u *Uplink) assignment(ctx context.Context, conn *nats.Conn, at fleet.Address) (sealed []byte, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, at.DirectGet(), nil)
	if err != nil {
		u.opts.Log.Debug("assignment not read", "err", err)
		return nil, false
	}
	// A status is an error of the server, such as 404; an operation says that the
	// key was deleted, which takes nothing back: only a newer assignment does.
	if m.Header.Get("Status") != "" || m.Header.Get("KV-Operation") != "" {
		return nil, true
	}
	return m.Data, true
}

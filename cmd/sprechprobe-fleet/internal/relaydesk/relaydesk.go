// Package relaydesk hands out access to the vendor's relays (TURN) to boxes that
// ask: a name and a password that are good for minutes, made from the secret that
// the relays know (TURN REST, coturn's static-auth-secret). A box that is stolen
// opens nothing for longer than that. It knows no relay.
package relaydesk

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/pion/turn/v4"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// How long an access may be good for. A rehearsal takes about a minute.
const (
	Usual    = 10 * time.Minute
	Shortest = 2 * time.Minute
	Longest  = time.Hour
)

const (
	perBox   = 5 * time.Second // between two answers to one box
	maxBoxes = 20000           // whose last answer is remembered
)

// Config says what the desk gives out.
type Config struct {
	Conn   *nats.Conn    // in the account to which the boxes' reports go
	Secret string        // that the relays know
	Valid  time.Duration // Shortest to Longest
	Log    *slog.Logger
}

// Desk answers until Close.
type Desk struct {
	conf Config
	sub  *nats.Subscription

	mu   sync.Mutex
	last map[fleet.Address]time.Time
}

// Open starts the desk.
func Open(c Config) (*Desk, error) {
	switch {
	case c.Secret == "":
		return nil, errors.New("no secret of the relays")
	case c.Valid < Shortest || c.Valid > Longest:
		return nil, fmt.Errorf("access for %v: want %v to %v", c.Valid, Shortest, Longest)
	}
	d := &Desk{conf: c, last: map[fleet.Address]time.Time{}}
	var err error
	d.sub, err = c.Conn.QueueSubscribe(fleet.RelayAsks, "relay", d.answer)
	return d, err
}

// Close ends the desk.
func (d *Desk) Close() { _ = d.sub.Unsubscribe() }

// answer gives one box access. The subject says who asks: the server vouches for
// it. What goes back must reach nobody else, so the answer only goes where the
// server itself leads back to who asked, or to the box's own inbox.
func (d *Desk) answer(m *nats.Msg) {
	box, err := fleet.ParseRelayAsk(m.Subject)
	if err != nil || !strings.HasPrefix(m.Reply, "_R_.") && !strings.HasPrefix(m.Reply, box.Inbox()+".") {
		return
	}
	r := nats.NewMsg(m.Reply)
	if !d.allow(box, time.Now()) {
		r.Header.Set(fleet.HeaderErrorCode, strconv.Itoa(429))
		r.Header.Set(fleet.HeaderError, "too-many-requests")
	} else if r.Data, err = d.access(box); err != nil {
		d.conf.Log.Error("access to relays", "box", box.String(), "err", err)
		return
	}
	if err := m.RespondMsg(r); err != nil {
		d.conf.Log.Warn("access to relays not answered", "box", box.String(), "err", err)
	}
}

func (d *Desk) access(box fleet.Address) ([]byte, error) {
	until := time.Now().Add(d.conf.Valid).UTC().Truncate(time.Second)
	user, password, err := turn.GenerateLongTermTURNRESTCredentials(d.conf.Secret, "sprechprobe/"+box.String(), d.conf.Valid)
	if err != nil {
		return nil, err
	}
	return json.Marshal(fleet.RelayAccess{Schema: fleet.RelaySchema, Username: user, Password: password, ExpiresAt: until})
}

// allow bounds how often one box is answered.
func (d *Desk) allow(box fleet.Address, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, ok := d.last[box]; ok && now.Sub(last) < perBox {
		return false
	}
	if len(d.last) >= maxBoxes {
		clear(d.last)
	}
	d.last[box] = now
	return true
}

// Package uplink carries reports to the vendor's NATS subject: one connection
// that never gives up, reports kept in memory until JetStream has acknowledged
// them, and a word on how it stands. It knows nothing of probes and shares no
// connection with them.
package uplink

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	mrand "math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Options say where to report and as whom.
type Options struct {
	Servers     []string // URLs, nats:// tls:// ws:// wss://
	Credentials string   // file with a user JWT and seed; empty: none
	NKeySeed    string   // file with an nkey seed; empty: none
	CA          string   // file with PEM certificates; empty: the system's
	Tenant, Box string
	Log         *slog.Logger
	// Now judges certificates; nil means time.Now. A box without a clock chip
	// passes a clock that is never before its program was built.
	Now func() time.Time
}

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
	dropped uint64
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

// target is the first server, as evidence names it.
func (u *Uplink) target() agent.Target {
	t := agent.Target{Transport: agent.TCP}
	first, err := url.Parse(u.opts.Servers[0])
	if err != nil {
		return t
	}
	t.Host = first.Hostname()
	t.Port = usualPorts[first.Scheme]
	if p, err := strconv.ParseUint(first.Port(), 10, 16); err == nil {
		t.Port = uint16(p)
	}
	return t
}

// usualPorts are those of servers whose URL names none.
var usualPorts = map[string]uint16{"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}

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

// Evidence says how the uplink stands right now.
func (u *Uplink) Evidence() agent.Evidence {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state.With(agent.Queued, len(u.queue))
}

func (u *Uplink) set(o agent.Outcome, why agent.Reason, detail string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state = agent.See(agent.ProbeUplink, u.target(), o, why)
	if detail != "" {
		u.state = u.state.With(agent.Detail, detail)
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

// nats turns the options into the client's. Each stands for a trap: without
// them the client gives up after an authorisation error, buffers what we keep
// ourselves, or hangs in a handshake that has no deadline.
func (o Options) nats() ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name("sprechprobe " + o.Box),
		nats.CustomInboxPrefix("_INBOX_" + o.Box),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.IgnoreDiscoveredServers(),
		nats.ReconnectBufSize(-1),
		nats.CustomReconnectDelay(delay),
		nats.Timeout(dialLimit),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.SkipHostLookup(), // the dialer looks up, within its time
	}
	if o.Credentials != "" {
		if err := readable(o.Credentials); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		opts = append(opts, nats.UserCredentials(o.Credentials))
	}
	if o.NKeySeed != "" {
		if err := readable(o.NKeySeed); err != nil {
			return nil, fmt.Errorf("nkey seed: %w", err)
		}
		key, err := nats.NkeyOptionFromSeed(o.NKeySeed)
		if err != nil {
			return nil, fmt.Errorf("nkey seed %s: %w", o.NKeySeed, err)
		}
		opts = append(opts, key)
	}
	return o.tls(opts)
}

// tls asks for TLS where the servers' scheme or a CA of their own says so.
func (o Options) tls(opts []nats.Option) ([]nats.Option, error) {
	secure := o.CA != ""
	for _, s := range o.Servers {
		secure = secure || strings.HasPrefix(s, "tls:") || strings.HasPrefix(s, "wss:")
	}
	if !secure {
		return opts, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Time: o.Now}
	if o.CA != "" {
		pool, err := roots(o.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	return append(opts, nats.Secure(cfg)), nil
}

// mostFile bounds the files that are read whole, bytes: a bundle of all public
// authorities has a quarter of it.
const mostFile = 1 << 20

// readable reports what keeps a file from being read whole. A pipe without a
// writer would be waited for, and a device might never end.
func readable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > mostFile {
		return fmt.Errorf("%s: want a file of at most %d bytes", path, mostFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

func roots(path string) (*x509.CertPool, error) {
	if err := readable(path); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca %s: no certificate in it", path)
	}
	return pool, nil
}

// handlers keep the state that Evidence tells.
func (u *Uplink) handlers() []nats.Option {
	up := func(*nats.Conn) {
		u.set(agent.Answered, "", "")
		u.opts.Log.Info("reporting connected")
		select {
		case u.wake <- struct{}{}:
		default:
		}
	}
	return []nats.Option{
		nats.ConnectHandler(up),
		nats.ReconnectHandler(up),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { u.lost(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { u.lost(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { u.refused(err) }),
	}
}

// lost notes why there is no connection.
func (u *Uplink) lost(err error) {
	if u.refused(err) {
		return
	}
	var bad *tls.CertificateVerificationError
	switch {
	case errors.As(err, &bad):
		u.set(agent.Tampered, agent.TLSUnknownCA, agent.Printable(bad.Err.Error(), 80))
	case errors.Is(err, nats.ErrNoServers):
		u.set(agent.Silent, agent.OtherError, "") // the client hides whether it was refused
	default:
		u.set(agent.Silent, agent.Timeout, "")
	}
}

// refused notes that the vendor's server knows us and will not have us.
func (u *Uplink) refused(err error) bool {
	for _, auth := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked,
		nats.ErrAccountAuthExpired, nats.ErrPermissionViolation} {
		if errors.Is(err, auth) {
			u.set(agent.Refused, agent.AuthRefused, auth.Error())
			return true
		}
	}
	return false
}

// delay is how long to wait before the n-th try: doubling from 1 s to a minute,
// each drawn at random from its upper half, so that a fleet does not return as
// one.
func delay(attempts int) time.Duration {
	d := time.Duration(math.Min(math.Pow(2, float64(max(attempts, 1)-1)), longestDelay.Seconds()) * float64(time.Second))
	return jittered(d)
}

func jittered(d time.Duration) time.Duration { return d/2 + mrand.N(d/2+1) }

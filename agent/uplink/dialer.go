package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	mrand "math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/uplink/dial"
)

const (
	dialLimit = 15 * time.Second // a busy server's TLS handshake takes its time
	// connectLimit is how long the first server may leave a TCP connection
	// unanswered before the next one is tried: a blocked port is silent.
	connectLimit = 4 * time.Second
)

// dialer opens a stream to whichever server answers. The client knows one server
// only and takes what it gets: TLS, WebSocket and proxies lie below, and how each
// attempt went is known here, where the client would keep most of it to itself.
//
// The client holds its lock while it dials and shakes hands, and nothing of it
// returns before; so both end with ctx. A connection that is up does not: the
// newest report may still leave on it.
type dialer struct {
	ctx     context.Context // here because the client's Dial knows none
	servers []*url.URL      // in the order in which they are tried
	opts    dial.Options
	limit   time.Duration // of one server
	failed  func(error)
	first   int                      // of the servers, in the next attempt
	over    atomic.Pointer[[]string] // servers that were passed over for the newest connection
	latest  atomic.Pointer[dial.Stream]
}

// inOrder are the servers as they are tried: those that speak plain NATS first,
// then those behind a web port; of equals, each box has its own first.
func inOrder(servers []string) ([]*url.URL, error) {
	var all []*url.URL
	for _, s := range servers {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return nil, errors.New("a server's address is not one")
		}
		all = append(all, u)
	}
	mrand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b *url.URL) int { return rank(a) - rank(b) })
	return all, nil
}

func rank(u *url.URL) int {
	if strings.HasPrefix(u.Scheme, "ws") {
		return 1
	}
	return 0
}

// Dial connects. The client dials one at a time: an older stream is one that it
// has forgotten. A server that answered and then did not let us in is not the
// first to be asked again, as long as there are others.
func (d *dialer) Dial(string, string) (net.Conn, error) {
	if old := d.latest.Swap(nil); old != nil {
		old.Close()
		if old.Welcome() {
			d.first = 0
		} else {
			d.first++
			d.failed(&shutOut{old.Refusal()})
		}
	}
	var errs []error
	for i := range d.servers {
		s, err := d.try(d.servers[(d.first+i)%len(d.servers)], i == len(d.servers)-1)
		if err == nil {
			d.latest.Store(s)
			d.passed((d.first + i) % len(d.servers))
			if d.ctx.Err() != nil {
				d.drop()
			}
			return s, nil
		}
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if d.ctx.Err() == nil {
		d.failed(err)
	}
	return nil, err
}

// passed notes which servers come before the one that answered: those that speak
// plain NATS, if it is one behind a web port. Of equals none is the better way.
func (d *dialer) passed(got int) {
	var over []string
	for _, s := range d.servers[:got] {
		if rank(s) < rank(d.servers[got]) {
			over = append(over, hostPort(s))
		}
	}
	d.over.Store(&over)
}

// SkipTLSHandshake tells the client that TLS is done below.
func (d *dialer) SkipTLSHandshake() bool { return true }

func (d *dialer) try(server *url.URL, last bool) (*dial.Stream, error) {
	ctx, cancel := context.WithTimeout(d.ctx, d.limit)
	defer cancel()
	o := d.opts
	if !last {
		o.Connect = connectLimit
	}
	return dial.Server(ctx, server, o)
}

// drop closes the newest connection unless the server has let us in.
func (d *dialer) drop() {
	if s := d.latest.Load(); s != nil && !s.Welcome() {
		s.Close()
	}
}

// refusal is what the server said last on the newest connection.
func (d *dialer) refusal() string {
	if s := d.latest.Load(); s != nil {
		return s.Refusal()
	}
	return ""
}

// shutOut is a server that answered, but did not let us in.
type shutOut struct{ why string }

func (s *shutOut) Error() string {
	if s.why == "" {
		return "the server lets nobody in"
	}
	return "the server lets us not in: " + s.why
}

// encryption is what the handshakes go by: the vendor's own authorities where he
// has some.
func (o Options) encryption() (*tls.Config, error) {
	cfg := &tls.Config{Time: o.Now}
	if o.CA != "" {
		pool, err := roots(o.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	o.withoutClock(cfg)
	return cfg, nil
}

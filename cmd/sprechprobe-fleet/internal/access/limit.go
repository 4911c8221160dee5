package access

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Attempts to log in beyond these have to wait: of one address, of one name from
// anywhere, and of all together, which also bounds what hashing costs us. Who is
// logged in does not notice.
var (
	perAddress = bound{rate.Every(10 * time.Second), 10}
	perName    = bound{rate.Every(30 * time.Second), 20}
	together   = bound{5, 50}
)

const mostLimits = 10000 // names and addresses remembered

type bound struct {
	rate  rate.Limit
	burst int
}

// limits counts attempts to log in.
type limits struct {
	mu  sync.Mutex
	all *rate.Limiter
	by  map[string]*rate.Limiter
}

func newLimits() *limits {
	return &limits{all: rate.NewLimiter(together.rate, together.burst), by: map[string]*rate.Limiter{}}
}

// allow takes one attempt of each kind, or none.
func (l *limits) allow(from netip.Addr, name string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	address, named := l.of("address "+network(from), perAddress, now), l.of("name "+name, perName, now)
	if l.all.TokensAt(now) < 1 || address.TokensAt(now) < 1 || named.TokensAt(now) < 1 {
		return false
	}
	return l.all.AllowN(now, 1) && address.AllowN(now, 1) && named.AllowN(now, 1)
}

// forgive forgets the attempts that led to a login.
func (l *limits) forgive(from netip.Addr, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, "address "+network(from))
	delete(l.by, "name "+name)
}

func (l *limits) of(key string, b bound, now time.Time) *rate.Limiter {
	if have := l.by[key]; have != nil {
		return have
	}
	if len(l.by) >= mostLimits {
		l.forget(now)
	}
	made := rate.NewLimiter(b.rate, b.burst)
	l.by[key] = made
	return made
}

// forget drops who has not tried for a while; if nobody, then everybody, and the
// bound of all together has to do.
func (l *limits) forget(now time.Time) {
	for key, have := range l.by {
		if have.TokensAt(now) >= float64(have.Burst()) {
			delete(l.by, key)
		}
	}
	if len(l.by) >= mostLimits {
		clear(l.by)
	}
}

// remote is the address that a request comes from. A proxy on this machine is
// believed about whom it speaks for; nobody else is.
func remote(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from, _ := netip.ParseAddr(host)
	if !from.IsLoopback() {
		return from.Unmap()
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	if said, err := netip.ParseAddr(strings.TrimSpace(hops[len(hops)-1])); err == nil {
		return said.Unmap()
	}
	return from
}

// network is an address as far as it is kept: its /24, or /48 of IPv6.
func network(a netip.Addr) string {
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil || a.IsLoopback() {
		return a.String()
	}
	return p.String()
}

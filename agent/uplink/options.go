package uplink

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Options say where to report and as whom.
type Options struct {
	Servers     []string // URLs, nats:// tls:// ws:// wss://; the latter two are tried last
	Credentials string   // file with a user JWT and seed; empty: none
	NKeySeed    string   // file with an nkey seed; empty: none
	CA          string   // file with PEM certificates; empty: the system's
	Device      Device   // the box's own key, in place of both; nil: none
	Tenant, Box string
	Log         *slog.Logger

	// Spool keeps the reports; nil is one in memory. The caller closes it after
	// Run has returned, which keeps it until then.
	Spool *spool.Spool
	// Boot names the run of the program, 1 to 64 letters and digits; empty: a
	// random one.
	Boot string
	// Stamp is the time for beats; nil is the system's, said not to be set.
	Stamp func() agent.Stamp
	// Now judges certificates; nil means time.Now. A box without a clock chip
	// passes a clock that is never before its program was built.
	Now func() time.Time
	// Proxy names the proxy for a request; nil is what the environment says.
	Proxy func(*http.Request) (*url.URL, error)
	// ClockSet reports whether the clock of Now can be believed; nil means it can.
	ClockSet func() bool
	// SetClock gets the vendor's time, as it is when it is called, while ClockSet
	// says no; nil: it is not asked for.
	SetClock func(now time.Time)
	Orders   Orders
}

// Device is the box's own key.
type Device interface {
	PublicKey() string
	JWT() string // empty: the server knows the key itself
	Sign(nonce []byte) ([]byte, error)
}

// inbox is the prefix of the inbox that the server lets this box have.
func (o Options) inbox() string {
	if o.Tenant == "" && o.Device != nil {
		return fleet.ClaimInbox(o.Device.PublicKey())
	}
	return fleet.Address{Tenant: o.Tenant, Box: o.Box}.Inbox()
}

// identify is how the box says with its own key who it is.
func (o Options) identify() nats.Option {
	if o.Device.JWT() == "" {
		return nats.Nkey(o.Device.PublicKey(), o.Device.Sign)
	}
	return nats.UserJWT(func() (string, error) { return o.Device.JWT(), nil }, o.Device.Sign)
}

// stamp is the time now.
func (o Options) stamp() agent.Stamp {
	if o.Stamp == nil {
		return agent.Stamp{At: time.Now().UTC(), Clock: agent.ClockUnset}
	}
	return o.Stamp()
}

// nats turns the options into the client's. Each stands for a trap: without
// them the client gives up after an authorisation error, buffers what we keep
// ourselves, waits for ever for a write, or goes where a server sends it.
func (o Options) nats() ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name("sprechprobe " + o.Box),
		nats.CustomInboxPrefix(o.inbox()),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.IgnoreDiscoveredServers(),
		nats.ReconnectBufSize(-1),
		nats.Timeout(dialLimit),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.FlusherTimeout(ackLimit),
		nats.ReconnectOnFlusherError(),
		nats.SkipHostLookup(), // the dialer looks up, within its time
	}
	if o.Device != nil {
		opts = append(opts, o.identify())
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
	return opts, nil
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

package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math"
	mrand "math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
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

// delay is how long to wait before the n-th try: doubling from 1 s to a minute,
// each drawn at random from its upper half, so that a fleet does not return as
// one.
func delay(attempts int) time.Duration {
	d := time.Duration(math.Min(math.Pow(2, float64(max(attempts, 1)-1)), longestDelay.Seconds()) * float64(time.Second))
	return jittered(d)
}

func jittered(d time.Duration) time.Duration { return d/2 + mrand.N(d/2+1) }

package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"
)

// startServer runs the embedded server, if one is wanted, and returns the
// options with which we join it.
func (h *Hub) startServer() ([]nats.Option, error) {
	if h.conf.URL != "" {
		return nil, nil
	}
	opts, own, err := h.serverOptions()
	if err != nil {
		return nil, err
	}
	if err := h.lock(opts.StoreDir); err != nil {
		return nil, err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded bus: %w", err)
	}
	notes := &serverLog{log: h.conf.Log}
	s.SetLoggerV2(notes, false, false, false)
	h.server = s
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, fmt.Errorf("embedded bus on %s:%d did not start: %s", opts.Host, opts.Port, notes.last())
	}
	return append(own, nats.InProcessServer(s)), nil
}

func (h *Hub) serverOptions() (*server.Options, []nats.Option, error) {
	if h.conf.ConfigFile != "" {
		return h.optionsFromFile()
	}
	host, port, local, err := loopback(h.conf.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	if !local {
		return nil, nil, fmt.Errorf("listen on %s: %w: name a nats-server configuration with accounts and TLS (--nats-config)", h.conf.Listen, ErrOpenBus)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	o := &server.Options{
		Host: host, Port: port,
		JetStreamMaxStore:  h.conf.MaxBytes + h.conf.MaxBytes/4,
		JetStreamMaxMemory: 64 << 20,
		MaxPayload:         MaxMessage,
	}
	h.common(o)
	return o, nil, nil
}

// optionsFromFile reads the administrator's own configuration. Our connection
// does not pass through the network and gets a key that lives as long as this
// process, so that no secret of ours lies on a disk.
func (h *Hub) optionsFromFile() (*server.Options, []nats.Option, error) {
	o, err := server.ProcessConfigFile(h.conf.ConfigFile)
	if err != nil {
		return nil, nil, fmt.Errorf("nats configuration %s: %w", h.conf.ConfigFile, err)
	}
	if !guarded(o) {
		return nil, nil, fmt.Errorf("nats configuration %s: %w, and it names none", h.conf.ConfigFile, ErrOpenBus)
	}
	h.common(o)
	if h.conf.Creds != "" {
		return o, nil, nil
	}
	if len(o.TrustedOperators) > 0 || o.Username != "" || o.Authorization != "" || o.AuthCallout != nil {
		return nil, nil, fmt.Errorf("nats configuration %s: needs credentials for the fleet itself (--creds)", h.conf.ConfigFile)
	}
	own, err := h.ownUser(o)
	return o, own, err
}

func (h *Hub) common(o *server.Options) {
	o.NoSigs = true
	o.NoLog = true
	o.JetStream = true
	o.DisableJetStreamBanner = true
	if o.StoreDir == "" {
		o.StoreDir = h.conf.Data
	}
}

// guarded reports whether a bus asks who is there, or is for this machine only.
func guarded(o *server.Options) bool {
	if len(o.Users) > 0 || len(o.Nkeys) > 0 || len(o.TrustedOperators) > 0 || len(o.TrustedKeys) > 0 ||
		o.Username != "" || o.Authorization != "" || o.AuthCallout != nil {
		return true
	}
	_, _, local, err := loopback(net.JoinHostPort(o.Host, "0"))
	return err == nil && local
}

// ownUser adds a fresh key to the account that holds the streams.
func (h *Hub) ownUser(o *server.Options) ([]nats.Option, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("own key: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("own key: %w", err)
	}
	account, err := accountOf(o, h.conf.Account)
	if err != nil {
		return nil, err
	}
	o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: public, Account: account})
	return []nats.Option{nats.Nkey(public, pair.Sign)}, nil
}

// accountOf finds the account by name; without a name the default account.
func accountOf(o *server.Options, name string) (*server.Account, error) {
	if name == "" {
		return nil, nil
	}
	for _, a := range o.Accounts {
		if a.GetName() == name {
			return a, nil
		}
	}
	return nil, fmt.Errorf("account %q is not in the nats configuration", name)
}

// lock makes the store ours: two servers on one store destroy it.
func (h *Hub) lock(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("data directory %s is in use by another fleet server", dir)
		}
		return fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	h.unlock = func() { f.Close() }
	return nil
}

// serverLog takes the server's notes. Its fatal ones must not end the process.
type serverLog struct {
	log   *slog.Logger
	fatal lastWords
}

func (l *serverLog) Noticef(f string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Warnf(f string, v ...any)   { l.log.Warn("nats: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Errorf(f string, v ...any)  { l.log.Error("nats: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Debugf(string, ...any)      {}
func (l *serverLog) Tracef(string, ...any)      {}

func (l *serverLog) Fatalf(f string, v ...any) {
	l.fatal.set(fmt.Sprintf(f, v...))
	l.log.Error("nats: " + l.last())
}

func (l *serverLog) last() string { return l.fatal.get() }

package hub

import (
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is the account of the boxes' reports.
func (h *Hub) JetStream() jetstream.JetStream { return h.js }

// Conn is our connection in that account. It lives as long as the hub.
func (h *Hub) Conn() *nats.Conn { return h.conn }

// Join joins the bus once more, as somebody else. The connection is tried for as
// long as it lives; the caller closes it.
func (h *Hub) Join(creds string) (*nats.Conn, error) {
	opts, err := h.options(creds)
	if err != nil {
		return nil, err
	}
	if h.server != nil {
		opts = append(opts, nats.InProcessServer(h.server))
	}
	conn, err := nats.Connect(h.conf.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("join bus: %w", err)
	}
	return conn, nil
}

// Credentials is the option for a file of credentials: a user JWT with its seed,
// or a seed alone where the server knows the key.
func Credentials(file string) (nats.Option, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if o := nats.UserCredentialBytes(text); o(&nats.Options{}) == nil {
		return o, nil
	}
	o, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("credentials %s: neither a JWT with its seed nor a seed", file), err)
	}
	return o, nil
}

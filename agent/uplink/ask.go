package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// askLimit bounds what is asked of the vendor besides.
const askLimit = 5 * time.Second

// RelayAccess asks the vendor for access to his relays. It needs [Uplink.Run] to be
// connected at this moment, keeps nothing, and fails where the vendor gives none.
func (u *Uplink) RelayAccess(ctx context.Context) (fleet.RelayAccess, error) {
	answer, err := u.ask(ctx, u.address().RelayAsk())
	if err != nil {
		return fleet.RelayAccess{}, fmt.Errorf("access to relays: %w", err)
	}
	return fleet.DecodeRelayAccess(answer)
}

// Outages asks the vendor which outages this box suffers from, in the manner of
// RelayAccess. The connection is to the vendor's own server, and nobody but who
// answers there knows where the answer goes.
func (u *Uplink) Outages(ctx context.Context) (fleet.Outages, error) {
	answer, err := u.ask(ctx, u.address().OutageAsk())
	if err != nil {
		return fleet.Outages{}, fmt.Errorf("outages: %w", err)
	}
	return fleet.DecodeOutages(answer)
}

func (u *Uplink) ask(ctx context.Context, subject string) ([]byte, error) {
	conn := u.conn.Load()
	if conn == nil || !u.pace.isUp() {
		return nil, errors.New("the vendor is out of reach")
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, subject, nil)
	if err != nil {
		return nil, err
	}
	if code := m.Header.Get(fleet.HeaderErrorCode); code != "" {
		return nil, fmt.Errorf("%.10q %.80q", code, m.Header.Get(fleet.HeaderError))
	}
	return m.Data, nil
}

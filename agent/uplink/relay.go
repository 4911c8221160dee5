package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// relayLimit bounds asking for access to the relays.
const relayLimit = 5 * time.Second

// RelayAccess asks the vendor for access to his relays. It needs [Uplink.Run] to be
// connected at this moment, keeps nothing, and fails where the vendor gives none.
func (u *Uplink) RelayAccess(ctx context.Context) (fleet.RelayAccess, error) {
	conn := u.conn.Load()
	if conn == nil || !u.pace.isUp() {
		return fleet.RelayAccess{}, errors.New("access to relays: the vendor is out of reach")
	}
	ctx, cancel := context.WithTimeout(ctx, relayLimit)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, fleet.Address{Tenant: u.opts.Tenant, Box: u.opts.Box}.RelayAsk(), nil)
	if err != nil {
		return fleet.RelayAccess{}, fmt.Errorf("access to relays: %w", err)
	}
	if code := m.Header.Get(fleet.HeaderErrorCode); code != "" {
		return fleet.RelayAccess{}, fmt.Errorf("access to relays: %.10q %.80q", code, m.Header.Get(fleet.HeaderError))
	}
	return fleet.DecodeRelayAccess(m.Data)
}

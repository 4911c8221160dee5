package uplink

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// claimLimit bounds one claim: several servers may have to be tried.
const claimLimit = 2 * dialLimit

// keyOnly is a device that shows no JWT.
type keyOnly struct{ Device }

func (keyOnly) JWT() string { return "" }

// Claim says to the vendor that the box is there and belongs to nobody, and returns
// its sealed grant once there is one; nil: not yet. It connects for just that.
func Claim(ctx context.Context, o Options, c fleet.Claim) (grant []byte, err error) {
	o.Device, o.Tenant = keyOnly{o.Device}, ""
	opts, err := o.nats()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	d, err := o.dialer(ctx, func(error) {})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, d.drop)()
	opts = append(opts, nats.SetCustomDialer(d), nats.RetryOnFailedConnect(false), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	conn, err := nats.Connect("nats://vendor", opts...) // the dialer knows where he is
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	defer conn.Close()
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	m, err := conn.RequestWithContext(ctx, fleet.ClaimSubject(c.Key), body)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return readAnswer(m)
}

func readAnswer(m *nats.Msg) ([]byte, error) {
	if code := m.Header.Get(fleet.HeaderErrorCode); code != "" {
		return nil, fmt.Errorf("claim: %.10q %.80q", code, m.Header.Get(fleet.HeaderError))
	}
	var a fleet.ClaimAnswer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if err := fleet.CheckSchema(a.Schema, fleet.ClaimSchema); err != nil {
		return nil, fmt.Errorf("claim: answer: %w", err)
	}
	return []byte(a.Grant), nil
}

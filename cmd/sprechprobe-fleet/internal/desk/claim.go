package desk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	claims = fleet.AllClaims
	// maxClaim is the longest claim, bytes.
	maxClaim = 2 << 10
)

func claimSubject(key string) string { return fleet.ClaimSubject(key) }
func claimInbox(key string) string   { return fleet.ClaimInbox(key) }

func signature(s string) ([]byte, error) {
	sig, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return sig, nil
}

// claim answers a box that says its key: its grant, or that there is none yet. The
// server vouches for the key in the subject.
func (d *Desk) claim(r micro.Request) {
	key := strings.TrimPrefix(r.Subject(), claimSubject(""))
	// The answer goes to the box itself, not where it would have the desk write.
	if !strings.HasPrefix(r.Reply(), claimInbox(key)+".") {
		return
	}
	c, err := readClaim(r.Data(), key)
	if err != nil {
		_ = r.Error("400", "not a claim", nil)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	grant, err := d.store.Grant(ctx, key)
	if err == nil && grant == "" {
		err = d.store.wait(ctx, c)
	}
	if err != nil {
		d.conf.Log.Warn("claims: cannot look up", "err", err)
		_ = r.Error("503", "try again later", nil)
		return
	}
	answer, err := json.Marshal(fleet.ClaimAnswer{Schema: fleet.ClaimSchema, Grant: grant})
	if err == nil {
		_ = r.Respond(answer)
	}
}

// readClaim reads what a box says of itself; of that only the key is proven.
func readClaim(b []byte, key string) (fleet.Claim, error) {
	var c fleet.Claim
	if len(b) > maxClaim {
		return c, fmt.Errorf("claim of %d bytes", len(b))
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, err
	}
	if err := fleet.CheckSchema(c.Schema, fleet.ClaimSchema); err != nil {
		return c, fmt.Errorf("claim: %w", err)
	}
	if c.Key != key {
		return c, errors.New("claim for another key")
	}
	const most = 80
	c.Code = fleet.Code(key)
	b0 := c.Box
	c.Box = agent.Box{ID: agent.Printable(b0.ID, most), Name: agent.Printable(b0.Name, most), Version: agent.Printable(b0.Version, most),
		Board: agent.Printable(b0.Board, most), Platform: agent.Printable(b0.Platform, most)}
	return c, nil
}

package desk_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/authority"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/desk"
)

var nord = fleet.Address{Tenant: "acme", Box: "nord"}

// uplinkOf are the options of a box with its own key.
func (w *world) uplinkOf(id *identity.Identity) uplink.Options {
	o := uplink.Options{Servers: []string{w.server.ClientURL()}, Device: id, Log: slog.New(slog.DiscardHandler)}
	if g, ok := id.Claimed(); ok {
		o.Tenant, o.Box = g.Tenant, g.Name
	}
	return o
}

// run runs an uplink until the test ends.
func (w *world) run(o uplink.Options) *uplink.Uplink {
	w.t.Helper()
	u, err := uplink.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	return u
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// The box's own code, from its first start to its revocation: it says its key, gets
// its grant by itself, reports, reads its settings, answers a command; and when it
// is revoked it says so, and not that the vendor is away.
func TestBoxFromFirstStartToRevocation(t *testing.T) {
	w := newWorld(t)
	w.open()
	if _, err := w.js.CreateStream(w.ctx(), jetstream.StreamConfig{Name: fleet.Stream, Subjects: []string{fleet.Reports}}); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(t.TempDir(), []string{w.auth.VendorKey()})
	if err != nil {
		t.Fatal(err)
	}
	claim := fleet.Claim{Schema: fleet.ClaimSchema, Key: id.PublicKey(), Code: id.Code()}
	if grant, err := uplink.Claim(w.ctx(), w.uplinkOf(id), claim); err != nil || len(grant) != 0 {
		t.Fatalf("before it is claimed: %q, %v", grant, err)
	}
	keys, err := w.store.FindCode(w.ctx(), id.Code())
	if err != nil || len(keys) != 1 {
		t.Fatalf("%q, %v", keys, err)
	}
	b, err := w.auth.Claim(keys[0], nord, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.PutGrant(w.ctx(), b.Key, b.Grant); err != nil {
		t.Fatal(err)
	}
	grant, err := uplink.Claim(w.ctx(), w.uplinkOf(id), claim)
	if err != nil {
		t.Fatal(err)
	}
	if id, err = id.AdoptSent(grant); err != nil {
		t.Fatal(err)
	}

	var mu sync.Mutex
	var assigned []string
	o := w.uplinkOf(id)
	o.Orders.Assignment = func(b []byte) { mu.Lock(); defer mu.Unlock(); assigned = append(assigned, string(b)) }
	o.Orders.Command = func(subject, _ string, _ []byte) (uplink.Answer, bool) {
		return uplink.Answer{Body: []byte("done " + subject)}, true
	}
	u := w.run(o)
	u.Offer(agent.Report{Schema: agent.Schema, Box: agent.Box{ID: "nord"}, Tenant: "acme", Seq: 1})
	st, err := w.js.Stream(w.ctx(), fleet.Stream)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the report is stored", func() bool {
		info, err := st.Info(w.ctx())
		return err == nil && info.State.Msgs == 1
	})
	if err := w.store.Assign(w.ctx(), nord, "sealed settings"); err != nil {
		t.Fatal(err)
	}
	until(t, "the settings are read", func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(assigned, "sealed settings") })
	centre := w.creds(authority.FleetCreds)
	if m, err := centre.Request(nord.Command(fleet.Last), nil, patience); err != nil || string(m.Data) != "done "+nord.Command(fleet.Last) {
		t.Errorf("command: %+v, %v", m, err)
	}

	if _, err := w.auth.Revoke(nord, time.Now()); err != nil {
		t.Fatal(err)
	}
	account, err := w.auth.BoxAccount()
	if err != nil {
		t.Fatal(err)
	}
	if err := desk.Tell(w.ctx(), w.creds(authority.SystemCreds), account); err != nil {
		t.Fatal(err)
	}
	until(t, "the box says that it was revoked", func() bool { return u.Evidence().Reason == agent.AuthRefused })
	if e := u.Evidence(); e.Outcome != agent.Refused {
		t.Errorf("outcome %s, want refused: that is what central-auth rests on", e.Outcome)
	}
	// It may come again like any box that belongs to nobody, and be claimed anew.
	if err := w.store.DropGrant(w.ctx(), id.PublicKey()); err != nil {
		t.Fatal(err)
	}
	if grant, err := uplink.Claim(w.ctx(), w.uplinkOf(id), claim); err != nil || len(grant) != 0 {
		t.Errorf("after it was revoked: %q, %v", grant, err)
	}
	if b, err = w.auth.Claim(id.PublicKey(), fleet.Address{Tenant: "acme", Box: "sued"}, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	if id, err = id.AdoptSent([]byte(b.Grant)); err != nil {
		t.Fatal(err)
	}
	if account, err = w.auth.BoxAccount(); err != nil {
		t.Fatal(err)
	}
	if err := desk.Tell(w.ctx(), w.creds(authority.SystemCreds), account); err != nil {
		t.Fatal(err)
	}
	again := w.run(w.uplinkOf(id))
	until(t, "the box is let in under its new name", func() bool { return again.Evidence().Outcome == agent.Answered })
}

// A vendor that is told nothing wrong: what the server would not take is an error.
func TestTellRefused(t *testing.T) {
	w := newWorld(t)
	if err := desk.Tell(w.ctx(), w.creds(authority.SystemCreds), "nonsense"); err == nil {
		t.Error("nonsense is taken for an account")
	}
	if err := desk.Tell(w.ctx(), w.connect(nats.UserCredentials(w.auth.Dir()+"/serve/fleet.creds")), "x"); err == nil {
		t.Error("the fleet's own credentials may change accounts")
	}
}

package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assignment"
	"github.com/sprechprobe/sprechprobe/agent/beacon"
	"github.com/sprechprobe/sprechprobe/agent/command"
	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/restarts"
	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// vendor is what the box has to do with its vendor besides reports: who it is to
// him, and what he wants of it. It outlives a configuration.
type vendor struct {
	log    *slog.Logger
	starts *restarts.Count // nil: the box reports to nobody
	clock  clock

	renew    chan struct{} // the box is somebody else now
	assigned chan struct{} // there are other settings

	// What follows belongs to one setup; adopt sets it while nothing runs.
	base  Setup // without what the vendor has said
	id    *identity.Identity
	guard *command.Guard
	store *assignment.Store

	who    atomic.Pointer[Identity]
	forgot atomic.Bool // what waits is of another life
}

func newVendor(log *slog.Logger) *vendor {
	v := &vendor{log: log, renew: make(chan struct{}, 1), assigned: make(chan struct{}, 1)}
	v.who.Store(&Identity{})
	return v
}

// begin counts a start, once.
func (v *vendor) begin(dir string) {
	if v.starts != nil {
		return
	}
	starts, err := restarts.Begin(dir)
	if err != nil {
		v.log.Warn("starts are not counted", "err", err)
	}
	v.starts = starts
}

// adopt reads who the box is and what was assigned to it, and returns the setup
// that follows. Nothing here keeps a box from looking and from showing what it
// sees.
func (v *vendor) adopt(s Setup) Setup {
	s.id, s.Config.Box, s.clock = nil, s.named, &v.clock
	v.base, v.id, v.guard, v.store = s, nil, nil, nil
	defer v.tellWho()
	v.empty()
	c := s.Config.Central
	if len(c.Servers) == 0 {
		return s
	}
	v.begin(s.Config.StateDir)
	keys := c.VendorKeys
	if s.own {
		v.identify()
		if v.id == nil {
			return s
		}
		s, keys = s.claimed(v.id), v.id.VendorKeys()
	}
	if at := s.address(); at.Check() == nil && len(keys) > 0 {
		s = v.follow(s, at, keys)
	}
	return s
}

// identify opens the box's own key, and takes a grant that was put where the
// configuration says.
func (v *vendor) identify() {
	c := v.base.Config
	id, err := identity.Open(c.StateDir, c.Central.VendorKeys)
	if err != nil {
		v.log.Error("the box cannot say who it is, and reports to nobody", "err", err)
		return
	}
	if err := id.Trouble(); err != nil {
		v.log.Error("the box's grant is of no use", "err", err)
	}
	for _, path := range c.Central.Grants {
		text, err := strict.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var next *identity.Identity
		if err == nil {
			next, err = id.Adopt(text)
		}
		switch {
		case err == nil:
			id = next
			v.log.Info("grant taken", "file", path)
		case !errors.Is(err, identity.ErrNotNewer):
			v.log.Warn("grant not taken", "file", path, "err", err)
		}
	}
	v.id = id
}

// follow opens what was assigned to the box, and lets commands through from now on.
func (v *vendor) follow(s Setup, at fleet.Address, keys []string) Setup {
	v.guard = command.NewGuard(at, keys, s.now, s.known)
	c := v.base.Config
	store, err := assignment.Open(assignment.Options{
		Dir: c.StateDir, Address: at, Keys: keys, Every: c.Schedule.Every, Private: c.Central.AllowPrivate,
		Local: func(names []string) ([]agent.Profile, error) {
			if names == nil {
				names = c.Profiles
			}
			return profile.Load(c.ProfileDir, names)
		},
	})
	if err != nil {
		v.log.Warn("settings of the vendor left out", "err", err)
	}
	v.store = store
	if v.starts.TooMany() {
		v.log.Warn("many starts came to nothing: settings of the vendor dropped")
		if err := store.Drop(); err != nil {
			v.log.Error("settings of the vendor come back with the next start", "err", err)
		}
	}
	if set, ok := store.Current(); ok {
		s = s.assigned(set)
	}
	return s
}

// tellWho makes known who the box is.
func (v *vendor) tellWho() {
	var who Identity
	if v.id != nil {
		who.Key = v.id.PublicKey()
		if _, ok := v.id.Claimed(); !ok {
			who.Code = v.id.Code()
		}
	}
	v.who.Store(&who)
}

// forget makes the box a new one that belongs to nobody.
func (v *vendor) forget() error {
	dir := v.base.Config.StateDir
	if err := errors.Join(identity.Forget(dir), assignment.Forget(dir)); err != nil {
		return err
	}
	v.forgot.Store(true)
	signal(v.renew)
	return nil
}

// empty takes away the reports that waited when the box forgot whose it was. No
// spool is open between two setups.
func (v *vendor) empty() {
	if !v.forgot.Swap(false) {
		return
	}
	if err := spool.Forget(v.base.spooled()); err != nil {
		v.log.Warn("reports of before stay on this box, and are not sent", "err", err)
	}
}

// signal tells once, however often it is called.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// end says that this run ended well.
func (v *vendor) end() {
	if v.starts == nil {
		return
	}
	if err := v.starts.Well(); err != nil {
		v.log.Debug("end not noted", "err", err)
	}
}

// settle waits until this run counts as a good one.
func (v *vendor) settle(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-time.After(restarts.Settled):
		v.end()
	}
	return nil
}

// evidence is what a round finds out about the vendor's settings.
func (v *vendor) evidence() []agent.Evidence {
	if v.store == nil {
		return nil
	}
	if e, ok := v.store.Evidence(); ok {
		return []agent.Evidence{e}
	}
	return nil
}

// complete adds to a report what became of the vendor's wishes.
func (v *vendor) complete(r *agent.Report) {
	if v.store != nil {
		r.Settings = v.store.Word()
	}
	if v.guard != nil {
		r.Commands = v.guard.Notes()
	}
}

// beaconTask calls for help where nothing else gets out; nil where it cannot.
func (v *vendor) beaconTask(state func() agent.Evidence) func(context.Context) error {
	c := v.base.Config
	if c.Central.BeaconZone == "" || v.id == nil || state == nil {
		return nil
	}
	return func(ctx context.Context) error {
		return beacon.Run(ctx, beacon.Options{Zone: c.Central.BeaconZone, Key: v.id, Starts: v.starts.Starts(), State: state,
			Resolvers: c.Network.Resolvers, Log: v.log})
	}
}

// How often a box asks whether it was claimed: soon while somebody may be standing
// before it, and rarely later.
const (
	claimSoon  = 10 * time.Second
	claimLater = 2 * time.Minute
	claimFresh = time.Hour

	isClaimed = "claimed"
)

// claimTask asks for a grant while the box belongs to nobody, and when the vendor
// does not know it any more; nil where the box has no key of its own.
func (v *vendor) claimTask(state func() agent.Evidence) func(context.Context) error {
	if v.id == nil {
		return nil
	}
	return func(ctx context.Context) error {
		since, read := time.Now(), time.Time{}
		for told := ""; ; {
			why := isClaimed
			if !v.accepted(state) || time.Since(read) > claimLater {
				why, read = v.askOnce(ctx, state), time.Now()
			}
			if why != told {
				told, since = why, time.Now()
				v.log.Info("claim", "state", why)
			}
			wait := claimSoon
			if told != isClaimed && time.Since(since) > claimFresh {
				wait = claimLater
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(jitter(wait)):
			}
		}
	}
}

// accepted reports whether the box has been claimed, and the vendor still knows it.
func (v *vendor) accepted(state func() agent.Evidence) bool {
	_, claimed := v.id.Claimed()
	return claimed && state().Reason != agent.AuthRefused
}

// askOnce looks whether there is a grant by now, and says how it stands.
func (v *vendor) askOnce(ctx context.Context, state func() agent.Evidence) string {
	c := v.base.Config
	// Somebody may have handed one over by a command.
	if now, err := identity.Read(c.StateDir, c.Central.VendorKeys); err == nil && !now.Same(v.id) {
		signal(v.renew)
		return "granted by hand"
	}
	if v.accepted(state) {
		return isClaimed
	}
	o := v.base.uplinkOptions(v.log)
	o.Device = v.id
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	sealed, err := uplink.Claim(ctx, o, fleet.Claim{Schema: fleet.ClaimSchema, Key: v.id.PublicKey(), Code: v.id.Code(), Box: v.base.box()})
	switch {
	case err != nil:
		return "the vendor does not answer"
	case len(sealed) == 0:
		return "waits to be claimed"
	}
	switch _, err := v.id.AdoptSent(sealed); {
	case errors.Is(err, identity.ErrNotNewer):
		return "refused, and no newer grant"
	case err != nil:
		v.log.Warn("grant not taken", "err", err)
		return "grant not taken"
	}
	signal(v.renew)
	return "granted"
}

// claimed is the setup of a box with an identity: the vendor has named it.
func (s Setup) claimed(id *identity.Identity) Setup {
	s.id, s.Config.Box = id, s.named
	if g, ok := id.Claimed(); ok {
		s.Config.Box.Tenant, s.Config.Box.ID = g.Tenant, g.Name
	}
	return s
}

// assigned is the setup with what the vendor has assigned.
func (s Setup) assigned(set assignment.Settings) Setup {
	s.Profiles, s.Config.Schedule.Every = set.Profiles, set.Every
	return s
}

func (s Setup) address() fleet.Address {
	return fleet.Address{Tenant: s.Config.Box.Tenant, Box: s.Config.Box.ID}
}

// public reports whether an address is of the public internet, and not of a
// network that this box is in.
func public(a netip.Addr) bool {
	if !assignment.Public(a) {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, o := range own {
		if n, ok := o.(*net.IPNet); ok && n.Contains(a.AsSlice()) {
			return false
		}
	}
	return true
}

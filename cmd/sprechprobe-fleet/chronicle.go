package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/alert"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/incident"
)

const (
	// noting is how often it is written down that an incident goes on.
	noting = time.Minute
	// settling is how long after a start causes of before are left as they are: what
	// was an outage then may be one still.
	settling = 2 * time.Minute
)

// chronicle writes outages down: who suffers from them, until when, and the causes by
// which boxes are found meanwhile. It writes what has changed only.
type chronicle struct {
	db        *history.DB
	began     time.Time // with the first look
	noted     time.Time
	members   map[string]map[fleet.Address]bool // of incidents that go on
	explained map[fleet.Address][]agent.Cause   // nil: not read yet
}

// write notes how things are now. What cannot be written is written next time.
func (c *chronicle) write(ctx context.Context, now time.Time, open []alert.Incident, ended []incident.Incident, causes map[fleet.Address][]agent.Cause) error {
	if c.began.IsZero() {
		c.began = now
	}
	var all []error
	note := now.Sub(c.noted) >= noting
	for _, i := range open {
		all = append(all, c.suffer(ctx, i))
		if note {
			all = append(all, c.db.Last(ctx, i.ID, now, false))
		}
	}
	for _, i := range ended {
		delete(c.members, i.ID)
		all = append(all, c.db.Last(ctx, i.ID, i.UntilAt, true))
	}
	if note {
		c.noted = now
	}
	if len(open) > 0 || now.Sub(c.began) >= settling {
		all = append(all, c.explain(ctx, causes))
	}
	return errors.Join(all...)
}

// suffer notes who has not suffered yet.
func (c *chronicle) suffer(ctx context.Context, i alert.Incident) error {
	known := c.members[i.ID]
	if known == nil {
		known = map[fleet.Address]bool{}
		c.members[i.ID] = known
	}
	var fresh []fleet.Address
	for k := range i.Members {
		if !known[fleet.Address(k)] {
			fresh = append(fresh, fleet.Address(k))
		}
	}
	if err := c.db.Suffer(ctx, i.ID, fresh); err != nil {
		return err
	}
	for _, a := range fresh {
		known[a] = true
	}
	return nil
}

func (c *chronicle) explain(ctx context.Context, now map[fleet.Address][]agent.Cause) error {
	if c.explained == nil {
		var err error
		if c.explained, err = c.db.Explained(ctx); err != nil {
			c.explained = nil
			return err
		}
	}
	changes := map[fleet.Address][]agent.Cause{}
	for a := range c.explained {
		if now[a] == nil {
			changes[a] = nil
		}
	}
	for a, causes := range now {
		if !slices.Equal(c.explained[a], causes) {
			changes[a] = causes
		}
	}
	if err := c.db.Explain(ctx, changes); err != nil {
		return err
	}
	c.explained = now
	return nil
}

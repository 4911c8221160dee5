package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	// Ingester is the durable consumer that everybody shares who writes the
	// history: each report goes to one of them.
	Ingester = "history"

	batch   = 2000                   // reports that are written at a time
	gathers = 200 * time.Millisecond // how long a batch is waited for: pages show what is written
)

// Ingest hands take the reports that nobody has taken yet, in batches and in the
// order of the bus, until ctx ends. A batch is acknowledged once take returned nil;
// otherwise, or if this program dies, it is handed out again, here or to another
// program: take must know what it has seen. Several may run beside each other.
func (h *Hub) Ingest(ctx context.Context, take func(context.Context, []Message) error) {
	h.lasting(ctx, "history interrupted", func(ctx context.Context) error { return h.ingest(ctx, take) })
}

func (h *Hub) ingest(ctx context.Context, take func(context.Context, []Message) error) error {
	c, err := h.ingester(ctx)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		got, err := c.Fetch(batch, jetstream.FetchMaxWait(gathers))
		if err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		var raw []jetstream.Msg
		var messages []Message
		for m := range got.Messages() {
			if out, ok := messageOf(m); ok {
				raw, messages = append(raw, m), append(messages, out)
			}
		}
		if len(messages) > 0 {
			if err := settle(raw, take(ctx, messages)); err != nil {
				return err
			}
		}
		switch err := got.Error(); {
		case err == nil || errors.Is(err, context.DeadlineExceeded):
		case errors.Is(err, nats.ErrNoResponders):
			if err := h.elected(ctx); err != nil {
				return fmt.Errorf("fetch: %w", err)
			}
		default:
			return fmt.Errorf("fetch: %w", err)
		}
	}
	return ctx.Err()
}

// elected waits until the consumer has a leader again: while the servers of a cluster
// choose one there is nobody to fetch from. It is an error where there is no such
// consumer any more, or no leader for long.
func (h *Hub) elected(ctx context.Context) error {
	ctx, done := context.WithTimeout(ctx, setup)
	defer done()
	for pause(ctx, gathers) {
		c, err := again(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
			return h.js.Consumer(ctx, fleet.Stream, Ingester)
		})
		if err != nil {
			return err
		}
		if i := c.CachedInfo(); i.Cluster == nil || i.Cluster.Leader != "" {
			return nil
		}
	}
	return ctx.Err()
}

// settle tells the bus what became of a batch.
func settle(raw []jetstream.Msg, err error) error {
	if err != nil {
		for _, m := range raw {
			err = errors.Join(err, m.NakWithDelay(5*time.Second))
		}
		return err
	}
	for _, m := range raw {
		// An acknowledgement that is lost costs a second look at the report.
		if err := m.Ack(); err != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
	}
	return nil
}

func (h *Hub) ingester(ctx context.Context) (jetstream.Consumer, error) {
	ctx, done := context.WithTimeout(ctx, setup)
	defer done()
	s, err := h.stream(ctx)
	if err != nil {
		return nil, err
	}
	conf := jetstream.ConsumerConfig{
		Durable:       Ingester,
		Description:   "writes the history",
		FilterSubject: fleet.Reports,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       h.conf.AckWait,
		MaxAckPending: 10 * batch,
	}
	c, err := again(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return s.CreateOrUpdateConsumer(ctx, conf) })
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", Ingester, err)
	}
	return c, nil
}

// Backlog is how many reports nobody has written to the history yet.
func (h *Hub) Backlog(ctx context.Context) (uint64, error) {
	c, err := h.js.Consumer(ctx, fleet.Stream, Ingester)
	if err != nil {
		return 0, fmt.Errorf("backlog: %w", err)
	}
	i := c.CachedInfo()
	return i.NumPending + uint64(i.NumAckPending), nil
}

// Replay hands out to those who write the history all that the bus holds, also what
// they have taken before, and returns how many reports that are: none on a bus that is
// new.
func (h *Hub) Replay(ctx context.Context) (uint64, error) {
	s, err := h.js.Stream(ctx, fleet.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err == nil {
		err = s.DeleteConsumer(ctx, Ingester) // which those who share it make again
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, fmt.Errorf("replay: %w", err)
	}
	return s.CachedInfo().State.Msgs, nil
}

// Purge deletes what the bus holds of a box.
func (h *Hub) Purge(ctx context.Context, a fleet.Address) error {
	subject, err := fleet.ReportSubject(a.Tenant, a.Box)
	if err != nil {
		return err
	}
	s, err := h.js.Stream(ctx, fleet.Stream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		return fmt.Errorf("purge %s: %w", a, err)
	}
	return nil
}

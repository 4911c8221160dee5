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
	// MaxMessage bounds one message of a box, bytes, headers included.
	MaxMessage = 64 << 10
	// MaxAge is how long the bus keeps a report.
	MaxAge = 72 * time.Hour

	maxHeader = 64 // bytes of a header value that we pass on
)

// Message is one report as it lay on the bus, or one beat.
type Message struct {
	Subject string
	Boot    string // the sender's run, empty where not given
	Payload []byte
	At      time.Time // when the bus stored it, or a beat came
}

// stream makes the stream of the reports or brings it up to date.
//
// AllowRollup stays off: with it one box's header deletes every box's messages.
// Age and size are bound, because the message of a box that fell silent would
// otherwise hold the stream's start for ever.
func (h *Hub) stream(ctx context.Context) (jetstream.Stream, error) {
	conf := jetstream.StreamConfig{
		Name:        fleet.Stream,
		Description: "reports of all boxes",
		Subjects:    []string{fleet.Reports},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      MaxAge,
		MaxMsgSize:  MaxMessage,
		MaxBytes:    h.conf.MaxBytes,
		Duplicates:  2 * time.Minute,
		Replicas:    max(1, h.conf.Replicas),
		AllowDirect: true,
	}
	for _, domain := range h.conf.Sources {
		conf.Sources = append(conf.Sources, &jetstream.StreamSource{Name: fleet.Stream, Domain: domain})
	}
	s, err := again(ctx, func(ctx context.Context) (jetstream.Stream, error) { return h.js.CreateOrUpdateStream(ctx, conf) })
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", fleet.Stream, err)
	}
	return s, nil
}

// Prepare makes the stream of the reports, as [Hub.Follow] and [Hub.Ingest] do. What
// else lies on the bus is kept in as many copies.
func (h *Hub) Prepare(ctx context.Context) error {
	_, err := h.stream(ctx)
	return err
}

// Follow hands take the newest report of each box and then every new one, in
// the order of the bus, until ctx ends. It outlives lost connections and lost
// streams, and may hand out a message again; take runs in one goroutine.
func (h *Hub) Follow(ctx context.Context, take func(Message)) {
	h.lasting(ctx, "reports interrupted", func(ctx context.Context) error { return h.session(ctx, take) })
}

// Listen hands take every beat, until ctx ends; take runs in one goroutine. Beats
// lie in no stream: those that came while nobody listened are gone.
func (h *Hub) Listen(ctx context.Context, take func(Message)) error {
	beats := make(chan *nats.Msg, 1<<14)
	for _, subject := range []string{fleet.States, fleet.Beats} {
		sub, err := h.conn.ChanSubscribe(subject, beats)
		if err != nil {
			return fmt.Errorf("listen to beats: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-beats:
			take(Message{Subject: m.Subject, Boot: clip(m.Header.Get(fleet.HeaderBoot)), Payload: m.Data, At: time.Now()})
		}
	}
}

// session reads until something breaks. It uses a consumer of its own that
// lives as long as the session: the client library's ordered consumer asks for
// its replacement without any end when the stream was removed, and a stream
// made anew starts its numbers again below where such a consumer stands. A new
// session starts with the newest of each box, so nothing that counts is lost.
func (h *Hub) session(ctx context.Context, take func(Message)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ready, done := context.WithTimeout(ctx, setup)
	defer done()
	s, err := h.stream(ready)
	if err != nil {
		return err
	}
	conf := jetstream.ConsumerConfig{
		FilterSubject:     fleet.Reports,
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: time.Minute,
		MemoryStorage:     true,
		Replicas:          1,
	}
	c, err := again(ready, func(ctx context.Context) (jetstream.Consumer, error) { return s.CreateConsumer(ctx, conf) })
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	msgs, err := c.Messages(jetstream.PullHeartbeat(5*time.Second), jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		h.watch(ctx, cancel, s.CachedInfo().Created)
	}()
	defer func() { cancel(nil); <-watched; msgs.Stop() }()
	return read(ctx, msgs, take)
}

func read(ctx context.Context, msgs jetstream.MessagesContext, take func(Message)) error {
	for last := uint64(0); ; {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		meta, err := m.Metadata()
		if err != nil {
			continue // not from a stream
		}
		if last++; meta.Sequence.Consumer != last {
			return fmt.Errorf("message %d came in place of %d", meta.Sequence.Consumer, last)
		}
		out, _ := messageOf(m)
		take(out)
	}
}

// messageOf reads a message of the stream, and says whether it is of one.
func messageOf(m jetstream.Msg) (Message, bool) {
	meta, err := m.Metadata()
	if err != nil {
		return Message{}, false
	}
	return Message{
		Subject: m.Subject(),
		Boot:    clip(m.Headers().Get(fleet.HeaderBoot)),
		Payload: m.Data(),
		At:      meta.Timestamp,
	}, true
}

// watch ends the session when the stream was removed or made anew.
func (h *Hub) watch(ctx context.Context, end context.CancelCauseFunc, created time.Time) {
	for pause(ctx, 10*time.Second) {
		ask, done := context.WithTimeout(ctx, 5*time.Second)
		s, err := h.js.Stream(ask, fleet.Stream)
		done()
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			end(errors.New("the stream was removed"))
			return
		case err == nil && !s.CachedInfo().Created.Equal(created):
			end(errors.New("the stream was made anew"))
			return
		}
	}
}

// pause waits and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func clip(s string) string {
	if len(s) > maxHeader {
		return s[:maxHeader]
	}
	return s
}

package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// TellTime answers boxes that ask what time it is, until ctx ends. now is the
// vendor's clock. Several fleet programs share the work.
func (h *Hub) TellTime(ctx context.Context, now func() time.Time) error {
	s, err := micro.AddService(h.conn, micro.Config{Name: "sprechprobe-time", Version: "1.0.0",
		Description: "tells boxes the time that no time server tells them"})
	if err != nil {
		return fmt.Errorf("time for boxes: %w", err)
	}
	defer func() { _ = s.Stop() }()
	err = s.AddEndpoint("time", micro.HandlerFunc(func(r micro.Request) {
		if answer, err := json.Marshal(fleet.Time{Schema: fleet.TimeSchema, At: now().UTC()}); err == nil {
			_ = r.Respond(answer) // who has left needs none
		}
	}), micro.WithEndpointSubject(fleet.Times))
	if err != nil {
		return fmt.Errorf("time for boxes: %w", err)
	}
	<-ctx.Done()
	return nil
}

package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// holds is how long boxes may say what they were told of an outage. They ask again
// every two minutes, and may miss an answer.
const holds = 5 * time.Minute

// TellOutages answers boxes that ask which outages they suffer from, until ctx ends;
// of says it of one box. The subject says who asks, for the server vouches for it.
// Several fleet programs share the work.
func (h *Hub) TellOutages(ctx context.Context, of func(fleet.Address) []fleet.Outage) error {
	s, err := micro.AddService(h.conn, micro.Config{Name: "sprechprobe-outages", Version: "1.0.0",
		Description: "tells boxes what of their trouble is an outage that the vendor knows of"})
	if err != nil {
		return fmt.Errorf("outages for boxes: %w", err)
	}
	defer func() { _ = s.Stop() }()
	err = s.AddEndpoint("outages", micro.HandlerFunc(func(r micro.Request) {
		box, err := fleet.ParseOutageAsk(r.Subject())
		if err != nil {
			return
		}
		known := of(box)
		told := fleet.Outages{Schema: fleet.OutageSchema, ForS: int64(holds.Seconds()), Outages: known[:min(len(known), fleet.MostOutages)]}
		if answer, err := json.Marshal(told); err == nil && len(answer) <= fleet.MaxOutages {
			_ = r.Respond(answer) // who has left needs none
		}
	}), micro.WithEndpointSubject(fleet.OutageAsks))
	if err != nil {
		return fmt.Errorf("outages for boxes: %w", err)
	}
	<-ctx.Done()
	return nil
}

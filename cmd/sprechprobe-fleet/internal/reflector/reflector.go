// Package reflector is the far end of the boxes' measurements: an iperf3 server
// for many clients at once on one port, with limits to what each may take, leases
// so that a fleet does not meet there, and answers to latency probes (STUN
// Binding) on the same port.
//
// It knows neither boxes nor reports; a stock iperf3 client is as welcome.
package reflector

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// Config says what a reflector does.
type Config struct {
	Limits
	Gate *iperf3.Gate // who may test; nil: everybody
	Log  *slog.Logger
}

// Serve serves on both sockets until ctx ends, and closes them. They come from
// [iperf3.Listen].
func Serve(ctx context.Context, c Config, tcp net.Listener, udp *net.UDPConn) error {
	d, e := newDesk(c.Limits), &echo{}
	s := iperf3.Server{
		Gate: c.Gate, Admit: d.Admit, Slot: d.Slot, Datagram: e.answer, Ended: c.ended,
		MaxOpening: 4*d.Tests + 256, MaxOpeningPerSource: max(64, 4*d.Source),
	}
	return s.Serve(ctx, tcp, udp)
}

// ended notes a test.
func (c Config) ended(q iperf3.Request, res *iperf3.Result, err error) {
	up, down := res.Sum(false), res.Sum(true)
	kind := "tcp"
	if q.Test.UDP {
		kind = "udp"
	}
	args := []any{
		"from", q.From.Addr().String(), "transport", kind, "direction", q.Test.Direction.String(), "streams", q.Test.Streams,
		"up_bits_per_s", int64(up.BitsPerS()), "down_bits_per_s", int64(down.BitsPerS()),
		"took_ms", time.Since(res.At).Milliseconds(),
	}
	if q.User != "" {
		args = append(args, "user", agent.Printable(q.User, 64))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		args = append(args, "err", err)
	}
	c.Log.Info("test", args...)
}

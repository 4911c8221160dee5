package bandwidth

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// dialer connects with package reach, which knows who refused. A connection that
// does not come up is left in seen.
func dialer(seen **reach.Result) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		conn, r := reach.TCP(ctx, to)
		if r.Outcome != agent.Answered {
			*seen = &r
			return nil, errors.New(string(r.Reason))
		}
		return conn, nil
	}
}

package practice

import (
	"context"
	"fmt"
	"net"

	"github.com/sprechprobe/sprechprobe/agent/lab/middlebox"
)

// Divert leads new TCP connections from inside that match ("tcp dport 443") to a
// middlebox on the router, and away from where they were to go.
func (r *Router) Divert(match string, box middlebox.Box) (undo func()) {
	r.t.Helper()
	port, stop := r.Serve(0, func(c net.Conn) {
		to, err := middlebox.Original(c)
		if err != nil {
			_ = c.Close()
			return
		}
		box(c, to)
	})
	rule := r.Rule(Diverted, "iifname "+r.inside+" "+match, fmt.Sprintf("redirect to :%d", port))
	return func() {
		rule.Remove()
		stop()
	}
}

// Serve takes TCP connections to the router itself; port 0 is any that is free.
func (r *Router) Serve(port int, serve func(net.Conn)) (at int, stop func()) {
	r.t.Helper()
	l, err := r.Net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, func() { l.Close() }
}

// Dial connects from the router itself, as its middleboxes do.
func (r *Router) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return r.Net.Dial(ctx, network, address)
}

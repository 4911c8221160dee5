package webrtc_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// A box whose own kernel lets nothing out has seen nothing, least of all silence.
func TestNothingLeavesTheBox(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	at := agent.Target{Host: "relay.example", Addr: netip.MustParseAddr("192.0.2.1"), Port: 5349}
	for _, way := range []struct {
		transport agent.Transport
		variant   agent.Variant
	}{{agent.UDP, agent.Plain}, {agent.UDP, agent.DTLS}, {agent.TCP, agent.Plain}, {agent.TCP, agent.TLS}} {
		target := at
		target.Transport, target.Variant = way.transport, way.variant
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		e := webrtc.TURN(trust.Checker{})(ctx, target)
		cancel()
		if e.Outcome != agent.NotLooked || e.Reason != agent.NoRoute {
			t.Errorf("%s %s: %v %v", way.transport, way.variant, e.Outcome, e.Reason)
		}
	}
}

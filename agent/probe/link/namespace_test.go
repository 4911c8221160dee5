package link_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
)

// furnish makes a router in a network of its own, and a cable to it.
func furnish(t *testing.T) {
	t.Helper()
	lab.IP(t, `
		link set lo up
		netns add router
		link add box0 type veth peer name lan0 netns router
		link set box0 up
		-n router link set lan0 up
		-n router addr add 10.99.0.1/24 dev lan0
		-n router addr add fd99::1/64 dev lan0 nodad`)
}

// TestRealGateways runs its scenarios where cables can be pulled. They build on
// each other.
func TestRealGateways(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	t.Parallel() // each has its own network, and mostly waits
	if !lab.Inside(t) {
		return
	}
	look := func(t *testing.T) agent.Evidence {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		e := link.Probe(link.System{})(ctx, agent.Target{})
		t.Logf("%s: %s", time.Since(start).Round(time.Millisecond), strings.ReplaceAll(text(e), "\n", ", "))
		checkValues(t, e)
		return e
	}
	expect := func(t *testing.T, want string, values map[agent.Key]any) {
		t.Helper()
		e := look(t)
		if got := strings.TrimSpace(e.Outcome.String() + " " + string(e.Reason)); got != want {
			t.Errorf("outcome = %q, want %q", got, want)
		}
		for k, v := range values {
			if diff := cmp.Diff(v, e.Values[k]); diff != "" {
				t.Errorf("value %s (-want +got):\n%s", k, diff)
			}
		}
	}
	furnish(t)
	t.Run("news of the way out", watched)
	t.Run("link without address", func(t *testing.T) {
		expect(t, "refused no-lease", map[agent.Key]any{agent.Interface: "box0", agent.Carrier: true, agent.MTU: 1500.0})
	})
	t.Run("address without route", func(t *testing.T) {
		lab.IP(t, "addr add 10.99.0.2/24 dev box0")
		expect(t, "refused no-gateway", map[agent.Key]any{agent.LocalAddr: "10.99.0.2/24", agent.Gateway: nil})
	})
	t.Run("gateway that is not there", func(t *testing.T) {
		lab.IP(t, "route add default via 10.99.0.9")
		expect(t, "refused no-neighbour", map[agent.Key]any{agent.Gateway: "10.99.0.9", agent.Neighbour: "failed"})
	})
	t.Run("gateway that answers", func(t *testing.T) {
		lab.IP(t, "route replace default via 10.99.0.1")
		expect(t, "answered", map[agent.Key]any{agent.Gateway: "10.99.0.1", agent.Neighbour: "reachable"})
	})
	t.Run("nobody else has the address", func(t *testing.T) {
		expect(t, "answered", map[agent.Key]any{agent.AddrConflict: false})
	})
	t.Run("another device has the address", func(t *testing.T) {
		lab.IP(t, "-n router addr add 10.99.0.2/24 dev lan0")
		expect(t, "answered", map[agent.Key]any{agent.AddrConflict: true})
		lab.IP(t, "-n router addr del 10.99.0.2/24 dev lan0")
	})
	t.Run("gateway that is known and answers", func(t *testing.T) {
		expect(t, "answered", map[agent.Key]any{agent.Neighbour: "reachable"})
	})
	t.Run("gateway that died and is still believed in", func(t *testing.T) {
		lab.IP(t, "-n router link set lan0 arp off")
		lab.IP(t, "-n router addr del 10.99.0.1/24 dev lan0")
		expect(t, "answered", map[agent.Key]any{agent.Neighbour: "unknown"})
	})
	t.Run("gateway that died and is forgotten", func(t *testing.T) {
		lab.IP(t, "neigh flush dev box0")
		expect(t, "refused no-neighbour", map[agent.Key]any{agent.Neighbour: "failed"})
		lab.IP(t, "-n router link set lan0 arp on")
	})
	t.Run("IPv6 gateway that is not there", func(t *testing.T) {
		lab.IP(t, "addr flush dev box0")
		lab.IP(t, "addr add fd99::2/64 dev box0 nodad")
		lab.IP(t, "-6 route add default via fd99::9")
		expect(t, "answered", map[agent.Key]any{agent.LocalAddr: "fd99::2/64", agent.Gateway: "fd99::9", agent.Neighbour: "unknown", agent.AddrConflict: nil})
	})
	t.Run("IPv6 gateway that answers", func(t *testing.T) {
		lab.IP(t, "-6 route replace default via fd99::1")
		expect(t, "answered", map[agent.Key]any{agent.Gateway: "fd99::1", agent.Neighbour: "reachable"})
	})
	t.Run("cable out", func(t *testing.T) {
		lab.IP(t, "-n router link set lan0 down")
		expect(t, "refused no-carrier", map[agent.Key]any{agent.Interface: "box0", agent.Carrier: false})
	})
	t.Run("loopback only", func(t *testing.T) {
		lab.IP(t, "link del box0")
		expect(t, "refused no-gateway", map[agent.Key]any{agent.Interface: nil})
	})
}

// The ways to ask for addresses have to agree, because sandboxes and emulators
// leave only the second.
func TestAddressesByIoctl(t *testing.T) {
	byNetlink, err := link.NetlinkAddrs("lo")
	if err != nil {
		lab.LeaveOut(t, "this system does not tell addresses by netlink: "+err.Error())
	}
	want := netip.MustParsePrefix("127.0.0.1/8")
	got, err := link.IoctlAddr("lo")
	if err != nil || got != want || !strings.Contains(strings.Join(strs(byNetlink), " "), want.String()) {
		t.Errorf("addresses of lo: by ioctl %v (%v), by netlink %v, want %v in both", got, err, byNetlink, want)
	}
	if got, err := link.IoctlAddr("no-such-if0"); err == nil {
		t.Errorf("address of a missing interface = %v, want an error", got)
	}
}

func strs(prefixes []netip.Prefix) []string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.String()
	}
	return words
}

// watched runs inside: what changes the way out is told once, what does not is
// not told.
func watched(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan struct{}, 16), make(chan error, 1)
	go func() { ended <- link.Watch(ctx, link.System{}, func() { told <- struct{}{} }) }()
	wait := func(what string) {
		t.Helper()
		select {
		case <-told:
		case err := <-ended:
			t.Fatalf("%s: Watch ended: %v", what, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: not told", what)
		}
	}
	// Until the watch listens, its first news can be missed; so they are repeated.
	for up := true; ; up = !up {
		lab.IP(t, "link set box0 "+map[bool]string{true: "down", false: "up"}[up])
		select {
		case <-told:
		case <-time.After(2 * time.Second):
			continue
		}
		break
	}
	lab.IP(t, "link set box0 down")
	lab.IP(t, "link set box0 up")
	lab.IP(t, "addr add 10.99.0.2/24 dev box0")
	wait("address")
	lab.IP(t, "route add default via 10.99.0.1")
	wait("gateway")
	lab.IP(t, "addr change 10.99.0.2/24 dev box0 valid_lft 1000 preferred_lft 1000")
	lab.IP(t, "addr add 10.99.7.7/32 dev lo")
	lab.IP(t, "-n router link set lan0 down")
	wait("cable out")
	lab.IP(t, "-n router link set lan0 up")
	wait("cable in")
	select {
	case <-told:
		t.Error("told more often than the way out changed")
	default:
	}
	lab.IP(t, "addr del 10.99.7.7/32 dev lo")
	lab.IP(t, "addr flush dev box0 scope global")
	lab.IP(t, "-n router addr replace fd99::1/64 dev lan0 nodad") // lost with the cable
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch: %v, want nil at the end", err)
	}
}

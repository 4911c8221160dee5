package link_test

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
)

// inside marks the copy of this test program that runs in namespaces of its own.
const inside = "LINK_TEST_INSIDE"

// leaveOut skips a test that this machine cannot run, unless it must.
func leaveOut(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("LAB") == "must" {
		t.Fatalf("LAB=must, but %s", why)
	}
	t.Skipf("LEFT OUT: %s", why)
}

// TestRealGateways runs its scenarios where cables can be pulled: in a copy of
// this program in network and mount namespaces, without root also in a user
// namespace.
func TestRealGateways(t *testing.T) {
	if os.Getenv(inside) != "" {
		realGateways(t)
		return
	}
	if _, err := exec.LookPath("ip"); err != nil {
		leaveOut(t, "there is no ip program (Debian package iproute2)")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRealGateways$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		leaveOut(t, "this system gives no namespaces: "+err.Error())
	}
	err := cmd.Wait()
	t.Logf("inside:\n%s", out.String())
	switch {
	case bytes.Contains(out.Bytes(), []byte("LEFT OUT: ")):
		leaveOut(t, "the namespaces could not be furnished, see above")
	case err != nil:
		t.Fatalf("inside: %v", err)
	case !bytes.Contains(out.Bytes(), []byte("--- PASS: TestRealGateways")):
		t.Fatal("nothing was tested inside")
	}
}

// ip runs one ip command; the test ends if it fails.
func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// furnish gives this process a sys and a run of its own, a router in another
// namespace, and a cable to it.
func furnish(t *testing.T) {
	t.Helper()
	err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
	for _, m := range [][2]string{{"sysfs", "/sys"}, {"tmpfs", "/run"}} {
		if err == nil {
			err = syscall.Mount(m[0], m[1], m[0], 0, "")
		}
	}
	if err != nil {
		leaveOut(t, "this system does not let namespaces mount: "+err.Error())
	}
	ip(t, "link set lo up")
	ip(t, "netns add router")
	ip(t, "link add box0 type veth peer name lan0 netns router")
	ip(t, "link set box0 up")
	ip(t, "-n router link set lan0 up")
	ip(t, "-n router addr add 10.99.0.1/24 dev lan0")
	ip(t, "-n router addr add fd99::1/64 dev lan0 nodad")
}

// realGateways runs inside. Its parts build on each other.
func realGateways(t *testing.T) {
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
		ip(t, "addr add 10.99.0.2/24 dev box0")
		expect(t, "refused no-gateway", map[agent.Key]any{agent.LocalAddr: "10.99.0.2/24", agent.Gateway: nil})
	})
	t.Run("gateway that is not there", func(t *testing.T) {
		ip(t, "route add default via 10.99.0.9")
		expect(t, "refused no-neighbour", map[agent.Key]any{agent.Gateway: "10.99.0.9", agent.Neighbour: "failed"})
	})
	t.Run("gateway that answers", func(t *testing.T) {
		ip(t, "route replace default via 10.99.0.1")
		expect(t, "answered", map[agent.Key]any{agent.Gateway: "10.99.0.1", agent.Neighbour: "reachable"})
	})
	t.Run("gateway that is known and answers", func(t *testing.T) {
		expect(t, "answered", map[agent.Key]any{agent.Neighbour: "reachable"})
	})
	t.Run("gateway that died and is still believed in", func(t *testing.T) {
		ip(t, "-n router link set lan0 arp off")
		ip(t, "-n router addr del 10.99.0.1/24 dev lan0")
		expect(t, "answered", map[agent.Key]any{agent.Neighbour: "unknown"})
	})
	t.Run("gateway that died and is forgotten", func(t *testing.T) {
		ip(t, "neigh flush dev box0")
		expect(t, "refused no-neighbour", map[agent.Key]any{agent.Neighbour: "failed"})
		ip(t, "-n router link set lan0 arp on")
	})
	t.Run("IPv6 gateway that is not there", func(t *testing.T) {
		ip(t, "addr flush dev box0")
		ip(t, "addr add fd99::2/64 dev box0 nodad")
		ip(t, "-6 route add default via fd99::9")
		expect(t, "answered", map[agent.Key]any{agent.LocalAddr: "fd99::2/64", agent.Gateway: "fd99::9", agent.Neighbour: "unknown"})
	})
	t.Run("IPv6 gateway that answers", func(t *testing.T) {
		ip(t, "-6 route replace default via fd99::1")
		expect(t, "answered", map[agent.Key]any{agent.Gateway: "fd99::1", agent.Neighbour: "reachable"})
	})
	t.Run("cable out", func(t *testing.T) {
		ip(t, "-n router link set lan0 down")
		expect(t, "refused no-carrier", map[agent.Key]any{agent.Interface: "box0", agent.Carrier: false})
	})
	t.Run("loopback only", func(t *testing.T) {
		ip(t, "link del box0")
		expect(t, "refused no-gateway", map[agent.Key]any{agent.Interface: nil})
	})
}

// The ways to ask for addresses have to agree, because sandboxes and emulators
// leave only the second.
func TestAddressesByIoctl(t *testing.T) {
	byNetlink, err := link.NetlinkAddrs("lo")
	if err != nil {
		leaveOut(t, "this system does not tell addresses by netlink: "+err.Error())
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
		ip(t, "link set box0 "+map[bool]string{true: "down", false: "up"}[up])
		select {
		case <-told:
		case <-time.After(2 * time.Second):
			continue
		}
		break
	}
	ip(t, "link set box0 down")
	ip(t, "link set box0 up")
	ip(t, "addr add 10.99.0.2/24 dev box0")
	wait("address")
	ip(t, "route add default via 10.99.0.1")
	wait("gateway")
	ip(t, "addr change 10.99.0.2/24 dev box0 valid_lft 1000 preferred_lft 1000")
	ip(t, "addr add 10.99.7.7/32 dev lo")
	ip(t, "-n router link set lan0 down")
	wait("cable out")
	ip(t, "-n router link set lan0 up")
	wait("cable in")
	select {
	case <-told:
		t.Error("told more often than the way out changed")
	default:
	}
	ip(t, "addr del 10.99.7.7/32 dev lo")
	ip(t, "addr flush dev box0 scope global")
	ip(t, "-n router addr replace fd99::1/64 dev lan0 nodad") // lost with the cable
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Watch: %v, want nil at the end", err)
	}
}

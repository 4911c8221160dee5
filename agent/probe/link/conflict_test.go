package link_test

import (
	"bytes"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

var (
	ownAddr = netip.MustParseAddr("10.99.0.2")
	ownHW   = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	otherHW = net.HardwareAddr{2, 0, 0, 0, 0, 2}
)

// claim is an ARP packet (1: request, 2: reply) whose sender claims an address.
func claim(operation byte, from net.HardwareAddr, addr netip.Addr) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, operation}, from...)
	b = append(b, addr.AsSlice()...)
	return append(b, make([]byte, 10)...)
}

// What another device says about another address never leaves the kernel.
func TestFilter(t *testing.T) {
	var raw []bpf.RawInstruction
	for _, f := range link.Claims(ownAddr) {
		raw = append(raw, bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K})
	}
	program, ok := bpf.Disassemble(raw)
	vm, err := bpf.NewVM(program)
	if !ok || err != nil {
		t.Fatalf("filter: %v", err)
	}
	long := claim(2, otherHW, ownAddr)
	long[4] = 8
	other := claim(2, otherHW, ownAddr)
	other[2] = 0x86
	tests := []struct {
		name string
		b    []byte
		want int
	}{
		{"answer of another", claim(2, otherHW, ownAddr), 28},
		{"announcement of another", claim(1, otherHW, ownAddr), 28},
		{"another address", claim(2, otherHW, netip.MustParseAddr("10.99.0.3")), 0},
		{"another's question", claim(1, otherHW, netip.IPv4Unspecified()), 0},
		{"our own question", link.ARPProbe(ownHW, ownAddr), 0},
		{"longer hardware addresses", long, 0},
		{"another protocol", other, 0},
		{"cut", claim(2, otherHW, ownAddr)[:16], 0},
		{"padded by the cable", append(claim(2, otherHW, ownAddr), make([]byte, 18)...), 28},
	}
	for _, tt := range tests {
		if got, err := vm.Run(tt.b); err != nil || got != tt.want {
			t.Errorf("%s: %d bytes pass, %v; want %d", tt.name, got, err, tt.want)
		}
	}
}

func TestARPProbe(t *testing.T) {
	want := []byte{0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 99, 0, 2}
	if got := link.ARPProbe(ownHW, ownAddr); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func FuzzClaim(f *testing.F) {
	f.Add(claim(2, otherHW, ownAddr))
	f.Add(claim(1, ownHW, ownAddr))
	f.Add(link.ARPProbe(ownHW, ownAddr))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := link.IsClaim(b, ownAddr, []string{string(ownHW)})
		want := len(b) >= 28 && bytes.Equal(b[14:18], ownAddr.AsSlice()) && !bytes.Equal(b[8:14], ownHW)
		if got != want {
			t.Errorf("% x: %v, want %v", b, got, want)
		}
	})
}

// TestConflicts asks in a network of its own.
func TestConflicts(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	if !lab.Inside(t) {
		return
	}
	// A switch, the box with two cables in it, and another device.
	lab.IP(t, `
		link set lo up
		netns add lan
		link add box0 type veth peer name port0 netns lan
		link add box1 type veth peer name port1 netns lan
		-n lan link add switch type bridge
		-n lan link set port0 master switch
		-n lan link set port1 master switch
		-n lan link set port0 up
		-n lan link set port1 up
		-n lan link set switch up
		-n lan addr add 10.99.0.1/24 dev switch
		addr add 10.99.0.2/24 dev box0
		addr add 10.99.0.3/24 dev box1
		link set box0 up
		link set box1 up
		route add default via 10.99.0.1`)
	expect := func(t *testing.T, name string, own netip.Addr, taken, known bool) {
		t.Helper()
		if gotTaken, gotKnown := link.Conflict(t.Context(), name, own); gotTaken != taken || gotKnown != known {
			t.Errorf("%s at %s: taken %v, known %v; want %v, %v", own, name, gotTaken, gotKnown, taken, known)
		}
	}
	t.Run("our own second cable", func(t *testing.T) { expect(t, "box0", ownAddr, false, true) })
	t.Run("no Ethernet", func(t *testing.T) { expect(t, "lo", netip.MustParseAddr("127.0.0.1"), false, false) })
	t.Run("no such interface", func(t *testing.T) { expect(t, "eth9", ownAddr, false, false) })
	t.Run("conformance", func(t *testing.T) {
		probetest.Conform(t, link.Probe(link.System{}), agent.Target{}, agent.Target{})
	})
	t.Run("another device", func(t *testing.T) {
		lab.IP(t, "-n lan addr add 10.99.0.2/24 dev switch")
		expect(t, "box0", ownAddr, true, true)
		expect(t, "box1", netip.MustParseAddr("10.99.0.3"), false, true)
	})
	t.Run("without the right to ask", func(t *testing.T) {
		withoutRaw(t, func() { expect(t, "box0", ownAddr, false, false) })
	})
}

// withoutRaw calls do on a thread that may not open packet sockets. The thread
// ends with it.
func withoutRaw(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&head, &data[0]); err != nil {
			t.Error(err)
			return
		}
		data[0].Effective &^= 1 << unix.CAP_NET_RAW
		if err := unix.Capset(&head, &data[0]); err != nil {
			t.Error(err)
			return
		}
		do()
	}()
	<-done
}

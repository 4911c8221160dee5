package bandwidth_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// delayVar makes this program a wire that holds every frame for so long, between
// the interfaces west0 and east0 of the network it is in. The kernel's netem is
// not to be had everywhere.
const delayVar = "SPRECHPROBE_BANDWIDTH_DELAY"

// frame is one that is on its way.
type frame struct {
	bytes []byte
	due   time.Time
}

// delay relays until the process ends.
func delay(d time.Duration) error {
	west, err := packetSocket("west0")
	if err != nil {
		return err
	}
	east, err := packetSocket("east0")
	if err != nil {
		return err
	}
	// All directions of a process can be late together: a wire's must not.
	go func() { fmt.Fprintln(os.Stderr, relay(west, east, d)) }()
	return relay(east, west, d)
}

func packetSocket(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return 0, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index})
}

// relay holds what comes for d and passes it on. It is ahead of all others on this
// machine where it may be: a wire that has to wait its turn is a bad wire.
func relay(from, to int, d time.Duration) error {
	runtime.LockOSThread()
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}, 0)
	var way []frame
	buf := make([]byte, 1<<16)
	for {
		for len(way) > 0 && !time.Now().Before(way[0].due) {
			_ = unix.Send(to, way[0].bytes, 0) // a full one drops
			way = way[1:]
		}
		var until *unix.Timespec // none: until something comes
		if len(way) > 0 {
			ts := unix.NsecToTimespec(int64(max(time.Until(way[0].due), 0)))
			until = &ts
		}
		if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(from), Events: unix.POLLIN}}, until, nil); err != nil && err != unix.EINTR {
			return err
		}
		way = append(way, arrivals(from, buf, d)...)
	}
}

// arrivals are the frames that have come.
func arrivals(from int, buf []byte, d time.Duration) (new []frame) {
	for {
		n, sa, err := unix.Recvfrom(from, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return new
		}
		if l, ok := sa.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		new = append(new, frame{append([]byte(nil), buf[:n]...), time.Now().Add(d)})
	}
}

// farther puts a wire between router and server that adds rtt to every round
// trip. 0 only lays it.
func farther(t testing.TB, rtt time.Duration) {
	t.Helper()
	ethtool := lab.Program(t, "ethtool", "ethtool")
	lab.IP(t, `
		netns add wire
		-n router link del wan0
		-n router link add wan0 type veth peer name west0 netns wire
		-n server link add srv0 type veth peer name east0 netns wire
		-n router address add 198.51.100.1/24 dev wan0
		-n server address add `+server+`/24 dev srv0
		-n router link set wan0 gso_max_segs 1 up
		-n server link set srv0 gso_max_segs 1 up
		-n wire link set west0 up
		-n wire link set east0 up
		-n server route add default via 198.51.100.1`)
	// Frames that are taken off a wire must carry their checksums.
	for _, x := range []string{"router wan0", "server srv0", "wire west0", "wire east0"} {
		f := strings.Fields(x)
		lab.In(t, f[0], func() {
			if out, err := exec.Command(ethtool, "-K", f[1], "tx", "off", "gso", "off", "tso", "off", "gro", "off").CombinedOutput(); err != nil {
				t.Fatalf("ethtool %s: %v\n%s", x, err, out)
			}
		})
	}
	if out, err := exec.Command(ethtool, "-K", "up0", "tx", "off", "gso", "off", "tso", "off").CombinedOutput(); err != nil {
		t.Fatalf("ethtool up0: %v\n%s", err, out)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v", delayVar, rtt/2))
	lab.In(t, "wire", func() { lab.Start(t, cmd, nil) })
}

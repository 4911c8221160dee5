package bandwidth_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
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
	go relay(west, east, d)
	relay(east, west, d)
	return nil
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

func relay(from, to int, d time.Duration) {
	way := make(chan frame, 1<<16)
	go func() {
		for f := range way {
			<-time.After(time.Until(f.due))
			_ = unix.Send(to, f.bytes, 0) // a full one drops
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, sa, err := unix.Recvfrom(from, buf, 0)
		if err != nil {
			return
		}
		if l, ok := sa.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		way <- frame{append([]byte(nil), buf[:n]...), time.Now().Add(d)}
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

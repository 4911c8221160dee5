package practice

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// NIC is what the box's interface and the switch have agreed on. The zero value is
// what a virtual cable says of itself: 10 Gbit/s, full duplex.
type NIC struct {
	MbitPerS   int
	HalfDuplex bool
}

// cable joins two TAP devices, since a virtual cable cannot say that it is slow.
// Its ends take turns where it is half duplex.
type cable struct {
	t        testing.TB
	box      *os.File
	far      *os.File
	bitsPerS int
}

// plugNIC makes eth0 here and port1 on the practice router.
func (pr *Practice) plugNIC() {
	pr.t.Helper()
	n := pr.plan.NIC
	c := &cable{t: pr.t, box: tap(pr.t, Interface), bitsPerS: n.MbitPerS * 1_000_000}
	pr.in("fw", func() { c.far = tap(pr.t, "port1") })
	duplex := "full"
	if n.HalfDuplex {
		duplex = "half"
	}
	ethtool := lab.Program(pr.t, "ethtool", "ethtool")
	if _, err := command("", ethtool, "-s", Interface, "speed", fmt.Sprint(n.MbitPerS), "duplex", duplex, "autoneg", "off"); err != nil {
		pr.t.Fatal(err)
	}
	out, in := new(medium), new(medium)
	if n.HalfDuplex {
		in = out
	}
	go c.carry(c.far, c.box, out)
	go c.carry(c.box, c.far, in)
	pr.nic = c
}

// tap makes a TAP device in the network of the calling thread. It lives as long as
// the file.
func tap(t testing.TB, name string) *os.File {
	t.Helper()
	const clone = "/dev/net/tun"
	fd, err := unix.Open(clone, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		lab.LeaveOut(t, "this system gives no TAP devices: "+err.Error())
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		t.Fatalf("TAP device %s: %v", name, err)
	}
	f := os.NewFile(uintptr(fd), clone) // not before: it could not be waited for
	t.Cleanup(func() { f.Close() })
	return f
}

// medium is what one frame at a time may use.
type medium struct {
	mu   sync.Mutex
	free time.Time
}

// take waits for as long as a frame needs.
func (m *medium) take(frame int, bitsPerS int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.free.Before(now) {
		m.free = now
	}
	m.free = m.free.Add(time.Duration(frame) * 8 * time.Second / time.Duration(bitsPerS))
	<-time.After(time.Until(m.free))
}

// carry moves frames until an end is gone.
func (c *cable) carry(to, from *os.File, m *medium) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		m.take(n, c.bitsPerS)
		_, _ = to.Write(buf[:n]) // an end that is down takes nothing
	}
}

// setCarrier tells the box's end whether there is somebody at the other one.
func (c *cable) setCarrier(on bool) {
	c.t.Helper()
	raw, err := c.box.SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	value := 0
	if on {
		value = 1
	}
	if e := raw.Control(func(fd uintptr) { err = unix.IoctlSetPointerInt(int(fd), tunSetCarrier, value) }); e != nil || err != nil {
		c.t.Fatalf("carrier of the TAP device: %v, %v", e, err)
	}
}

// tunSetCarrier is TUNSETCARRIER of linux/if_tun.h.
const tunSetCarrier = 0x400454e2

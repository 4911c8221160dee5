package main_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// villages are where villains live: the second looks like the internet, which
// laboratories use 198.18.0.0/15 for.
var villages = []netip.Prefix{netip.MustParsePrefix("127.0.60.0/24"), netip.MustParsePrefix("198.18.60.0/24")}

// nudge is where the box knocks to see whether its gateway is there.
var nudge = netip.MustParseAddrPort("192.168.178.1:9")

// place is the network, and who talked to whom outside the villages.
type place struct {
	mu     sync.Mutex
	strays []string
}

// newPlace makes a practice whose router swallows everything but what goes to
// the villages, and watches until the test ends.
func newPlace(t *testing.T) *place {
	t.Helper()
	lab.IP(t, `
		link set lo up
		route add local `+villages[1].String()+` dev lo
		link add eth0 type veth peer name hole
		address add 192.168.178.20/24 dev eth0
		link set eth0 up
		link set hole up
		neigh add `+nudge.Addr().String()+` lladdr 02:00:00:00:00:01 dev eth0 nud permanent
		route add default via `+nudge.Addr().String()+` dev eth0`)
	p := &place{}
	f := watchStrays(t)
	done := make(chan struct{})
	t.Cleanup(func() { f.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 128)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			p.saw(b[:n])
		}
	}()
	return p
}

// watchStrays is a socket that gets a copy of each packet of which neither end
// is in a village.
func watchStrays(t *testing.T) *os.File {
	t.Helper()
	var filter []bpf.Instruction
	for _, offset := range []uint32{12, 16} { // source and destination of IPv4
		filter = append(filter, bpf.LoadAbsolute{Off: offset, Size: 4}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xffffff00})
		for _, v := range villages {
			net4 := v.Addr().As4()
			filter = append(filter, bpf.JumpIf{Cond: bpf.JumpNotEqual, SkipTrue: 1,
				Val: uint32(net4[0])<<24 | uint32(net4[1])<<16 | uint32(net4[2])<<8}, bpf.RetConstant{})
		}
	}
	raw, err := bpf.Assemble(append(filter, bpf.RetConstant{Val: 128}))
	must(t, err)
	ops := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		ops[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in the order of the network
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(ops)), Filter: &ops[0]}))
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all}))
	return os.NewFile(uintptr(fd), "strays")
}

// arp is how questions and answers about IPv4 addresses on Ethernet begin (RFC 826).
var arp = []byte{0, 1, 8, 0, 6, 4}

// saw notes a packet.
func (p *place) saw(b []byte) {
	text := fmt.Sprintf("%x", b[:min(len(b), 40)])
	switch {
	case len(b) >= 24 && b[0]>>4 == 4:
		dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:])), binary.BigEndian.Uint16(b[22:]))
		text = fmt.Sprintf("protocol %d to %s", b[9], dst)
		if dst == nudge || b[9] == unix.IPPROTO_ICMP && dst.Addr() == nudge.Addr() {
			return // its gateway
		}
	case len(b) >= 28 && bytes.HasPrefix(b, arp) && (home(b[24:]) || home(b[14:])):
		return // who has an address of the practice's own, the box's or the gateway's
	case len(b) >= 40 && b[0]>>4 == 6 && b[24] == 0xff: // the kernel, as links come up
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.strays) < 1000 && !slices.Contains(p.strays, text) {
		p.strays = append(p.strays, text)
	}
}

func (p *place) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.strays)
}

// quiet fails the test if the program has talked to anybody outside the
// villages. To trust that, it first does so itself and waits until that is seen.
func (p *place) quiet(t *testing.T) {
	t.Helper()
	const mark = "192.0.2.99"
	until(t, "the watch sees a packet", func() bool {
		c, err := net.Dial("udp4", mark+":9")
		must(t, err)
		defer c.Close()
		_, err = c.Write([]byte("seen?"))
		must(t, err)
		return slices.ContainsFunc(p.seen(), func(s string) bool { return strings.Contains(s, mark) })
	})
	for _, s := range p.seen() {
		if !strings.Contains(s, mark) {
			t.Errorf("the program talked to a stranger: %s", s)
		}
	}
}

// home reports whether an IPv4 address begins b that is one of the practice's own.
func home(b []byte) bool { return b[0] == 192 && b[1] == 168 }

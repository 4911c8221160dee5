package link

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
)

// How long other devices have to say that they use our address: one on the
// cable answers within a millisecond, one by radio that dozes within 100.
const (
	conflictAgain = 100 * time.Millisecond // the second question
	conflictEnd   = 300 * time.Millisecond
)

// Parts of an ARP packet for IPv4 over Ethernet (RFC 826).
const (
	arpSize    = 28
	arpSender  = 8  // hardware address
	arpAddress = 14 // of the sender
	arpTarget  = 24
)

// settleConflict begins to look whether another device uses an address. What it
// returns waits for the answer and writes it into v.
func (s System) settleConflict(ctx context.Context, device string, own netip.Prefix, v agent.Values) (settle func()) {
	if !own.Addr().Is4() {
		return func() {}
	}
	done := make(chan struct{})
	var taken, known bool
	go func() {
		defer close(done)
		taken, known = s.Conflict(ctx, device, own.Addr())
	}()
	return func() {
		if <-done; known {
			v[agent.AddrConflict] = taken
		}
	}
}

// conflict asks by ARP who else uses an address of ours (RFC 5227 section 2.1.1).
// It is not known where this process may not open a packet socket. What that
// hears is filtered by the kernel: of all packets on the cable only those whose
// sender claims this very address.
func conflict(ctx context.Context, device string, own netip.Addr) (taken, known bool) {
	ifi, err := net.InterfaceByName(device)
	if err != nil || len(ifi.HardwareAddr) != 6 || ifi.Flags&net.FlagBroadcast == 0 {
		return false, false
	}
	mine, err := hardwareAddrs()
	if err != nil {
		return false, false
	}
	conn, err := listenARP(ifi.Index, own)
	if err != nil {
		return false, false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	question := arpProbe(ifi.HardwareAddr, own)
	for _, wait := range []time.Duration{conflictAgain, conflictEnd - conflictAgain} {
		if sendARP(conn, ifi.Index, question) != nil {
			return false, false
		}
		if claimed(ctx, conn, time.Now().Add(wait), own, mine) {
			return true, true
		}
		if ctx.Err() != nil {
			return false, false
		}
	}
	return false, true
}

// hardwareAddrs are those of this machine, which may have two cables in one
// network.
func hardwareAddrs() ([]string, error) {
	all, err := net.Interfaces()
	var found []string
	for _, ifi := range all {
		found = append(found, string(ifi.HardwareAddr))
	}
	return found, err
}

// listenARP opens a socket for ARP packets that claim an address. It hears
// nothing before its filter is in place, because it has no protocol until then.
func listenARP(index int, own netip.Addr) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	filter := claims(own)
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	if err == nil {
		err = unix.Bind(fd, arpAt(index))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "arp"), nil
}

// claims is the kernel's filter for ARP packets whose sender claims an address.
func claims(own netip.Addr) []unix.SockFilter {
	const (
		half   = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		word   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		result = unix.BPF_RET | unix.BPF_K
	)
	a := own.As4()
	return []unix.SockFilter{
		{Code: half, K: 2}, // protocol
		{Code: equal, K: unix.ETH_P_IP, Jf: 5},
		{Code: half, K: 4}, // sizes of both kinds of addresses
		{Code: equal, K: 0x0604, Jf: 3},
		{Code: word, K: arpAddress},
		{Code: equal, K: binary.BigEndian.Uint32(a[:]), Jf: 1},
		{Code: result, K: arpSize},
		{Code: result, K: 0},
	}
}

func arpAt(index int) *unix.SockaddrLinklayer {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], unix.ETH_P_ARP)
	return &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(b[:]), Ifindex: index}
}

// arpProbe asks who has an address, without claiming it ourselves: nobody's
// table is changed by it.
func arpProbe(from net.HardwareAddr, own netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, their sizes, request
	b = append(append(b, from...), make([]byte, arpTarget-arpAddress)...)
	return append(b, own.AsSlice()...)
}

func sendARP(conn *os.File, index int, b []byte) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	to := arpAt(index)
	to.Halen, to.Addr = 6, [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	ctlErr := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), b, 0, to) })
	if ctlErr != nil {
		return ctlErr
	}
	return err
}

// claimed waits for a packet in which a device that is not mine claims an
// address.
func claimed(ctx context.Context, conn *os.File, until time.Time, own netip.Addr, mine []string) bool {
	if conn.SetReadDeadline(until) != nil || ctx.Err() != nil { // in this order: the end of ctx sets one too
		return false
	}
	var b [arpSize]byte
	for {
		n, err := conn.Read(b[:])
		if err != nil {
			return false
		}
		if isClaim(b[:n], own, mine) {
			return true
		}
	}
}

// isClaim reports whether an ARP packet says that somebody else has an address.
func isClaim(b []byte, own netip.Addr, mine []string) bool {
	if len(b) < arpSize {
		return false
	}
	a, _ := netip.AddrFromSlice(b[arpAddress : arpAddress+4])
	return a == own && !slices.Contains(mine, string(b[arpSender:arpAddress]))
}

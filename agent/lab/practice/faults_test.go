package practice_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
)

func TestUnplug(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	plug := p.Unplug()
	if b, err := os.ReadFile("/sys/class/net/eth0/carrier"); err != nil || string(b) != "0\n" {
		t.Errorf("carrier %q, %v", b, err)
	}
	plug()
	connects(t, web, "ok", "plugged in again")
}

// A slow interface says so, is so, and can be unplugged.
func TestNIC(t *testing.T) {
	p := build(t, practice.Plan{NIC: practice.NIC{MbitPerS: 10, HalfDuplex: true}})
	if p == nil {
		return
	}
	for file, want := range map[string]string{"speed": "10\n", "duplex": "half\n", "carrier": "1\n"} {
		if b, err := os.ReadFile("/sys/class/net/eth0/" + file); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v; want %q", file, b, err, want)
		}
	}
	p.Internet.Range(internet.Echoed, internet.Echoed)
	c, err := net.Dial("tcp", "198.18.7.40:12000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const size, least = 250_000, 2 * 250_000 * 8 * time.Second / 10_000_000
	began := time.Now()
	go func() { _, _ = c.Write(make([]byte, size)) }()
	if _, err := io.ReadFull(c, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < least {
		t.Errorf("%d bytes there and back took %v, want %v at least", size, took, least)
	}
	plug := p.Unplug()
	plug()
	connects(t, web, "ok", "plugged in again")
}

// Two boxes have one public address, and one may take the other's here.
func TestPC(t *testing.T) {
	p := build(t, practice.Plan{PC: true})
	if p == nil {
		return
	}
	c, err := p.PC.Dial(t.Context(), "tcp", web)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != practice.PCAddr {
		t.Errorf("the other host is %v", got)
	}
	connects(t, web, "ok", "with another host")
	const crowd = 50
	full := p.Router.Block("ct state new ct count over 40", "drop")
	p.Crowd(crowd)
	connects(t, web, "silent", "in a crowd")
	full.Remove()

	p.WANLine.Set(practice.Quality{UpBitsPerS: 2_000_000, DownBitsPerS: 2_000_000, Queue: time.Second})
	for name, load := range map[string]func() func(){"upload": p.Upload, "download": p.Download} {
		stop := load()
		p.Router.Forget()
		awaitBytes(t, p, 3_000, name) // of a download, the acknowledgements
		stop()
	}
}

// awaitBytes waits until something has gone from inside to the speed host.
func awaitBytes(t *testing.T, p *practice.Practice, least int, when string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); ; {
		for _, f := range p.Router.Seen() {
			if f.To.Addr() == internet.SpeedAddr && f.Protocol == "tcp" && f.Bytes >= least {
				return
			}
		}
		select {
		case <-tick.C:
		case <-end:
			t.Errorf("%s: no load", when)
			return
		}
	}
}

func TestIPv6(t *testing.T) {
	p := build(t, practice.Plan{IPv6: true})
	if p == nil {
		return
	}
	six := net.JoinHostPort(internet.V6(internet.WebAddr).String(), "443")
	connects(t, six, "ok", "by IPv6")
	p.Internet.Names.Change((*internet.Zone).Dual)
	if got, err := net.LookupHost("video.webprax.de"); err != nil || len(got) != 2 {
		t.Errorf("addresses %q, %v; want one of each family", got, err)
	}
	broken := p.Provider.Block("meta nfproto ipv6", "drop")
	connects(t, six, "silent", "with IPv6 broken")
	connects(t, web, "ok", "with IPv6 broken")
	broken.Remove()
	// Nobody comes in.
	if c, err := p.Internet.Net.Dial(t.Context(), "udp6", "[2001:2:0:178::20]:9"); err != nil {
		t.Error(err)
	} else {
		defer c.Close()
		_, _ = c.Write([]byte("hello"))
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Read(make([]byte, 5)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("from outside: %v, want silence", err)
		}
	}
}

func TestIPv6Only(t *testing.T) {
	p := build(t, practice.Plan{IPv6Only: true})
	if p == nil {
		return
	}
	got, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip6", "nats1.webprax.de")
	if err != nil || len(got) != 1 || !practice.NAT64.Contains(got[0]) {
		t.Fatalf("addresses %v, %v; want one of %v", got, err, practice.NAT64)
	}
	connects(t, netip.AddrPortFrom(got[0], internet.NATSPort).String(), "ok", "by NAT64")
	if c, err := net.Dial("tcp4", web); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("IPv4: %v, %v; want network unreachable", c, err)
	}
}

func TestRunAhead(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	r := p.RunAhead(exec.Command("date", "+%s"), 48*time.Hour)
	seconds, err := strconv.ParseInt(strings.TrimSpace(r.Out), 10, 64)
	if off := time.Until(time.Unix(seconds, 0)); err != nil || off < 47*time.Hour {
		t.Errorf("it is %q, %v ahead", r.Out, off)
	}
}

func TestGatewayAndLine(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	undo := p.MuteGateway()
	if _, err := net.DialTimeout("tcp", web, 20*time.Second); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("with a mute gateway: %v, want no route to host", err)
	}
	undo()
	connects(t, web, "ok", "the gateway speaks again")
	undo = p.CutOff()
	connects(t, web, "silent", "cut off")
	connects(t, "192.168.178.1:53", "ok", "cut off, the gateway")
	undo()
	connects(t, web, "ok", "no longer cut off")
}

// Connections break at a redial and a failover, and the address is another one.
func TestOtherAddress(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	mapped := func(want, when string) {
		t.Helper()
		if got := binding(t, udp(t), at(internet.TURNAddr, 3478)); got.Addr() != netip.MustParseAddr(want) {
			t.Errorf("%s mapped to %v, want %s", when, got, want)
		}
	}
	p.Internet.Range(internet.Echoed, internet.Echoed)
	c, err := net.Dial("tcp", "198.18.7.40:12000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mapped("198.18.64.2", "at first")
	undo := p.Redial()
	mapped("198.18.65.2", "redialled")
	_, _ = c.Write([]byte("hello"))
	_ = c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if n, err := c.Read(make([]byte, 5)); err == nil {
		t.Errorf("a connection outlived it: %d bytes", n)
	}
	undo()
	undo = p.Failover(practice.Quality{UpBitsPerS: 3_000_000, RTT: 60 * time.Millisecond})
	mapped("198.19.64.2", "by the other line")
	undo()
	mapped("198.18.64.2", "in the end")
}

// hop asks who lets a packet with this TTL die.
func hop(t *testing.T, ttl int, patience time.Duration) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for option, value := range map[int]int{unix.IP_TTL: ttl, unix.IP_RECVERR: 1} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, option, value); err != nil {
			t.Fatal(err)
		}
	}
	to := unix.SockaddrInet4{Port: 3478, Addr: internet.TURNAddr.As4()}
	if err := unix.Sendto(fd, []byte("hello"), 0, &to); err != nil {
		t.Fatal(err)
	}
	n, err := 0, error(unix.EINTR)
	for err == unix.EINTR {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd)}}, int(patience.Milliseconds()))
	}
	if n != 1 || err != nil {
		return "nobody"
	}
	oob := make([]byte, 512)
	_, n, _, _, err = unix.Recvmsg(fd, nil, oob, unix.MSG_ERRQUEUE)
	if err != nil {
		t.Fatal(err)
	}
	// The offender's sockaddr_in follows the sock_extended_err of 16 bytes.
	at := bytes.Index(oob[:n], []byte{unix.SO_EE_ORIGIN_ICMP, 11, 0})
	if at < 0 {
		t.Fatalf("no ICMP 11/0 in % x", oob[:n])
	}
	from := oob[at-4+16+4:]
	return netip.AddrFrom4([4]byte(from[:4])).String()
}

// route asserts who is on the way.
func route(t *testing.T, want string) {
	t.Helper()
	var hops []string
	for ttl, who := range strings.Split(want, ", ") {
		patience := long
		if who == "nobody" {
			patience = short
		}
		hops = append(hops, hop(t, ttl+1, patience))
	}
	if got := strings.Join(hops, ", "); got != want {
		t.Errorf("hops %v, want %v", got, want)
	}
}

func TestHops(t *testing.T) {
	if build(t, practice.Plan{}) != nil {
		route(t, "192.168.178.1, 198.18.64.1, 198.18.1.1, nobody")
	}
}

// sends tells whether a UDP packet of an IP size comes back, unfragmented.
func sends(t *testing.T, size int, patience time.Duration) error {
	t.Helper()
	c, err := net.Dial("udp4", "198.18.7.40:12000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	})
	if err != nil {
		t.Fatal(err)
	}
	// Whoever rejects the first one shows it to the second.
	for range 2 {
		if _, err := c.Write(make([]byte, size-28)); err != nil {
			return err
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err = c.Read(make([]byte, 2000)); err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return os.ErrDeadlineExceeded
}

func TestMTU(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	p.Internet.Range(internet.Echoed, internet.Echoed)
	if err := sends(t, 1500, long); err != nil {
		t.Errorf("1500 bytes by 1500: %v", err)
	}
	undo := p.WANLine.SetMTU(1400, false)
	if err := sends(t, 1400, long); err != nil {
		t.Errorf("1400 bytes by 1400: %v", err)
	}
	if err := sends(t, 1401, long); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("1401 bytes by 1400: %v, want message too long", err)
	}
	undo()
	undo = p.WANLine.SetMTU(1300, true)
	if err := sends(t, 1400, short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("1400 bytes by a hole of 1300: %v, want silence", err)
	}
	if err := transfer("198.18.7.40:12000", short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("TCP by a hole of 1300: %v, want silence", err)
	}
	clamp := p.Router.ClampMSS(1300)
	if err := transfer("198.18.7.40:12000", long); err != nil {
		t.Errorf("TCP with clamped segments: %v", err)
	}
	clamp.Remove()
	undo()
	if err := sends(t, 1500, long); err != nil {
		t.Errorf("1500 bytes in the end: %v", err)
	}
}

// transfer sends some segments to the echo.
func transfer(to string, patience time.Duration) error {
	c, err := net.DialTimeout("tcp", to, 20*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(make([]byte, 4000)); err != nil {
		return err
	}
	for left := 4000; left > 0; {
		n, err := c.Read(make([]byte, left))
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// A connection that is idle for longer than the router remembers is dead.
func TestForgottenConnection(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	p.Internet.Range(internet.Echoed, internet.Echoed)
	p.Router.Set("netfilter/nf_conntrack_tcp_timeout_established 1")
	c, err := net.Dial("tcp", "198.18.7.40:12000")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say := func(patience time.Duration) error {
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	if err := say(long); err != nil {
		t.Fatalf("at once: %v", err)
	}
	<-time.After(2500 * time.Millisecond) // the kernel's time cannot be turned on
	if err := say(short); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after a while: %v, want silence", err)
	}
}

// A UDP mapping lives as long as the router is told, and a table has an end.
func TestConnectionTable(t *testing.T) {
	p := build(t, practice.Plan{NAT: practice.Symmetric})
	if p == nil {
		return
	}
	p.Router.Block("ct state new ct count over 20", "drop")
	c := udp(t)
	first := binding(t, c, at(internet.TURNAddr, 3478))
	if again := binding(t, c, at(internet.TURNAddr, 3478)); again != first || !first.IsValid() {
		t.Errorf("mapped to %v and %v, want the same", first, again)
	}
	p.Router.ForgetConnections()
	if again := binding(t, c, at(internet.TURNAddr, 3478)); again.Port() == first.Port() || !again.IsValid() {
		t.Errorf("mapped to %v and after all was forgotten to %v", first, again)
	}
	full := 0
	for range 40 {
		if !binding(t, udp(t), at(internet.TURNAddr, 3478)).IsValid() {
			full++
			break
		}
	}
	if full == 0 {
		t.Error("40 connections fit into a table of 20")
	}
}

func TestRateLimit(t *testing.T) {
	p := build(t, practice.Plan{})
	if p == nil {
		return
	}
	p.Internet.Range(internet.Echoed, internet.Echoed)
	rule := p.Router.Block("udp dport 10000-20000 limit rate over 20/second burst 5 packets", "drop")
	back, _ := echoes(t, 400)
	if len(back) < 5 || len(back) > 200 {
		t.Errorf("%d of 400 packets got by a limit of 20 a second", len(back))
	}
	if got := rule.Packets(); got < 200 {
		t.Errorf("%d packets were over the limit", got)
	}
}

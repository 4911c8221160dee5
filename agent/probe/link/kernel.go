package link

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Stamp says what time it is: wall time in UTC, whether to believe it, and the
// time since boot. A clock that cannot be asked about counts as not set.
func Stamp(s System) agent.Stamp {
	s = s.withDefaults()
	stamp := agent.Stamp{At: s.Now().UTC(), Clock: agent.ClockUnset}
	if synced, err := s.Synced(); err == nil && synced {
		stamp.Clock = agent.ClockSet
	}
	if up, err := s.Uptime(); err == nil {
		stamp.UptimeS = up.Round(time.Millisecond).Seconds()
	}
	return stamp
}

// adjtimex asks the kernel whether its clock is disciplined. Modes 0 changes
// nothing and needs no privilege.
func adjtimex() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, err
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}

func bootTime() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}

// interfaceAddrs asks by netlink, and where that is not to be had (a sandbox
// without AF_NETLINK, user-mode emulation) by ioctl and proc, which know fewer
// of the addresses.
func (s System) interfaceAddrs(name string) ([]netip.Prefix, error) {
	found, err := netlinkAddrs(name)
	if err == nil {
		return found, nil
	}
	first, err4 := ioctlAddr(name)
	if err4 == nil {
		found = append(found, first)
	}
	table, err6 := s.read("proc/net/if_inet6")
	found = append(found, parseIfInet6(table, name)...)
	if len(found) > 0 || errors.Is(err4, unix.EADDRNOTAVAIL) || err6 == nil {
		return found, nil
	}
	return nil, fmt.Errorf("addresses of %s: %w", name, errors.Join(err, err4, err6))
}

func netlinkAddrs(name string) ([]netip.Prefix, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, err
	}
	var found []netip.Prefix
	for _, a := range addrs {
		// ParsePrefix, not the IPNet's fields: those hide what is IPv4.
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			found = append(found, p)
		}
	}
	return found, nil
}

// ioctlAddr is the first IPv4 address of an interface.
func ioctlAddr(name string) (netip.Prefix, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Prefix{}, err
	}
	defer unix.Close(fd)
	addr, err := ioctl4(fd, unix.SIOCGIFADDR, name)
	if err != nil {
		return netip.Prefix{}, err
	}
	mask, err := ioctl4(fd, unix.SIOCGIFNETMASK, name)
	if err != nil {
		return netip.Prefix{}, err
	}
	bits, _ := net.IPMask(mask.AsSlice()).Size()
	return netip.PrefixFrom(addr, bits), nil
}

func ioctl4(fd int, request uint, name string) (netip.Addr, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return netip.Addr{}, err
	}
	if err := unix.IoctlIfreq(fd, request, ifr); err != nil {
		return netip.Addr{}, err
	}
	ip, err := ifr.Inet4Addr()
	a, _ := netip.AddrFromSlice(ip)
	return a, err
}

// parseIfInet6 reads the addresses of one interface from /proc/net/if_inet6.
func parseIfInet6(table []byte, name string) []netip.Prefix {
	var found []netip.Prefix
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[5] != name {
			continue
		}
		raw, err1 := hex.DecodeString(f[0])
		bits, err2 := strconv.ParseUint(f[2], 16, 8)
		a, ok := netip.AddrFromSlice(raw)
		if err1 != nil || err2 != nil || !ok || !a.Is6() {
			continue
		}
		if p := netip.PrefixFrom(a, int(bits)); p.IsValid() {
			found = append(found, p)
		}
	}
	return found
}

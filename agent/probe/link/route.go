package link

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxFile = 1 << 20 // a full ARP table or route table of a router is far below

	rtfUp     = 0x1
	rtfReject = 0x200
)

// route is a way out of this network.
type route struct {
	device  string
	exists  bool // false: the interface was guessed, there is no default route
	v6      bool
	gateway netip.Addr // invalid: everything is on the link, as with PPP
	metric  uint64
}

// read returns one file below the root, cut at maxFile.
func (s System) read(path string) ([]byte, error) {
	f, err := os.Open(filepath.Join("/", s.Root, path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// defaultRoutes returns the default routes of IPv4, then those of IPv6. It
// fails only if neither table can be read.
func (s System) defaultRoutes() ([]route, error) {
	v4, err4 := s.read("proc/net/route")
	v6, err6 := s.read("proc/net/ipv6_route")
	if err4 != nil && err6 != nil {
		return nil, errors.Join(err4, err6)
	}
	return append(parseRoutes4(v4, s.Order), parseRoutes6(v6)...), nil
}

// best is the first of the routes with the lowest metric, of IPv4 if there is
// one; device limits the choice unless it is empty.
func best(routes []route, device string) (route, bool) {
	var won route
	for _, r := range routes {
		if device != "" && r.device != device {
			continue
		}
		if !won.exists || better(r, won) {
			won = r
		}
	}
	return won, won.exists
}

func better(a, b route) bool {
	if a.v6 != b.v6 {
		return b.v6
	}
	return a.metric < b.metric
}

// parseRoutes4 reads /proc/net/route. The kernel prints addresses there as
// numbers of the machine's own byte order.
func parseRoutes4(b []byte, order binary.ByteOrder) []route {
	var found []route
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 8 || !outward(f[0]) || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		flags, err1 := strconv.ParseUint(f[3], 16, 32)
		metric, err2 := strconv.ParseUint(f[6], 10, 32)
		gateway, err3 := strconv.ParseUint(f[2], 16, 32)
		if errors.Join(err1, err2, err3) != nil || flags&rtfUp == 0 || flags&rtfReject != 0 {
			continue
		}
		var a [4]byte
		order.PutUint32(a[:], uint32(gateway))
		found = append(found, route{f[0], true, false, gatewayOf(netip.AddrFrom4(a)), metric})
	}
	return found
}

// parseRoutes6 reads /proc/net/ipv6_route, where addresses are in the byte
// order of the network.
func parseRoutes6(b []byte) []route {
	const zero = "00000000000000000000000000000000"
	var found []route
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || !outward(f[9]) || f[0] != zero || f[1] != "00" {
			continue
		}
		flags, err1 := strconv.ParseUint(f[8], 16, 32)
		metric, err2 := strconv.ParseUint(f[5], 16, 32)
		gateway, err3 := hex.DecodeString(f[4])
		a, ok := netip.AddrFromSlice(gateway)
		if errors.Join(err1, err2, err3) != nil || !ok || !a.Is6() || flags&rtfUp == 0 || flags&rtfReject != 0 {
			continue
		}
		if a.IsLinkLocalUnicast() {
			a = a.WithZone(f[9])
		}
		found = append(found, route{f[9], true, true, gatewayOf(a), metric})
	}
	return found
}

// gatewayOf makes "no gateway", which the kernel prints as zero, invalid.
func gatewayOf(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// outward reports whether s can be the name of an interface that leads
// somewhere. It keeps foreign bytes out of paths and reports: the kernel allows
// neither slashes nor blanks, 15 bytes at most, and prints "*" for no interface.
func outward(s string) bool {
	switch {
	case s == "" || s == "." || s == ".." || s == "*" || s == "lo" || len(s) > 15 || !utf8.ValidString(s):
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == ':' })
}

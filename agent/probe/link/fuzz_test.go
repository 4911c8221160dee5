package link_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sprechprobe/sprechprobe/agent/probe/link"
)

// seed adds the file of every recorded machine.
func seed(f *testing.F, name string) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			if part.Name == name {
				f.Add(part.Data)
			}
		}
	}
}

func FuzzRoutes4(f *testing.F) {
	seed(f, "proc/net/route")
	f.Fuzz(func(t *testing.T, b []byte) {
		var table strings.Builder
		routes := link.ParseRoutes4(b, binary.LittleEndian)
		for _, r := range routes {
			if !link.Outward(r.Device()) || r.Gateway().Is6() {
				t.Fatalf("route by %q over %s", r.Gateway(), r.Device())
			}
			gateway := uint32(0)
			if r.Gateway().IsValid() {
				a := r.Gateway().As4()
				gateway = binary.LittleEndian.Uint32(a[:])
			}
			fmt.Fprintf(&table, "%s\t00000000\t%08X\t0003\t0\t0\t%d\t00000000\t0\t0\t0\n", r.Device(), gateway, r.Metric())
		}
		if again := link.ParseRoutes4([]byte(table.String()), binary.LittleEndian); fmt.Sprint(again) != fmt.Sprint(routes) {
			t.Errorf("written and parsed again = %v, want %v", again, routes)
		}
	})
}

func FuzzRoutes6(f *testing.F) {
	seed(f, "proc/net/ipv6_route")
	f.Fuzz(func(t *testing.T, b []byte) {
		zero := strings.Repeat("0", 32)
		var table strings.Builder
		routes := link.ParseRoutes6(b)
		for _, r := range routes {
			if !link.Outward(r.Device()) || r.Gateway().Is4() {
				t.Fatalf("route by %q over %s", r.Gateway(), r.Device())
			}
			gateway := zero
			if r.Gateway().IsValid() {
				gateway = fmt.Sprintf("%x", r.Gateway().As16())
			}
			fmt.Fprintf(&table, "%s 00 %s 00 %s %08x 0 0 00000003 %s\n", zero, zero, gateway, r.Metric(), r.Device())
		}
		if again := link.ParseRoutes6([]byte(table.String())); fmt.Sprint(again) != fmt.Sprint(routes) {
			t.Errorf("written and parsed again = %v, want %v", again, routes)
		}
	})
}

func FuzzARP(f *testing.F) {
	seed(f, "proc/net/arp")
	gateway := netip.MustParseAddr(gatewayOfPi)
	f.Fuzz(func(t *testing.T, b []byte) {
		state := link.Neighbour(b, gateway, "eth0")
		switch state {
		case "reachable", "failed":
			if !strings.Contains(string(b), gatewayOfPi) || !strings.Contains(string(b), "eth0") {
				t.Errorf("%s, without a line about the gateway", state)
			}
		case "unknown":
		default:
			t.Errorf("state = %q", state)
		}
	})
}

func FuzzIfInet6(f *testing.F) {
	f.Add([]byte("fe8000000000000000fc00fffe000001 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n"))
	f.Add([]byte("20010db8000000000000000000000005 02 81 00 80 eth0\n2001 02 40 00 80 eth0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range link.ParseIfInet6(b, "eth0") {
			if !p.IsValid() || p.Addr().Is4() {
				t.Errorf("prefix = %v", p)
			}
		}
	})
}

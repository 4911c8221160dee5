package resolvconf_test

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sprechprobe/sprechprobe/agent/probe/dns/resolvconf"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want []string
	}{
		{"empty", "", nil},
		{"router", "# made by dhcpcd\ndomain fritz.box\nnameserver 192.168.178.1\n", []string{"192.168.178.1"}},
		{"stub of systemd", "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n", []string{"127.0.0.53"}},
		{"link-local with interface", "nameserver fe80::1%eth0\n", []string{"fe80::1%eth0"}},
		{"blanks, tabs, carriage returns", "  nameserver\t 10.0.0.1 \r\n", []string{"10.0.0.1"}},
		{"named twice", "nameserver 10.0.0.1\nnameserver ::ffff:10.0.0.1\n", []string{"10.0.0.1"}},
		{"more than a stub asks", "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
			[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}},
		{"no address", "nameserver router\nnameserver 1.2.3\nnameserver\nnameserverr 10.0.0.1\n;nameserver 10.0.0.2\n", nil},
		{"no last newline", "nameserver 10.0.0.1", []string{"10.0.0.1"}},
		{"absurd zone", "nameserver fe80::1%" + strings.Repeat("x", 300) + "\nnameserver 10.0.0.1\n", []string{"10.0.0.1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, a := range resolvconf.Parse(strings.NewReader(tt.in)) {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestDomains(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want []string
	}{
		{"empty", "", nil},
		{"router", "# made by dhcpcd\ndomain fritz.box\nnameserver 192.168.178.1\n", []string{"fritz.box"}},
		{"several", "search praxis.example.  lan\tfritz.box\r\n", []string{"praxis.example", "lan", "fritz.box"}},
		{"the last line counts", "search a.example b.example\ndomain c.example\n", []string{"c.example"}},
		{"the root", "options edns0\nsearch .\n", nil},
		{"capitals, twice", "search Praxis.Local praxis.local.", []string{"praxis.local"}},
		{"no names", "search a..b -ok- pr\u00e4xis.de a/b " + strings.Repeat("x", 64) + " " + strings.Repeat("x.", 120) + "y\n", []string{"-ok-"}},
		{"no domain", "domain\n;search a.example\nsearchlist b.example\n", nil},
		{"more than are searched", "search a b c d e f g h", []string{"a", "b", "c", "d", "e", "f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, resolvconf.Domains(strings.NewReader(tt.in))); diff != "" {
				t.Errorf("Domains(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestReadBelowRoot(t *testing.T) {
	root := t.TempDir()
	if got, domains := resolvconf.Read(root), resolvconf.ReadDomains(root); got != nil || domains != nil {
		t.Errorf("Read without a file = %v and %v, want none", got, domains)
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/resolv.conf"), []byte("nameserver 10.1.2.3\nsearch lan\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []netip.Addr{netip.MustParseAddr("10.1.2.3")}
	if diff := cmp.Diff(want, resolvconf.Read(root), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("Read (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"lan"}, resolvconf.ReadDomains(root)); diff != "" {
		t.Errorf("ReadDomains (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("nameserver 192.168.178.1\nnameserver fe80::1%eth0\noptions rotate\n"))
	f.Add([]byte("nameserver ::ffff:1.2.3.4\x00\n\nnameserver\t::1"))
	f.Add(bytes.Repeat([]byte("nameserver 10.0.0.1\n"), 50))
	f.Fuzz(func(t *testing.T, b []byte) {
		first := resolvconf.Parse(bytes.NewReader(b))
		if len(first) > resolvconf.Max {
			t.Fatalf("Parse gave %d name servers, want at most %d", len(first), resolvconf.Max)
		}
		var again strings.Builder
		for _, a := range first {
			again.WriteString("nameserver " + a.String() + "\n")
		}
		second := resolvconf.Parse(strings.NewReader(again.String()))
		if diff := cmp.Diff(first, second, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("written and parsed again (-want +got):\n%s", diff)
		}
	})
}

func FuzzDomains(f *testing.F) {
	f.Add([]byte("search praxis.local fritz.box\ndomain lan\n"))
	f.Add([]byte("search A.b. .c ..\x00\n\ndomain\t_x-y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		first := resolvconf.Domains(bytes.NewReader(b))
		if len(first) > resolvconf.MaxDomains {
			t.Fatalf("Domains gave %d, want at most %d", len(first), resolvconf.MaxDomains)
		}
		second := resolvconf.Domains(strings.NewReader("search " + strings.Join(first, " ")))
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("written and parsed again (-want +got):\n%s", diff)
		}
	})
}

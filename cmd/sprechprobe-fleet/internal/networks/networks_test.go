package networks_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/networks"
)

func TestISP(t *testing.T) {
	table, err := networks.Read(strings.NewReader("# whose is what\n198.18.0.0/15, AS64500 Wide\n\n198.18.4.0/22,\"AS64501 Narrow, Inc\"\n2001:db8::/32,AS64502 Six\n"))
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]string{
		"198.18.1.0": "AS64500 Wide", "198.18.5.0": "AS64501 Narrow, Inc", "::ffff:198.19.0.1": "AS64500 Wide",
		"2001:db8:7::": "AS64502 Six", "192.0.2.1": "", "2001:db9::": "",
	} {
		if got := table.ISP(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %q, want %q", a, got, want)
		}
	}
	if got := new(networks.Table).ISP(netip.MustParseAddr("192.0.2.1")); got != "" {
		t.Errorf("an empty table knows %q", got)
	}
}

func TestReadNamesTheLine(t *testing.T) {
	for _, bad := range []string{"198.18.0.0/15", "198.18.0.0/15,", "198.18.0/15,x", "198.18.0.0/99,x"} {
		_, err := networks.Read(strings.NewReader("192.0.2.0/24,ok\n" + bad + "\n"))
		if err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v, want an error that names line 2", bad, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("198.18.0.0/15,AS64500 Wide\n2001:db8::/32,Six\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := networks.Read(strings.NewReader(text))
		if err == nil {
			table.ISP(netip.MustParseAddr("198.18.0.1"))
		}
	})
}

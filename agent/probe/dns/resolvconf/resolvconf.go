// Package resolvconf reads the name servers of a resolv.conf(5). It does not
// know search lists, options or where a local forwarder sends its questions.
package resolvconf

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// Max is how many name servers a stub resolver asks; the rest of the file
	// is for nobody.
	Max = 3

	maxSize = 64 << 10
	maxZone = 15 // an interface name of Linux
)

// Read returns the name servers of the machine whose files lie below root
// (empty: "/"), in their order and without repetitions, at most [Max]. A
// missing file names none.
func Read(root string) []netip.Addr {
	f, err := os.Open(filepath.Join("/", root, "etc/resolv.conf"))
	if err != nil {
		return nil
	}
	defer f.Close()
	return Parse(io.LimitReader(f, maxSize))
}

// Parse returns the name servers of one file. Lines it cannot read are skipped,
// as the C library does.
func Parse(r io.Reader) []netip.Addr {
	var found []netip.Addr
	for lines := bufio.NewScanner(r); len(found) < Max && lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(fields[1])
		if err != nil || len(a.Zone()) > maxZone || slices.Contains(found, a.Unmap()) {
			continue
		}
		found = append(found, a.Unmap())
	}
	return found
}

// Package resolvconf reads the name servers and the domains of a
// resolv.conf(5). It does not know options or where a local forwarder sends
// its questions.
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
	// MaxDomains is how many domains a resolver of its time searched.
	MaxDomains = 6

	maxSize = 64 << 10
	maxZone = 15 // an interface name of Linux
	maxName = 200
)

// Read returns the name servers of the machine whose files lie below root
// (empty: "/"), in their order and without repetitions, at most [Max]. A
// missing file names none.
func Read(root string) []netip.Addr { return read(root, Parse) }

// ReadDomains returns the domains of that machine, as [Domains] does.
func ReadDomains(root string) []string { return read(root, Domains) }

func read[T any](root string, parse func(io.Reader) []T) []T {
	f, err := os.Open(filepath.Join("/", root, "etc/resolv.conf"))
	if err != nil {
		return nil
	}
	defer f.Close()
	return parse(io.LimitReader(f, maxSize))
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

// Domains returns the domains in which one file looks up short names, in lower
// case without a last dot and without repetitions, at most [MaxDomains]. Of
// several search and domain lines the last one counts. What is no domain name,
// as the root itself, is skipped.
func Domains(r io.Reader) []string {
	var found []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "search" && fields[0] != "domain" {
			continue
		}
		found = nil
		for _, word := range fields[1:] {
			name := strings.ToLower(strings.TrimSuffix(word, "."))
			if len(found) < MaxDomains && IsName(name) && !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	return found
}

// IsName reports whether s is a domain name as hosts have it, in lower case and
// without a last dot.
func IsName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

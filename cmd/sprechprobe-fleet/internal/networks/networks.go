// Package networks says which provider a public address belongs to, from a table
// that the vendor has. It asks nobody.
package networks

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// maxLines bounds a table; the routing table of the internet has 1.3 million.
const maxLines = 4 << 20

// Table is providers by network. Its zero value knows none.
type Table struct {
	names   map[netip.Prefix]string
	lengths map[bool][]int // of IPv4 (true) and IPv6 prefixes, the longest first
}

// Read reads a table: a network in CIDR notation, a comma and the provider's name
// on each line. Blank lines and those that start with # do not count.
func Read(r io.Reader) (*Table, error) {
	t := &Table{names: map[netip.Prefix]string{}, lengths: map[bool][]int{}}
	shared := map[string]string{}
	lines := bufio.NewScanner(r)
	n := 0
	for lines.Scan() {
		if n++; n > maxLines {
			return nil, fmt.Errorf("networks: more than %d lines", maxLines)
		}
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		cidr, isp, ok := strings.Cut(line, ",")
		p, err := netip.ParsePrefix(strings.TrimSpace(cidr))
		isp = strings.Trim(strings.TrimSpace(isp), `"`)
		if err != nil || !ok || isp == "" {
			return nil, fmt.Errorf("networks: line %d: %.80q: want NETWORK/BITS,PROVIDER", n, line)
		}
		if shared[isp] == "" {
			shared[isp] = isp
		}
		p = p.Masked()
		t.names[p] = shared[isp]
		if v4 := p.Addr().Is4(); !slices.Contains(t.lengths[v4], p.Bits()) {
			t.lengths[v4] = append(t.lengths[v4], p.Bits())
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("networks: line %d: %w", n+1, err)
	}
	for _, l := range t.lengths {
		slices.SortFunc(l, func(a, b int) int { return b - a })
	}
	return t, nil
}

// ISP is the provider of an address, by the longest network that holds it; empty
// where there is none.
func (t *Table) ISP(a netip.Addr) string {
	a = a.Unmap()
	for _, bits := range t.lengths[a.Is4()] {
		if p, err := a.Prefix(bits); err == nil && t.names[p] != "" {
			return t.names[p]
		}
	}
	return ""
}

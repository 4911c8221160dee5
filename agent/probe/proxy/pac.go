package proxy

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/probe/dns/resolvconf"
)

// Bounds of what is read of a proxy auto-configuration file.
const (
	pacLimit   = 64 << 10 // bytes
	textLimit  = 2000     // texts in quotation marks
	offerLimit = 4        // proxies
)

// offer is a proxy as somebody names it.
type offer struct {
	host string // name in lower case, or address
	port uint16
}

func (o offer) String() string { return net.JoinHostPort(o.host, strconv.Itoa(int(o.port))) }

// parsePAC lists the HTTP proxies that a proxy auto-configuration file names in
// its texts, as in "PROXY 10.0.0.5:3128; DIRECT", each once. The script itself
// is not run: which of them would be for a given host, and what it puts
// together from pieces, stays unknown.
func parsePAC(script []byte) []offer {
	var found []offer
	for _, text := range literals(string(script[:min(len(script), pacLimit)])) {
		for _, choice := range strings.Split(text, ";") {
			words := strings.Fields(choice)
			if len(words) != 2 || !strings.EqualFold(words[0], "PROXY") && !strings.EqualFold(words[0], "HTTP") {
				continue
			}
			o, ok := parseOffer(words[1])
			if ok && len(found) < offerLimit && !slices.Contains(found, o) {
				found = append(found, o)
			}
		}
	}
	return found
}

// literals lists the texts in quotation marks of a script, its comments left
// out. It knows no other part of the language; where an apostrophe stands for
// itself, as in a regular expression, the line's end puts it right again.
func literals(script string) []string {
	var found []string
	for i := 0; i < len(script) && len(found) < textLimit; i++ {
		rest := script[i:]
		switch {
		case strings.HasPrefix(rest, "//"):
			i += ending(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			i += 1 + ending(rest[1:], "*/") + 1
		case rest[0] == '"' || rest[0] == '\'' || rest[0] == '`':
			text := quoted(rest)
			i += len(text) + 1
			found = append(found, text)
		}
	}
	return found
}

// ending is where s ends: at mark, or else at its end.
func ending(s, mark string) int {
	if i := strings.Index(s, mark); i >= 0 {
		return i
	}
	return len(s)
}

// quoted is what stands in s behind its first character and before the next of
// that kind, or before the end of the line.
func quoted(s string) string {
	end := strings.IndexAny(s[1:], s[:1]+"\r\n")
	if end < 0 {
		return s[1:]
	}
	return s[1 : 1+end]
}

// parseOffer reads "host" or "host:port", where the port of HTTP is meant if
// there is none.
func parseOffer(s string) (offer, bool) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), "80"
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || !isHost(host) {
		return offer{}, false
	}
	return offer{host, uint16(n)}, true
}

// isHost reports whether s is an address, or a name as hosts have it.
func isHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == ""
	}
	return resolvconf.IsName(s)
}

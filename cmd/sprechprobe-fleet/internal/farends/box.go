package farends

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ProfileName names the service's profile.
const ProfileName = "demo"

// WriteProfile writes the service's profile into dir as a drop-in, its authority
// beside it, and returns the file of the authority.
func (s *Service) WriteProfile(dir string) (ca string, err error) {
	ca = filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, s.CA(), 0o600); err != nil {
		return "", fmt.Errorf("write profile: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ProfileName+".toml"), []byte(s.Profile()), 0o600); err != nil {
		return "", fmt.Errorf("write profile: %w", err)
	}
	return ca, nil
}

// Profile is the service's profile as TOML. Every address is pinned: no public
// service can be on loopback, so that without a pin a box would rightly take
// the answers of the name server for forged.
func (s *Service) Profile() string {
	var b strings.Builder
	fmt.Fprintf(&b, "name = %q\ntitle = %q\nversion = %q\nsource = %q\ndate = %q\n",
		ProfileName, "Demo-Videosprechstunde", "1", "https://demo.test/ports", "2026-11-01")
	target := func(service, host string, port uint16, transport, rest string) {
		fmt.Fprintf(&b, "\n[[target]]\nservice = %q\nhost = %q\npins = [%q]\nport = %d\ntransports = [%q]\n%s\n",
			service, host, s.addr(host), port, transport, rest)
	}
	path := "path = " + strconv.Quote(signalPath) + "\n"
	target("https", VideoHost, s.Web(VideoHost).Port(), "tcp", path+`feeds = ["direct", "relay"]`)
	target("stun", TURNHost, s.STUN().Port(), "udp", `feeds = ["direct", "group"]`)
	target("turn", TURNHost, s.TURN().Port(), "udp", "variants = [\"plain\", \"dtls\"]\nfeeds = [\"relay\", \"group\"]")
	target("turn", TURNHost, s.TURN().Port(), "tcp", "variants = [\"plain\", \"tls\"]\nfeeds = [\"relay\", \"group\"]")
	target("https", GroupHost, s.Web(GroupHost).Port(), "tcp", path+`feeds = ["group"]`)
	for i, host := range natsHosts {
		target("nats", host, s.NATS()[i].Port(), "tcp", "variants = [\"wss\", \"tls-first\", \"tls\", \"plain\"]\nfeeds = [\"group\"]")
	}
	return b.String()
}

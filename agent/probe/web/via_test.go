package web_test

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/web"
)

// TestInlineProxy has a router that hands plain HTTP to a proxy of its own, which
// nobody asked for.
func TestInlineProxy(t *testing.T) {
	program := lab.Program(t, "tinyproxy", "tinyproxy-bin")
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "nft", "nftables")
	if !lab.Inside(t) {
		return
	}
	lab.IP(t, `
		link set lo up
		netns add router
		link add box0 type veth peer name lan0 netns router
		addr add 10.0.0.2/24 dev box0
		link set box0 up
		-n router link set lo up
		-n router addr add 10.0.0.1/24 dev lan0
		-n router addr add 198.18.0.2/32 dev lo
		-n router link set lan0 up
		route add default via 10.0.0.1`)
	conf := filepath.Join(t.TempDir(), "tinyproxy.conf")
	if err := os.WriteFile(conf, []byte("Listen 10.0.0.1\nPort 8888\nTimeout 30\nMaxClients 10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lab.In(t, "router", func() {
		l, err := net.Listen("tcp4", "198.18.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: redirect("https://198.18.0.2/")}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { s.Close() })
		lab.Start(t, exec.Command(program, "-d", "-c", conf), lab.Listens("10.0.0.1:8888"))
	})
	target := agent.Target{Host: "198.18.0.2", Port: 80, Transport: agent.TCP}.At(netip.MustParseAddr("198.18.0.2"), "")
	for _, inline := range []bool{false, true} {
		rule := ""
		if inline {
			rule = `iifname lan0 tcp dport 80 redirect to :8888`
		}
		lab.In(t, "router", func() {
			lab.NFT(t, fmt.Sprintf("table ip t { chain c { type nat hook prerouting priority dstnat; %s; }; }", rule))
		})
		e := web.Captive(t.Context(), target)
		if want := (verdict{agent.Answered, agent.GradeA, ""}); of(e) != want {
			t.Errorf("inline %v: got %v, want %v", inline, of(e), want)
		}
		if got, seen := e.Values.Flag(agent.HTTPVia); got != inline || !seen {
			t.Errorf("http_via = %v, seen %v; want %v", got, seen, inline)
		}
	}
}

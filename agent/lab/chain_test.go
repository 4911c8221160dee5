package lab_test

import (
	"net"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

func TestChain(t *testing.T) {
	lab.Program(t, "ip", "iproute2")
	lab.Program(t, "nft", "nftables")
	if !lab.Inside(t) {
		return
	}
	lab.Chain(t, "near", "middle", "far")
	for _, at := range []string{"10.0.3.2:7", "[fd00:3::2]:7"} {
		var l net.Listener
		lab.In(t, "far", func() {
			var err error
			if l, err = net.Listen("tcp", at); err != nil {
				t.Fatal(err)
			}
		})
		if !lab.Listens(at)(nil) {
			t.Errorf("%s is out of reach", at)
		}
		// Every link is on the way.
		lab.In(t, "middle", func() {
			lab.NFT(t, "table inet t { chain c { type filter hook forward priority 0; tcp dport 7 reject with tcp reset; }; }")
		})
		if lab.Listens(at)(nil) {
			t.Errorf("%s is reached past the middle", at)
		}
		lab.In(t, "middle", func() { lab.NFT(t, "") })
		_ = l.Close()
	}
}

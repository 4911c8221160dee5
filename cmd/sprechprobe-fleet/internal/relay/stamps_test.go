package relay_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/impair"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/relay"
)

// The relay that a process of its own serves.
const (
	servesVar = "SPRECHPROBE_RELAY_SERVES" // its address
	port      = 3478
)

// TestServes is that process, in a network of its own, until it is killed.
func TestServes(t *testing.T) {
	at := os.Getenv(servesVar)
	if at == "" {
		t.Skip("runs within TestJitterOfEachWay")
	}
	openAt(t, netip.AddrPortFrom(netip.MustParseAddr(at), port), relay.Usual)
	fmt.Println("serving")
	<-t.Context().Done()
}

// A line that delays unevenly in one direction is told for that one, and not for
// the other.
func TestJitterOfEachWay(t *testing.T) {
	iptables := lab.Program(t, "iptables", "iptables")
	lab.Program(t, "ip", "iproute2")
	if !lab.Inside(t) {
		return
	}
	lab.Chain(t, "line", "server")
	for queue, tt := range []struct{ match, worse, better string }{
		{"-d", "up_jitter_ms", "down_jitter_ms"}, {"-s", "down_jitter_ms", "up_jitter_ms"},
	} {
		addr := netip.AddrFrom4([4]byte{10, 0, 2, byte(110 + queue)})
		lab.In(t, "server", func() {
			lab.IP(t, "address add "+addr.String()+"/24 dev in0")
			cmd := exec.Command(os.Args[0], "-test.run=^TestServes$", "-test.v")
			cmd.Env = append(os.Environ(), servesVar+"="+addr.String())
			lab.Start(t, cmd, func(p *lab.Process) bool { return strings.Contains(p.Said(), "serving") })
		})
		q, err := impair.Open(lab.Open(t, "line"), uint16(queue), impair.How{Delay: 10 * time.Millisecond, Jitter: 60 * time.Millisecond})
		if err != nil {
			lab.LeaveOut(t, "no NFQUEUE: "+err.Error())
		}
		t.Cleanup(q.Close)
		lab.In(t, "line", func() {
			out, err := exec.Command(iptables, "-t", "raw", "-A", "PREROUTING", tt.match, addr.String(), "-p", "udp", "-j", "NFQUEUE",
				"--queue-num", string(rune('0'+queue))).CombinedOutput()
			if err != nil {
				lab.LeaveOut(t, "no NFQUEUE: "+string(out))
			}
		})
		p := rehearsal.Plan{Voice: 4 * time.Second}
		look := rehearsal.Probe(p, rehearsal.Static(access(t, "acme/one", time.Minute)), trust.Checker{})
		var e agent.Evidence
		for range 10 {
			if e = look(t.Context(), agent.Target{Port: port, Transport: agent.UDP}.At(addr, agent.Plain)); e.Reason != agent.BoxBusy {
				break
			}
		}
		t.Log(e.Outcome, e.Reason, e.Values)
		worse, seen := e.Values.Num(agent.Key(tt.worse))
		better, also := e.Values.Num(agent.Key(tt.better))
		if !seen || !also || worse < 1.5*better {
			t.Errorf("%s = %v, %s = %v, want the first alone to be large", tt.worse, e.Values[agent.Key(tt.worse)], tt.better, e.Values[agent.Key(tt.better)])
		}
	}
}

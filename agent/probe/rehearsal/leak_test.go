package rehearsal_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// brief is the least that goes through all of a rehearsal.
var brief = rehearsal.Plan{Voice: 40 * time.Millisecond, Video: 20 * time.Millisecond, Rates: []float64{0.6e6}}

// A hundred rehearsals leave nothing behind: here no goroutine and no socket, at
// the server no allocation.
func TestNothingLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("LEFT OUT: the whole run has it; the race detector makes media late")
	}
	for name, f := range map[string]far{"pion": pion(t, gate{}), "coturn": coturn(t, "--allow-loopback-peers")} {
		t.Run(name, func(t *testing.T) {
			p := brief
			p.Witness = at(f.addr, agent.TCP)
			look := rehearsal.Probe(p, cred, trust.Checker{})
			look(t.Context(), at(f.addr, agent.UDP)) // lets libraries open what they keep
			goroutines, files := settled()
			for range 100 {
				e := look(t.Context(), at(f.addr, agent.UDP))
				if came, _ := e.Values.Flag(agent.Relayed); e.Reason != agent.BoxBusy && !came {
					t.Fatalf("%v %q %v", e.Outcome, e.Reason, e.Values)
				}
			}
			var g, n int
			for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() { // what ends may take its time on a busy machine
				held := 0
				if f.held != nil {
					held = f.held() // the server runs in this process
				}
				if g, n = settled(); held == 0 && g <= goroutines && n <= files {
					break
				}
				if time.Now().After(end) {
					t.Errorf("%d goroutines and %d files, before it were %d and %d; %d allocations held by the server", g, n, goroutines, files, held)
					break
				}
			}
			if f.said != nil {
				var got, freed int
				for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
					said := f.said() // it writes that down after it has answered
					got, freed = strings.Count(said, ": new, realm"), strings.Count(said, "lifetime=0")
					if freed >= got {
						break
					}
				}
				if got < 300 || freed < got {
					t.Errorf("coturn gave %d allocations and was told of the end of %d", got, freed)
				}
			}
		})
	}
}

// settled counts until what is ending has ended.
func settled() (goroutines, files int) {
	goroutines = runtime.NumGoroutine()
	for range 2000 {
		runtime.Gosched()
		goroutines = min(goroutines, runtime.NumGoroutine())
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	return goroutines, len(fds)
}

func TestConform(t *testing.T) {
	f := pion(t, gate{})
	deaf := deafServer(t)
	p := rehearsal.Probe(rehearsal.Plan{}, cred, trust.Checker{})
	probetest.Conform(t, p, at(f.addr, agent.UDP), at(deaf, agent.UDP))
	probetest.Conform(t, p, at(f.addr, agent.TCP), at(deaf, agent.TCP))
}

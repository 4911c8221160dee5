package bandwidth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/assess"
	"github.com/sprechprobe/sprechprobe/agent/probe/bandwidth"
	"github.com/sprechprobe/sprechprobe/agent/profile"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

// The variables that make this program a box which measures once: against whom, and
// what is needed in both directions, bit/s.
const (
	boxVar  = "SPRECHPROBE_BANDWIDTH_BOX"
	needVar = "SPRECHPROBE_BANDWIDTH_NEED"
)

// beBox measures and writes what it has found.
func beBox(at string) error {
	to, err := netip.ParseAddrPort(at)
	if err != nil {
		return err
	}
	need, _ := strconv.ParseFloat(os.Getenv(needVar), 64)
	return json.NewEncoder(os.Stdout).Encode(bandwidth.Probe(bandwidth.Need{Down: need, Up: need})(context.Background(), target(to)))
}

// starve gives a process a twentieth of a processor until it is told to end, in
// turns, as a box does that is busy with other things.
func starve(pid int, end <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		s := syscall.SIGSTOP
		if n%20 == 0 {
			s = syscall.SIGCONT
		}
		if syscall.Kill(pid, s) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			_ = syscall.Kill(pid, syscall.SIGCONT)
			return
		}
	}
}

// A box that has not enough of a processor measures itself: it says so, and nothing
// about the line.
func TestStarvedBox(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		always  bool // not only while it sends
		outcome agent.Outcome
		reason  agent.Reason
		find    agent.Code
	}{
		{"always", true, agent.NotLooked, agent.BoxBusy, agent.BandwidthPostponed},
		{"while it sends", false, agent.Answered, "", agent.BandwidthCapped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begins, ended := make(chan struct{}), make(chan struct{})
			begin := sync.OnceFunc(func() { close(begins) })
			at := serve(t, &iperf3.Server{Admit: func(_ context.Context, q iperf3.Request) (iperf3.Grant, error) {
				if q.Test.Direction == iperf3.Up {
					begin()
				}
				return iperf3.Grant{}, nil
			}}, "127.0.0.1:0")
			if tt.always {
				begin()
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), boxVar+"="+at.AddrPort().String(), needVar+"=5e6")
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			var wg sync.WaitGroup
			defer wg.Wait()
			defer close(ended)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				select {
				case <-begins:
					starve(cmd.Process.Pid, ended)
				case <-ended:
				}
			})
			var e agent.Evidence
			if err := json.NewDecoder(out).Decode(&e); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			t.Log(e.Outcome, e.Reason, e.Values)
			if e.Outcome != tt.outcome || e.Reason != tt.reason || tt.reason == "" && e.Values.Text(agent.UpLimit) != "box" {
				t.Errorf("%v %v, up limited by %q", e.Outcome, e.Reason, e.Values.Text(agent.UpLimit))
			}
			if found := judge(t, e); !slices.Equal(found, []string{fmt.Sprint(tt.find, " ", agent.CauseBox)}) {
				t.Errorf("it is found that %q", found)
			}
		})
	}
}

// judge is what is found by a look at the line, and whose it is.
func judge(t *testing.T, e agent.Evidence) (found []string) {
	t.Helper()
	ps, err := profile.Load("", []string{"zpp-hd"})
	if err != nil {
		t.Fatal(err)
	}
	var b assess.Book
	b.Add([]agent.Evidence{e})
	for _, f := range assess.Assess(assess.Policy{Profiles: ps}, &b, nil, time.Time{}).Findings {
		found = append(found, fmt.Sprint(f.Code, " ", f.Cause))
	}
	return found
}

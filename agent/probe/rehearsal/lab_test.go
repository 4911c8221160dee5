package rehearsal_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/impair"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
)

// What a line does, and what the box says of it: each server address of the lab has
// a fault of its own, and all are rehearsed at once.
func TestWhatTheLineDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("LEFT OUT: the whole run has it; the race detector makes media late")
	}
	for program, debian := range map[string]string{"ip": "iproute2", "nft": "nftables", "turnserver": "coturn"} {
		lab.Program(t, program, debian)
	}
	if !lab.Inside(t) {
		return
	}
	lab.Chain(t, "line", "server")
	faults := []struct {
		name     string
		up, down string // rules for packets to the server and from it
		how      impair.How
		want     map[agent.Key]float64 // within a fifth
		both     float64               // lost there and back, within the bounds
		sound    time.Duration         // usual where zero
		only     func(*testing.T, agent.Evidence)
	}{
		{name: "1 % up", up: every(1, 100), want: map[agent.Key]float64{agent.UpLoss: 0.01, agent.DownLoss: 0}, both: 0.01},
		{name: "2 % down", down: every(1, 50), want: map[agent.Key]float64{agent.UpLoss: 0, agent.DownLoss: 0.02}, both: 0.02},
		{name: "5 % up", up: every(1, 20), want: map[agent.Key]float64{agent.UpLoss: 0.05, agent.DownLoss: 0}, both: 0.05},
		{name: "8 % both ways", up: every(2, 25), down: every(2, 25), sound: 20 * time.Second, // to tell apart two that are alike
			want: map[agent.Key]float64{agent.UpLoss: 0.08, agent.DownLoss: 0.08}, both: 1 - 0.92*0.92},
		{name: "60 ms up", how: impair.How{Delay: 60 * time.Millisecond}, want: map[agent.Key]float64{agent.RTT: 60, agent.LossBothWays: 0}},
		{name: "300 ms up", how: impair.How{Delay: 300 * time.Millisecond}, want: map[agent.Key]float64{agent.RTT: 300, agent.LossBothWays: 0}},
		{name: "no DTLS", up: "@th,96,8 0x16 drop", down: "@th,96,8 0x16 drop", only: func(t *testing.T, e agent.Evidence) {
			if e.Reason != agent.DTLSLost {
				t.Errorf("%v %q, want answered dtls-lost", e.Outcome, e.Reason)
			}
		}},
	}
	servers := make([]netip.Addr, len(faults))
	var rules strings.Builder
	for i := range faults {
		servers[i] = netip.AddrFrom4([4]byte{10, 0, 2, byte(100 + i)})
		lab.In(t, "server", func() { lab.IP(t, fmt.Sprintf("address add %s/24 dev in0", servers[i])) })
		for match, rule := range map[string]string{
			fmt.Sprintf("ip daddr %s udp dport 3478 udp length > 30", servers[i]): faults[i].up,
			fmt.Sprintf("ip saddr %s udp sport 3478 udp length > 30", servers[i]): faults[i].down,
		} {
			if rule != "" {
				rules.WriteString(match + " " + rule + "\n")
			}
		}
	}
	lab.In(t, "server", func() { labCoturn(t, servers) })
	lab.In(t, "line", func() {
		lab.NFT(t, "table inet t {\nchain c {\ntype filter hook forward priority 0;\n"+rules.String()+"\n}\n}")
	})
	for i, f := range faults { // last, since the rules above replace all there were
		if f.how.Delay > 0 {
			hold(t, servers[i], uint16(i), f.how)
		}
	}
	var all sync.WaitGroup
	for i, f := range faults {
		all.Go(func() {
			t.Run(f.name, func(t *testing.T) {
				p := rehearsal.Plan{Voice: max(f.sound, rehearsal.Usual().Voice), Witness: at(servers[i], agent.TCP)}
				e := fair(t, func(look func()) { lab.In(t, "server", look) }, p, at(servers[i], agent.UDP))
				t.Log(e.Outcome, e.Reason, e.Values)
				for k, want := range f.want {
					near(t, e, k, want)
				}
				for k, bounds := range map[agent.Key][2]agent.Key{
					agent.UpLoss: {agent.UpLossLow, agent.UpLossHigh}, agent.DownLoss: {agent.DownLossLow, agent.DownLossHigh},
				} {
					inBounds(t, e, k, bounds[0], bounds[1], f.want[k])
				}
				inBounds(t, e, agent.LossBothWays, agent.LossLow, agent.LossHigh, f.both)
				if f.only != nil {
					f.only(t, e)
				}
			})
		})
	}
	all.Wait()
}

// hold makes what goes to a server late. Few kernels' nftables know queues.
func hold(t *testing.T, server netip.Addr, queue uint16, how impair.How) {
	t.Helper()
	iptables := lab.Program(t, "iptables", "iptables")
	q, err := impair.Open(lab.Open(t, "line"), queue, how)
	if err != nil {
		lab.LeaveOut(t, "no NFQUEUE: "+err.Error())
	}
	t.Cleanup(q.Close)
	lab.In(t, "line", func() {
		rule := []string{"-t", "raw", "-A", "PREROUTING", "-d", server.String(), "-p", "udp", "-j", "NFQUEUE", "--queue-num", fmt.Sprint(queue)}
		if out, err := exec.Command(iptables, rule...).CombinedOutput(); err != nil {
			lab.LeaveOut(t, "no NFQUEUE: "+string(out))
		}
	})
}

// every drops some of so many, exactly: a run of 10 s cannot know what is random
// within a fifth, and the kernel's dice are not ours to throw twice (TestRandomLoss
// throws its own).
func every(some, of int) string { return fmt.Sprintf("numgen inc mod %d < %d drop", of, some) }

// labCoturn is a coturn at several addresses of this network.
func labCoturn(t *testing.T, addrs []netip.Addr) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-n", "--no-cli", "--log-file", "stdout", "--simple-log", "--no-tls", "--no-dtls",
		"--relay-ip", addrs[0].String(), "--realm", realm, "--lt-cred-mech", "--user", username + ":" + password,
		"--pidfile", filepath.Join(dir, "pid"), "--userdb", filepath.Join(dir, "db")}
	for _, a := range addrs {
		args = append(args, "--listening-ip", a.String())
	}
	cmd := exec.Command(lab.Program(t, "turnserver", "coturn"), args...)
	cmd.Dir = dir
	lab.Start(t, cmd, func(p *lab.Process) bool { return strings.Contains(p.Said(), "SQLite DB connection success") })
}

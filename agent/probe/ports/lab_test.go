package ports_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/ports"
)

// The test of a router that rejects runs itself again in a network namespace,
// with a second process of this program as the router in another one.
const roleVar = "PORTS_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) == "router" {
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test is over
		return
	}
	os.Exit(m.Run())
}

func TestRouterRejectsPorts(t *testing.T) {
	if os.Getenv(roleVar) != "box" {
		inNamespace(t)
		return
	}
	// The target is an address of the router that is not on the link. Routing
	// rules reject some of its ports; on the others nothing listens. A router
	// sends no more than five of these errors at once.
	router := startRouter(t)
	run(t, 0, fmt.Sprintf(`
		ip link set lo up
		ip link add up0 type veth peer name lan0 netns %d
		ip address add 10.0.1.2/24 dev up0
		ip link set up0 up
		ip route add 10.0.2.2 via 10.0.1.1`, router))
	run(t, router, `
		ip link set lo up
		ip address add 10.0.1.1/24 dev lan0
		ip address add 10.0.2.2/32 dev lo
		ip link set lan0 up
		ip rule add pref 100 lookup local
		ip rule del pref 0
		ip rule add pref 10 to 10.0.2.2 ipproto tcp dport 20000 prohibit
		ip rule add pref 11 to 10.0.2.2 ipproto udp dport 20000-20002 prohibit
		set /proc/sys/net/ipv4/ip_forward 1
		set /proc/sys/net/ipv4/icmp_ratelimit 0`)

	tests := []struct {
		transport agent.Transport
		outcome   agent.Outcome
		reason    agent.Reason
		open      int
		barred    string
	}{
		{agent.TCP, agent.Answered, agent.Reset, 2, "20000"},
		{agent.UDP, agent.Rejected, agent.AdminProhibited, 0, "20000, 20001, 20002"},
	}
	for _, tt := range tests {
		t.Run(string(tt.transport), func(t *testing.T) {
			e := ports.Probe(0)(t.Context(), target("10.0.2.2", 20000, 20002, tt.transport))
			wantOutcome(t, e, tt.outcome, tt.reason)
			wantValues(t, e, agent.Values{
				agent.Sampled: 3.0, agent.Open: float64(tt.open), agent.Barred: float64(3 - tt.open), agent.Quiet: 0.0,
				agent.BarredPorts: tt.barred,
				agent.ICMPType:    3.0, agent.ICMPCode: 13.0, agent.ICMPFrom: "10.0.1.1",
			})
		})
	}
	t.Run("no route", func(t *testing.T) {
		e := ports.Probe(0)(t.Context(), target("198.51.100.1", 20000, 20001, agent.UDP))
		wantOutcome(t, e, agent.NotLooked, agent.NoRoute)
		wantValues(t, e, nil)
	})
}

// inNamespace runs the calling test again in a network namespace of its own.
func inNamespace(t *testing.T) {
	t.Helper()
	for _, need := range []string{"ip", "nsenter"} {
		if find(need) == "" {
			leaveOut(t, "no program "+need)
		}
	}
	out, err := again("box", "-test.v", "-test.run=^"+t.Name()+"$").CombinedOutput()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		leaveOut(t, "no new network namespace: "+err.Error())
	}
	if err != nil {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
}

// leaveOut says loudly what is not tested, and fails where everything must be.
func leaveOut(t *testing.T, why string) {
	t.Helper()
	why = "LEFT OUT: ports that a real router rejects: " + why
	if os.Getenv("LAB") == "must" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func find(name string) string {
	for _, dir := range append(strings.Split(os.Getenv("PATH"), ":"), "/usr/sbin", "/sbin") {
		if p, err := exec.LookPath(dir + "/" + name); err == nil {
			return p
		}
	}
	return ""
}

// again is this program in a new network namespace.
func again(role string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// startRouter starts the router's process and returns its id.
func startRouter(t *testing.T) int {
	t.Helper()
	cmd := again("router")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("the router does not get ready: %v", err)
	}
	return cmd.Process.Pid
}

// run runs a command a line, in the namespace of process pid unless that is 0;
// "set FILE VALUE" sets a kernel option.
func run(t *testing.T, pid int, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "set" {
			words = []string{"sh", "-c", "echo " + words[2] + " > " + words[1]}
		}
		words[0] = find(words[0])
		if pid != 0 {
			words = append([]string{find("nsenter"), "-t", strconv.Itoa(pid), "-n"}, words...)
		}
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", words, err, out)
		}
	}
}

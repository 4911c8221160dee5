package reach_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// The lab is three network namespaces: box - router - server. The test runs
// itself again in the box's one; router and server are processes of the same
// program that live until their standard input ends.
const roleVar = "REACH_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "router":
		hold()
	case "server":
		serve()
	default:
		os.Exit(m.Run())
	}
}

// hold keeps a namespace alive until the test is over.
func hold() {
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// serve answers on one UDP and one TCP port, on all addresses.
func serve() {
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", openPort))
	if err != nil {
		panic(err)
	}
	u, err := net.ListenUDP("udp", &net.UDPAddr{Port: openPort})
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := u.ReadFromUDPAddrPort(buf)
			if err == nil {
				_, _ = u.WriteToUDPAddrPort(buf[:n], from)
			}
		}
	}()
	hold()
}

const openPort, closedPort = 7000, 7001

// inBox runs the calling test again in a network namespace of its own, and
// reports whether this is that run.
func inBox(t *testing.T) bool {
	t.Helper()
	if os.Getenv(roleVar) == "box" {
		return true
	}
	t.Parallel() // each has its own network, and mostly waits
	for _, need := range []string{"ip", "nft", "nsenter"} {
		if find(need) == "" {
			leaveOut(t, "no program "+need)
		}
	}
	cmd := role("box", "-test.v", "-test.run=^"+t.Name()+"$")
	out, err := cmd.CombinedOutput()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		leaveOut(t, "no new network namespace: "+err.Error())
	}
	if err != nil {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
	return false
}

// leaveOut says loudly what is not tested, and fails where everything must be.
func leaveOut(t *testing.T, why string) {
	t.Helper()
	why = "LEFT OUT: ICMP errors over a real router: " + why
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

// role is this program again, in a new network namespace.
func role(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleVar+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// lab is the three namespaces, seen from the box.
type lab struct{ router, server node }

// node is a namespace, by a process that lives in it; 0 is our own.
type node int

// The addresses: the far side of each link, and one that only a loop leads to.
var (
	router4, router6 = netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("fd00:1::1")
	server4, server6 = netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("fd00:2::2")
	looped4, looped6 = netip.MustParseAddr("10.0.9.9"), netip.MustParseAddr("fd00:9::9")
	absent4, absent6 = netip.MustParseAddr("10.0.1.77"), netip.MustParseAddr("fd00:1::77")
)

func newLab(t *testing.T) lab {
	t.Helper()
	l := lab{router: start(t, "router"), server: start(t, "server")}
	box := node(0)
	for _, n := range []node{box, l.router, l.server} {
		n.do(t, "set /proc/sys/net/ipv6/conf/default/dad_transmits 0") // addresses work at once
	}
	box.do(t, fmt.Sprintf(`
		ip link set lo up
		ip link add up0 type veth peer name lan0 netns %d
		ip address add 10.0.1.2/24 dev up0
		ip -6 address add fd00:1::2/64 dev up0 nodad
		ip link set up0 up
		ip route add 10.0.2.0/24 via 10.0.1.1
		ip route add 10.0.9.0/24 via 10.0.1.1`, l.router))
	l.router.do(t, fmt.Sprintf(`
		ip link set lo up
		ip link add wan0 type veth peer name up0 netns %d
		ip address add 10.0.1.1/24 dev lan0
		ip address add 10.0.2.1/24 dev wan0
		ip -6 address add fd00:1::1/64 dev lan0 nodad
		ip -6 address add fd00:2::1/64 dev wan0 nodad
		ip link set lan0 up
		ip link set wan0 up`, l.server))
	l.server.do(t, `
		ip link set lo up
		ip address add 10.0.2.2/24 dev up0
		ip -6 address add fd00:2::2/64 dev up0 nodad
		ip link set up0 up
		ip route add default via 10.0.2.1
		ip -6 route add default via fd00:2::1`)
	// Both ends of all links are up: what needs a link can follow.
	box.do(t, `
		ip -6 route add fd00:2::/64 via fd00:1::1
		ip -6 route add fd00:9::/64 via fd00:1::1`)
	l.router.do(t, `
		ip route add 10.0.9.0/24 via 10.0.2.2
		ip -6 route add fd00:9::/64 via fd00:2::2`)
	for _, n := range []node{l.router, l.server} {
		n.do(t, `
			set /proc/sys/net/ipv4/ip_forward 1
			set /proc/sys/net/ipv6/conf/all/forwarding 1
			set /proc/sys/net/ipv4/icmp_ratelimit 0
			set /proc/sys/net/ipv4/icmp_msgs_per_sec 100000
			set /proc/sys/net/ipv6/icmp/ratelimit 0
			set /proc/sys/net/ipv4/conf/all/send_redirects 0`)
	}
	awaitServer(t)
	return l
}

// awaitServer waits until the links carry: the kernel takes up to a second to
// notice that they are up.
func awaitServer(t *testing.T) {
	t.Helper()
	var plan []time.Duration
	for at := time.Duration(0); at <= 20*time.Second; at += 100 * time.Millisecond {
		plan = append(plan, at)
	}
	for _, to := range []netip.Addr{server4, server6} {
		_, _, r := listen(t, to).Ask(t.Context(), netip.AddrPortFrom(to, openPort), []byte("up?"), plan, anything)
		if r.Outcome != agent.Answered {
			t.Fatalf("%v does not come up: %v %q", to, r.Outcome, r.Reason)
		}
	}
}

// start starts a node and waits until it is ready.
func start(t *testing.T, name string) node {
	t.Helper()
	cmd := role(name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("%s does not get ready: %v", name, err)
	}
	return node(cmd.Process.Pid)
}

// do runs a command a line in the node; "set FILE VALUE" sets a kernel option.
func (n node) do(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "set" {
			words = []string{"sh", "-c", "echo " + words[2] + " > " + words[1]}
		}
		n.run(t, nil, words...)
	}
}

// firewall replaces the node's rules by one chain.
func (n node) firewall(t *testing.T, hook string, rules ...string) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "flush ruleset\ntable inet t {\nchain c {\ntype filter hook %s priority 0;\n", hook)
	fmt.Fprintf(&b, "%s\n}\n}\n", strings.Join(rules, "\n"))
	n.run(t, &b, "nft", "-f", "-")
}

func (n node) run(t *testing.T, in io.Reader, words ...string) {
	t.Helper()
	if p := find(words[0]); p != "" {
		words[0] = p
	}
	if n != 0 {
		words = append([]string{find("nsenter"), "-t", strconv.Itoa(int(n)), "-n"}, words...)
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", words, err, out)
	}
}

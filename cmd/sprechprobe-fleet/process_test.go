package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// role says which program this one is, where a test has started it to be killed.
const role = "SPRECHPROBE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "sprechprobe-fleet":
		main()
	case "nats-server":
		natsServer()
	default:
		os.Exit(m.Run())
	}
}

// natsServer is nats-server as it is, with its log on stderr: -c FILE.
func natsServer() {
	o, err := natsd.ProcessConfigFile(os.Args[2])
	if err == nil {
		o.Logtime = true
		var s *natsd.Server
		if s, err = natsd.NewServer(o); err == nil {
			s.ConfigureLogger()
			s.Start()
			s.WaitForShutdown()
			os.Exit(0)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// program starts this program in a role.
func program(t *testing.T, as string, ready func(*lab.Process) bool, args ...string) *lab.Process {
	t.Helper()
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), role+"="+as)
	return lab.Start(t, c, ready)
}

// node starts a nats-server that listens at an address.
func node(t *testing.T, config string, at int) *lab.Process {
	t.Helper()
	return program(t, "nats-server", lab.Listens(local(at)), "-c", config)
}

// fleetProgram starts serve as a process and returns where its pages are.
func fleetProgram(t *testing.T, args ...string) (page string, p *lab.Process) {
	t.Helper()
	said := regexp.MustCompile(`msg=serving dashboard=(\S+)`)
	p = program(t, "sprechprobe-fleet", func(p *lab.Process) bool { return said.MatchString(p.Said()) },
		append([]string{"serve", "--http", "127.0.0.1:0"}, args...)...)
	return said.FindStringSubmatch(p.Said())[1], p
}

// ports are free ports of this machine.
func ports(t *testing.T, n int) []int {
	t.Helper()
	var out []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		out = append(out, ln.Addr().(*net.TCPAddr).Port)
	}
	return out
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

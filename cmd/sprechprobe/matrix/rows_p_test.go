package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
)

// The box and its reports: never the practice's trouble.
var reporting = []row{
	{id: "P01", what: "the box's credentials revoked", want: "central-auth:vendor", look: (*scene).checkCentral, inject: func(s *scene) {
		s.report(internet.Bus{User: "box", Password: "geheim"})
	}},
	{id: "N33", what: "the reporting point is away", want: "central-down:unknown", look: (*scene).checkCentral, inject: func(s *scene) {
		s.Internet.Report.Stop()
		s.later(func() { s.Internet.Report.Restart(internet.Bus{}) })
	}},
	{id: "P00", what: "the reporting point is there", look: (*scene).checkCentral},
}

func TestReporting(t *testing.T) { play(t, practice.Plan{}, ready(reporting)) }

// The box itself is unfit: no verdict.
var unfit = []row{
	{id: "P05", what: "the board's supply too weak", want: "box-power:box", caps: "ooo", inject: func(s *scene) { s.later(s.undervoltage()) }},
	{id: "P06", what: "another device has the box's address", want: "addr-conflict", caps: "***", inject: func(s *scene) {
		lab.Batch(s.t, s.PC.Name(), "address add 192.168.178.20/24 dev eth0")
		s.later(func() { lab.Batch(s.t, s.PC.Name(), "address del 192.168.178.20/24 dev eth0") })
	}},
}

func TestUnfit(t *testing.T) { play(t, practice.Plan{PC: true}, as(agent.VerdictUnknown, unfit)) }

// undervoltage puts the sensor of a Raspberry Pi into the box's /sys, with its
// alarm, beside what is there of the network.
func (s *scene) undervoltage() (undo func()) {
	s.t.Helper()
	const classes = "/sys/class"
	net := s.t.TempDir()
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	must(unix.Mount(classes+"/net", net, "", unix.MS_BIND|unix.MS_REC, ""))
	must(unix.Mount("tmpfs", classes, "tmpfs", 0, ""))
	must(os.MkdirAll(classes+"/net", 0o755))
	must(unix.Mount(net, classes+"/net", "", unix.MS_BIND|unix.MS_REC, ""))
	must(os.MkdirAll(classes+"/hwmon/hwmon0", 0o755))
	must(os.WriteFile(classes+"/hwmon/hwmon0/name", []byte("rpi_volt\n"), 0o644))
	must(os.WriteFile(classes+"/hwmon/hwmon0/in0_lcrit_alarm", []byte("1\n"), 0o644))
	return func() {
		must(unix.Unmount(classes+"/net", unix.MNT_DETACH))
		must(unix.Unmount(classes, unix.MNT_DETACH))
		must(unix.Unmount(net, unix.MNT_DETACH))
	}
}

// What only shows over several rounds.
var lasting = []row{
	{id: "N17", what: "the line is dialled anew", notes: "wan-redial:isp", look: func(s *scene) agent.Report {
		b := s.run()
		b.rounds(4)
		s.redial("198.18.64.3")
		return b.round()
	}},
	{id: "N18", what: "everything dropped for a while between rounds", look: func(s *scene) agent.Report {
		b := s.run()
		b.rounds(2)
		rule := s.Router.Block("meta nfproto ipv4", "drop")
		time.Sleep(2 * time.Second) // nothing is to happen
		rule.Remove()
		return b.round()
	}},
	{id: "D29", what: "a spare line, slower and elsewhere", want: "line-failover:isp", caps: "oll", verdict: agent.VerdictLimited,
		look: func(s *scene) agent.Report {
			b := s.run()
			b.rounds(4)
			s.redial("198.18.64.4")
			s.WANLine.Set(practice.Quality{RTT: 70 * time.Millisecond, UpBitsPerS: 3_000_000, DownBitsPerS: 3_000_000})
			s.later(func() { s.WANLine.Set(practice.Quality{}) })
			b.round()
			return b.round() // it stays known
		}},
}

func TestLasting(t *testing.T) {
	rows := ready(lasting)
	for i, r := range lasting {
		if r.verdict != agent.VerdictUnknown {
			rows[i].verdict = r.verdict
		}
	}
	play(t, practice.Plan{}, rows)
}

// redial gives the line another public address, and forgets its connections.
func (s *scene) redial(addr string) {
	const usual = "198.18.64.2"
	move := func(from, to string) {
		s.Router.IP(fmt.Sprintf("address del %s/24 dev wan0\naddress add %s/24 dev wan0\nroute replace default via 198.18.64.1", from, to))
		s.Router.ForgetConnections()
	}
	move(usual, addr)
	s.later(func() { move(addr, usual) })
}

func (s *scene) report(b internet.Bus) {
	s.Internet.Report.Restart(b)
	s.later(func() { s.Internet.Report.Restart(internet.Bus{}) })
}

func (s *scene) central() string {
	return fmt.Sprintf("[central]\nservers = [\"wss://report.fleet.example:%d\"]\nca = %q\n", internet.NATSPort, s.Internet.CAFile)
}

// checkCentral looks once, at the way to report too.
func (s *scene) checkCentral() agent.Report { return s.checkWith(s.central()) }

// checkNow asks the daemon for a round.
const checkNow = syscall.SIGUSR1

// running is the box's daemon.
type running struct {
	s       *scene
	process *lab.Process
	pid     func() int
	file    string
	seq     uint64
}

// run starts the daemon and returns when its first round is over.
func (s *scene) run() *running {
	s.t.Helper()
	dir := s.t.TempDir()
	cmd := exec.Command(os.Getenv(programVar), "run", "--config", s.config("[schedule]\nevery = \"1h\"\n"))
	cmd.Env = append(append(os.Environ(), s.Environ()...), "RUNTIME_DIRECTORY="+dir)
	b := &running{s: s, file: filepath.Join(dir, "report.json")}
	b.process = lab.Start(s.t, cmd, nil)
	b.pid = func() int { return cmd.Process.Pid }
	s.later(b.process.Kill)
	b.await()
	return b
}

// await returns the report of the next round.
func (b *running) await() (r agent.Report) {
	b.s.t.Helper()
	b.process.Await(b.s.t, "another round is over", func() bool {
		text, err := os.ReadFile(b.file)
		return err == nil && json.NewDecoder(bytes.NewReader(text)).Decode(&r) == nil && r.Seq > b.seq
	})
	b.seq = r.Seq
	return r
}

// round asks for one more round.
func (b *running) round() agent.Report {
	b.s.t.Helper()
	p, err := os.FindProcess(b.pid())
	if err == nil {
		err = p.Signal(checkNow)
	}
	if err != nil {
		b.s.t.Fatal(err)
	}
	return b.await()
}

func (b *running) rounds(n int) {
	for range n {
		b.round()
	}
}

package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

// The box and its reports: never the practice's trouble.
var reporting = []row{
	{id: "P01", what: "the box's credentials revoked", want: "central-auth:vendor", report: agent.No, look: (*scene).checkCentral, inject: func(s *scene) {
		s.report(internet.Bus{User: "box", Password: "geheim"})
	}},
	{id: "N33", what: "the reporting point is away", want: "central-down:unknown", report: agent.No, look: (*scene).checkCentral, inject: func(s *scene) {
		s.Internet.Report.Stop()
		s.later(func() { s.Internet.Report.Restart(internet.Bus{}) })
	}},
	{id: "P00", what: "the reporting point is there", look: (*scene).checkCentral},
	{id: "P02", what: "the first way to report is blocked, the spare one open", notes: "central-fallback:unknown",
		look: func(s *scene) agent.Report {
			servers := fmt.Sprintf(`["tls://report.fleet.example:%d", "wss://report.fleet.example:443"]`, internet.NATSPort)
			return s.runWith(s.centralAt(servers)).until(reported)
		},
		inject: func(s *scene) {
			s.take(internet.Bus{Speech: internet.TLS, Fallback: 443})
			s.block(fmt.Sprintf("ip daddr %s tcp dport %d", internet.ReportAddr, internet.NATSPort), "drop")
		}},
	{id: "P03", what: "the clock ten minutes ahead, reports go out", want: "clock-wrong:box", report: agent.Limited,
		look: func(s *scene) agent.Report { return s.checkAhead(10*time.Minute, s.central()) }},
	{id: "P04", what: "nothing can be kept any more", want: "box-storage:box", report: agent.Limited,
		look: func(s *scene) agent.Report {
			b := s.runWith(s.central())
			s.readOnly(s.state)
			return b.until(func(r agent.Report) bool { return reported(r) && len(found(r, false)) > 0 })
		},
		inject: func(s *scene) {
			s.take(internet.Bus{})
			s.mount(s.state)
		}},
	{id: "P07", what: "settings that nobody has signed", notes: "profile-rejected:vendor", look: (*scene).runAssigned},
}

// reported says that a report could go out.
func reported(r agent.Report) bool {
	return slices.ContainsFunc(r.Evidence, func(e agent.Evidence) bool {
		return e.Probe == agent.ProbeUplink && e.Outcome == agent.Answered
	})
}

// take has the reporting point keep what it is sent, and run as b says.
func (s *scene) take(b internet.Bus) {
	s.t.Helper()
	s.report(internet.Bus{JetStream: true})
	conn, err := nats.Connect("", nats.InProcessServer(s.Internet.Report.Server))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err == nil {
		_, err = js.CreateOrUpdateStream(s.t.Context(), jetstream.StreamConfig{Name: fleet.Stream, Subjects: []string{fleet.Prefix + ".*.*.up.*"}})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	b.JetStream = true
	s.Internet.Report.Restart(b)
}

// mount puts an empty file system of its own at a directory.
func (s *scene) mount(dir string) {
	s.t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700"); err != nil {
		s.t.Fatal(err)
	}
	s.later(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

// readOnly is what a worn SD card does to its file system.
func (s *scene) readOnly(dir string) {
	s.t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		s.t.Fatal(err)
	}
}

// runAssigned runs a box to which somebody has assigned settings without the
// vendor's signature.
func (s *scene) runAssigned() agent.Report {
	s.t.Helper()
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	key, err := nkeys.CreateUser()
	must(err)
	public, err := key.PublicKey()
	must(err)
	s.report(internet.Bus{JetStream: true, NKey: public})
	conn, err := nats.Connect("", nats.InProcessServer(s.Internet.Report.Server), nats.Nkey(public, key.Sign))
	must(err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	must(err)
	kv, err := js.CreateKeyValue(s.t.Context(), jetstream.KeyValueConfig{Bucket: fleet.Assignments, Storage: jetstream.MemoryStorage})
	must(err)
	assigned := map[string]any{"version": 7, "profiles": []string{"zpp-hd"}}
	forged := fleettest.NewVendor(s.t).Seal(fleet.AssignmentSchema, assigned)
	_, err = kv.Put(s.t.Context(), fleet.Address{Tenant: "praxis", Box: "matrix"}.Key(), forged)
	must(err)
	seed, err := key.Seed()
	must(err)
	file := filepath.Join(s.state, "box.nk")
	must(os.WriteFile(file, seed, 0o600))
	config := fmt.Sprintf("%snkey_seed = %q\nvendor_keys = [%q]\n", s.central(), file, fleettest.NewVendor(s.t).Key())
	return s.runWith(config).until(func(r agent.Report) bool { return len(found(r, true)) > 0 })
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
	return s.centralAt(fmt.Sprintf(`["wss://report.fleet.example:%d"]`, internet.NATSPort))
}

func (s *scene) centralAt(servers string) string {
	return fmt.Sprintf("[central]\nservers = %s\nca = %q\n", servers, s.Internet.CAFile)
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
func (s *scene) run() *running { return s.runWith("") }

func (s *scene) runWith(config string) *running {
	s.t.Helper()
	dir := s.t.TempDir()
	cmd := exec.Command(os.Getenv(programVar), "run", "--config", s.config("[schedule]\nevery = \"1h\"\n"+config))
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

// until asks for rounds until one shows what is waited for, and returns the last.
func (b *running) until(shows func(agent.Report) bool) (r agent.Report) {
	b.s.t.Helper()
	for range 12 {
		if r = b.round(); shows(r) {
			break
		}
	}
	return r
}

func (b *running) rounds(n int) {
	for range n {
		b.round()
	}
}

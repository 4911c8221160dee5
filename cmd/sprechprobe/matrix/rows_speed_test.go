package matrix

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
	"github.com/sprechprobe/sprechprobe/agent/lab/practice"
	"github.com/sprechprobe/sprechprobe/agent/trend"
)

// How well the line carries a call: measured against the vendor's own reflector.
var fine = []row{
	{id: "N00s", what: "a line that carries everything", profile: "zpp-hd", caps: "o--", verdict: agent.Ready, look: (*scene).measure},
	{id: "N35", what: "ADSL, 16 Mbit/s down and 2.4 up", profile: "zpp-hd", caps: "o--", verdict: agent.Ready, notes: "bw-hd:isp", hd: agent.Limited,
		look: (*scene).measure, inject: func(s *scene) { s.line(practice.Quality{DownBitsPerS: 16_000_000, UpBitsPerS: 2_400_000}) }},
	{id: "N36", what: "a backup fills the line", profile: "zpp-hd", caps: "o--", verdict: agent.Ready,
		look: (*scene).measure, inject: func(s *scene) {
			s.line(practice.Quality{DownBitsPerS: 16_000_000, UpBitsPerS: 10_000_000})
			s.later(s.Upload())
		}},
}

var poor = []row{
	{id: "D13", what: "3 % of the packets lost", want: "loss:isp", caps: "lll", verdict: agent.VerdictLimited,
		look: (*scene).measure, inject: func(s *scene) { s.block("numgen random mod 100 < 3", "drop") }},
	{id: "D15", what: "300 ms more to everywhere", want: "rtt:unknown", caps: "lll", verdict: agent.VerdictLimited,
		inject: func(s *scene) { s.line(practice.Quality{RTT: 300 * time.Millisecond}) }},
	{id: "D16", what: "1.5 Mbit/s up", profile: "zpp-hd", caps: "o--", verdict: agent.Ready, notes: "bw-hd:isp", hd: agent.No,
		look: (*scene).measure, inject: func(s *scene) { s.line(practice.Quality{UpBitsPerS: 1_500_000}) }},
}

var slow = []row{
	{id: "D17", what: "1.5 Mbit/s down, below the rule", want: "bw-min:isp", caps: "ool", verdict: agent.VerdictLimited,
		look: (*scene).measure, inject: func(s *scene) { s.line(practice.Quality{DownBitsPerS: 1_500_000}) }},
	{id: "D19", what: "1.5 Mbit/s down, every evening and now", want: "bw-min:isp trend-congestion:unknown", caps: "ool", hd: agent.No, verdict: agent.VerdictLimited,
		look: (*scene).measure, inject: func(s *scene) { s.line(practice.Quality{DownBitsPerS: 1_500_000}) },
		record: evenings, unable: "the line is slow in fact; that it was so on evenings before is told by agent/trend from looks made up, as days are not to be waited for"},
	{id: "D18", what: "5 Mbit/s up and a second of queue", profile: "zpp-hd", want: "bloat", notes: "bw-hd:isp", caps: "l--", verdict: agent.VerdictLimited,
		look: (*scene).measure, inject: func(s *scene) { s.line(practice.Quality{UpBitsPerS: 5_000_000, Queue: time.Second}) }},
	{id: "X16", what: "8 % of the packets lost", want: "loss:isp", caps: "lln", verdict: agent.Blocked,
		look: (*scene).measure, inject: func(s *scene) { s.block("numgen random mod 100 < 8", "drop") }},
	{id: "X17", what: "600 ms more to everywhere", want: "rtt:unknown", caps: "lln", verdict: agent.Blocked,
		inject: func(s *scene) { s.line(practice.Quality{RTT: 600 * time.Millisecond}) }},
	{id: "X18", what: "0.7 Mbit/s up, below the service's minimum", profile: "zpp-hd", want: "bw-min:isp", notes: "bw-hd:isp", caps: "l--", hd: agent.No,
		verdict: agent.VerdictLimited, look: (*scene).measure, inject: func(s *scene) { s.line(practice.Quality{UpBitsPerS: 700_000}) }},
}

// fleetVar is the path of the vendor's program.
const fleetVar = "SPRECHPROBE_MATRIX_FLEET"

func TestLineFine(t *testing.T) { playLine(t, fine) }
func TestLinePoor(t *testing.T) { playLine(t, poor) }
func TestLineSlow(t *testing.T) { playLine(t, slow) }

func playLine(t *testing.T, lines []row) {
	t.Helper()
	if os.Getenv(fleetVar) == "" {
		path := filepath.Join(os.Getenv(resultsVar), "sprechprobe-fleet")
		out, err := exec.Command("go", "build", "-o", path, "github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet").CombinedOutput()
		if err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		if err := os.Setenv(fleetVar, path); err != nil {
			t.Fatal(err)
		}
	}
	rows := make([]row, len(lines))
	for i, r := range lines {
		r.also = append(r.also, internet.SpeedAddr.String())
		rows[i] = r
	}
	play(t, practice.Plan{PC: true}, rows)
}

// line makes the line so, until the row is over.
func (s *scene) line(q practice.Quality) {
	s.WANLine.Set(q)
	s.later(func() { s.WANLine.Set(practice.Quality{}) })
}

// evenings adds what a box knows that has looked at the line five times a day for a
// week, and found it poor from 17 to 20 hours. It is evening now.
func evenings(es []agent.Evidence) []agent.Evidence {
	now := time.Date(2026, 3, 9, 18, 30, 0, 0, time.UTC)
	var looks []trend.Look
	for d := range 7 {
		for _, h := range []int{6, 11, 17, 19, 22} {
			looks = append(looks, trend.Look{At: time.Date(2026, 3, 3+d, h, 0, 0, 0, time.UTC), Poor: h >= 17 && h < 20})
		}
	}
	h, ok := trend.Find(looks, now, time.UTC)
	if !ok {
		return es
	}
	return append(es, agent.See(agent.ProbeTrend, agent.Target{}, agent.Answered, "").
		With(agent.FromHour, h.From).With(agent.UntilHour, h.Until).With(agent.PoorDays, h.Poor).With(agent.LookedDays, h.Of).With(agent.InHours, h.Now))
}

// measure looks once, and at the bandwidth, against a reflector of the row's own.
func (s *scene) measure() agent.Report {
	s.t.Helper()
	at := netip.AddrPortFrom(internet.SpeedAddr, 5201)
	cmd := exec.Command(os.Getenv(fleetVar), "reflect", "--listen", at.String())
	var p *lab.Process
	if err := s.Internet.Net.Do(func() { p = lab.Start(s.t, cmd, nil) }); err != nil {
		s.t.Fatal(err)
	}
	s.later(p.Kill)
	p.Await(s.t, "it listens", func() bool { return lab.Listens(at.String())(nil) })
	config := s.config("[bandwidth]\nserver = \"speed.fleet.example\"\nclosed = []\n")
	return s.read(s.Run(exec.Command(os.Getenv(programVar), "check", "--bandwidth", "--format", "json", "--config", config)))
}

package link_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/link"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

var (
	built = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now   = built.AddDate(0, 2, 0)
)

// machine is one recorded machine of testdata.
type machine struct {
	system  link.System
	answers bool // the gateway answers the datagram
	poked   *[]string
	want    string
}

// record writes a machine's files below a new directory.
func record(t *testing.T, archive *txtar.Archive) machine {
	t.Helper()
	addrs := map[string][]netip.Prefix{}
	m := machine{poked: new([]string)}
	m.system = link.System{
		Root:   t.TempDir(),
		Build:  built,
		Now:    func() time.Time { return now },
		Order:  binary.LittleEndian,
		Addrs:  func(name string) ([]netip.Prefix, error) { return addrs[name], nil },
		Synced: func() (bool, error) { return true, nil },
	}
	for _, f := range archive.Files {
		switch f.Name {
		case "want":
			m.want = string(f.Data)
		case "addrs":
			for line := range strings.Lines(string(f.Data)) {
				words := strings.Fields(line)
				addrs[words[0]] = append(addrs[words[0]], netip.MustParsePrefix(words[1]))
			}
		case "setting":
			m.set(t, string(f.Data))
		default:
			write(t, m.system.Root, f.Name, string(f.Data))
		}
	}
	m.system.Poke = func(ctx context.Context, gateway netip.Addr) <-chan bool {
		*m.poked = append(*m.poked, gateway.String())
		return fakePoke(ctx, m.answers)
	}
	return m
}

func (m *machine) set(t *testing.T, settings string) {
	t.Helper()
	for line := range strings.Lines(settings) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key + " " + value {
		case "order big":
			m.system.Order = binary.BigEndian
		case "poke answers":
			m.answers = true
		case "addrs none":
			m.system.Addrs = func(string) ([]netip.Prefix, error) { return nil, errors.New("no netlink") }
		case "clock none":
			m.system.Synced = func() (bool, error) { return false, errors.New("not permitted") }
		case "clock unsynced":
			m.system.Synced = func() (bool, error) { return false, nil }
		default:
			m.setText(t, key, value)
		}
	}
}

func (m *machine) setText(t *testing.T, key, value string) {
	t.Helper()
	switch key {
	case "interface":
		m.system.Interface = value
	case "now":
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			t.Fatal(err)
		}
		m.system.Now = func() time.Time { return at }
	default:
		t.Fatalf("unknown setting %q", key)
	}
}

// fakePoke answers at once or never, and lets go when it is told to.
func fakePoke(ctx context.Context, answers bool) <-chan bool {
	answered := make(chan bool, 1)
	if answers {
		answered <- true
		close(answered)
		return answered
	}
	go func() {
		<-ctx.Done()
		answered <- false
		close(answered)
	}()
	return answered
}

func write(t *testing.T, root, name, data string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// text is evidence in the form of testdata.
func text(e agent.Evidence) string {
	var b strings.Builder
	fmt.Fprintln(&b, strings.TrimSpace(e.Outcome.String()+" "+string(e.Reason)))
	for _, k := range slices.Sorted(maps.Keys(e.Values)) {
		fmt.Fprintln(&b, k, e.Values[k])
	}
	return b.String()
}

func TestRecordedMachines(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded machines: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := record(t, archive)
			target := agent.Target{Host: "given.example", Port: 443}
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				e := link.Probe(m.system)(t.Context(), target)
				if diff := cmp.Diff(m.want, text(e)); diff != "" {
					t.Errorf("evidence (-want +got):\n%s", diff)
				}
				if e.Probe != agent.ProbeLink || e.Target.String() != target.String() {
					t.Errorf("evidence of %s for %s, want link for the target as given", e.Probe, e.Target)
				}
				if e.Grade != agent.GradeOf(e.Outcome) {
					t.Errorf("grade = %s with outcome %s", e.Grade, e.Outcome)
				}
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("took %s, want at most 3 s", took)
				}
				checkValues(t, e)
			})
		})
	}
}

// checkValues demands listed keys, their kinds, and no hardware address.
func checkValues(t *testing.T, e agent.Evidence) {
	t.Helper()
	for k, v := range e.Values {
		info, listed := agent.Keys[k]
		kind := map[string]agent.Kind{"string": agent.Words, "bool": agent.Fact, "float64": agent.Number}[fmt.Sprintf("%T", v)]
		if !listed || kind != info.Kind {
			t.Errorf("value %s = %v (%T) is not as listed", k, v, v)
		}
		if strings.Contains(fmt.Sprint(v), "02:00:00") {
			t.Errorf("value %s = %v has a hardware address", k, v)
		}
	}
}

// pi is the recorded Raspberry Pi, to be changed; its gateway keeps silent.
func pi(t *testing.T) machine {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/gateway-quiet.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return record(t, archive)
}

const gatewayOfPi = "192.168.178.1"

func arpTable(flags string) string {
	return "IP address HW type Flags HW address Mask Device\n" + gatewayOfPi + " 0x1 " + flags + " 02:00:00:00:00:01 * eth0\n"
}

func TestGatewayThatAnswersLate(t *testing.T) {
	m := pi(t)
	write(t, m.system.Root, "proc/net/arp", arpTable("0x0"))
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		answer := time.AfterFunc(1500*time.Millisecond, func() { write(t, m.system.Root, "proc/net/arp", arpTable("0x2")) })
		defer answer.Stop()
		e := link.Probe(m.system)(t.Context(), agent.Target{})
		if got := e.Values.Text(agent.Neighbour); got != "reachable" || e.Outcome != agent.Answered {
			t.Errorf("gateway after 1.5 s = %s, outcome %s %s, want reachable", got, e.Outcome, e.Reason)
		}
		if took := time.Since(start); took > 1600*time.Millisecond {
			t.Errorf("took %s, want to stop soon after the answer at 1.5 s", took)
		}
	})
}

func TestFailedEntryThatIsSweptAway(t *testing.T) {
	m := pi(t)
	write(t, m.system.Root, "proc/net/arp", arpTable("0x0"))
	synctest.Test(t, func(t *testing.T) {
		sweep := time.AfterFunc(2*time.Second, func() { write(t, m.system.Root, "proc/net/arp", "") })
		defer sweep.Stop()
		e := link.Probe(m.system)(t.Context(), agent.Target{})
		if e.Outcome != agent.Refused || e.Reason != agent.NoNeighbour {
			t.Errorf("outcome = %s %s, want refused no-neighbour", e.Outcome, e.Reason)
		}
	})
}

// The kernel tries a neighbour anew only if somebody wants to talk to it, so
// the gateway is poked even where it is believed in.
func TestBelievedGatewayIsPoked(t *testing.T) {
	m := pi(t)
	synctest.Test(t, func(t *testing.T) {
		link.Probe(m.system)(t.Context(), agent.Target{})
	})
	if diff := cmp.Diff([]string{gatewayOfPi}, *m.poked); diff != "" {
		t.Errorf("poked (-want +got):\n%s", diff)
	}
}

func TestCancelled(t *testing.T) {
	m := pi(t)
	write(t, m.system.Root, "proc/net/arp", arpTable("0x0"))
	for name, after := range map[string]time.Duration{"before": 0, "while waiting": 700 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				if after == 0 {
					cancel()
				} else {
					defer time.AfterFunc(after, cancel).Stop()
				}
				e := link.Probe(m.system)(ctx, agent.Target{})
				if e.Outcome != agent.NotLooked || e.Reason != agent.Cancelled {
					t.Errorf("outcome = %s %s, want not-looked cancelled", e.Outcome, e.Reason)
				}
				if took := time.Since(start); took != after {
					t.Errorf("took %s, want %s", took, after)
				}
			})
		})
	}
}

func TestStamp(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	tests := []struct {
		name   string
		synced bool
		err    error
		want   agent.Stamp
	}{
		{"set", true, nil, agent.Stamp{At: now, Clock: agent.ClockSet, UptimeS: 12.346}},
		{"not set", false, nil, agent.Stamp{At: now, Clock: agent.ClockUnset, UptimeS: 12.346}},
		{"nobody knows", true, errors.New("not permitted"), agent.Stamp{At: now, Clock: agent.ClockUnset, UptimeS: 12.346}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := link.Stamp(link.System{
				Now:    func() time.Time { return now.In(berlin) },
				Synced: func() (bool, error) { return tt.synced, tt.err },
				Uptime: func() (time.Duration, error) { return 12345678 * time.Microsecond, nil },
			})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Stamp (-want +got):\n%s", diff)
			}
			if got.At.Location() != time.UTC {
				t.Errorf("At is in %s, want UTC", got.At.Location())
			}
		})
	}
}

func TestStampOfThisMachine(t *testing.T) {
	first := link.Stamp(link.System{})
	second := link.Stamp(link.System{})
	if first.UptimeS <= 0 || second.UptimeS < first.UptimeS {
		t.Errorf("uptime %v, then %v, want it to run", first.UptimeS, second.UptimeS)
	}
	if first.Clock != agent.ClockSet && first.Clock != agent.ClockUnset {
		t.Errorf("clock = %q, want synced or unsynced", first.Clock)
	}
}

func TestConform(t *testing.T) {
	m := pi(t)
	write(t, m.system.Root, "proc/net/arp", arpTable("0x0")) // a look that takes its time
	target := agent.Target{Host: "given.example", Port: 443, Transport: agent.TCP}
	probetest.Conform(t, link.Probe(m.system), target, target)
}

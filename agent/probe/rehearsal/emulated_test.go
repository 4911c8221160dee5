package rehearsal_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/rehearsal"
)

// emulatedVar is where the relay is that a test under emulation rehearses with.
const emulatedVar = "SPRECHPROBE_REHEARSAL_RELAY"

// A box with the weakest processor that there is rehearses high definition. Under
// emulation only that it does and how much of the processor it takes beside less of
// a picture can be told, not how long it takes.
func TestOnMIPS(t *testing.T) {
	qemu := lab.Program(t, "qemu-mipsel-static", "qemu-user-static")
	dir := t.TempDir()
	program := filepath.Join(dir, "rehearsal.test")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=mipsle", "GOMIPS=softfloat", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	f := coturn(t, "--allow-loopback-peers")
	run := exec.Command(qemu, program, "-test.run=^TestEmulated$", "-test.v")
	run.Env = append(os.Environ(), emulatedVar+"="+f.addr.String())
	out, err := run.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "--- PASS: TestEmulated") {
		t.Errorf("emulated: %v", err)
	}
}

// TestEmulated is what runs there.
func TestEmulated(t *testing.T) {
	addr := os.Getenv(emulatedVar)
	if addr == "" {
		t.Skip("runs within TestOnMIPS")
	}
	to := agent.Target{Port: 3478, Transport: agent.UDP}
	if err := to.Addr.UnmarshalText([]byte(addr)); err != nil {
		t.Fatal(err)
	}
	to.Variant = agent.Plain
	const d = 4 * time.Second
	cpu := map[float64]float64{}
	for _, rate := range []float64{0.6e6, 2.5e6} {
		e := fair(t, here, rehearsal.Plan{Video: d, Rates: []float64{rate}}, to)
		if e.Values[agent.Relayed] != true || e.Values[agent.VideoRate] != rate {
			t.Errorf("%v Mbit/s: %v %q %v", rate/1e6, e.Outcome, e.Reason, e.Values)
		}
		share, _ := e.Values.Num(agent.OwnCPU)
		cpu[rate] = 1000 * share * float64(runtime.GOMAXPROCS(0)) // ms a second
		fmt.Printf("%.1f Mbit/s: %.0f ms of processor a second, lost %v\n", rate/1e6, cpu[rate], e.Values[agent.VideoLoss])
	}
	fmt.Printf("%.1f ms of processor per Mbit sent and received\n", (cpu[2.5e6]-cpu[0.6e6])/1.9)
}

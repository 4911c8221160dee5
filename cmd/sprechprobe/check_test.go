package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
)

// builds is where the programs under test lie while the tests run.
var builds string

func TestMain(m *testing.M) {
	var err error
	if builds, err = os.MkdirTemp("", "sprechprobe-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(builds)
	os.Exit(code)
}

// build makes the box's program once per platform, as a release is made.
var build = func() func(t *testing.T, env ...string) string {
	var mu sync.Mutex
	made := map[string]string{}
	return func(t *testing.T, env ...string) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		key := strings.Join(env, " ")
		if made[key] == "" {
			out := filepath.Join(builds, fmt.Sprintf("sprechprobe-%d", len(made)))
			args := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", out}
			if strings.Contains(key, "GOARCH=mips") {
				args = append(args, smallFlags(t)...)
			}
			cmd := exec.Command("go", append(args, ".")...)
			cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("build %s: %v\n%s", key, err, text)
			}
			made[key] = out
		}
		return made[key]
	}
}()

// smallFlags are the compiler's flags for the smallest boards, as the Makefile
// uses them.
func smallFlags(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../../packaging/mips.flags")
	must(t, err)
	return strings.Fields(string(b))
}

// result is what a run of the program left.
type result struct {
	code        int
	out, errOut string
}

// box runs the program against the vendor.
func (v *vendor) box(t *testing.T, program []string, args ...string) result {
	t.Helper()
	words := slices.Concat(program, args)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+v.caFile, "RUNTIME_DIRECTORY="+v.dir)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", words, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// check runs `check --format json` and reads the report.
func (v *vendor) check(t *testing.T, program ...string) (agent.Report, int) {
	t.Helper()
	r := v.box(t, program, "check", "--config", v.config, "--format", "json")
	var report agent.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatalf("report: %v\n%s%s", err, r.out, r.errOut)
	}
	return report, r.code
}

// expect compares a report's verdict and its codes, in order.
func expect(t *testing.T, r agent.Report, code, wantCode int, wantVerdict agent.Verdict, want ...agent.Code) {
	t.Helper()
	var got []agent.Code
	for _, f := range r.Findings {
		got = append(got, f.Code)
	}
	if code != wantCode || r.Verdict != wantVerdict || !slices.Equal(got, want) {
		b, _ := json.MarshalIndent(r.Evidence, "", " ")
		t.Errorf("exit %d, %s, findings %q; want exit %d, %s, %q\nevidence: %s", code, r.Verdict, got, wantCode, wantVerdict, want, b)
	}
}

func TestCheckAgainstRealServers(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	sprechprobe := build(t)

	r, code := v.check(t, sprechprobe)
	expect(t, r, code, 0, agent.Ready)
	t.Logf("healthy round: %d ms, %d pieces of evidence", r.TookMS, len(r.Evidence))
	for _, tr := range []agent.Transport{agent.UDP, agent.TCP} {
		if !relayed(r, tr) {
			t.Errorf("with credentials no datagram came back through the relay over %s", tr)
		}
	}
	variants := map[agent.Variant]bool{}
	for _, e := range r.Evidence {
		if e.Probe == agent.ProbeNATS {
			variants[e.Target.Variant] = true
		}
	}
	for _, want := range []agent.Variant{agent.TLS, agent.TLSFirst, agent.WSS} {
		if !variants[want] {
			t.Errorf("no NATS server was recognised as %s: %v", want, variants)
		}
	}

	v.write(t, "relay.password", []byte("falsch\n"))
	r, code = v.check(t, sprechprobe)
	expect(t, r, code, 0, agent.Ready, agent.TURNAuth, agent.TURNAuth)

	v.nats["tls-first"].Shutdown()
	v.write(t, "relay.password", []byte("geheim\n"))
	r, code = v.check(t, sprechprobe)
	expect(t, r, code, 0, agent.Ready, agent.GroupServer)

	must(t, v.coturn.Process.Kill())
	until(t, "coturn is gone", func() bool { return !answersSTUN(coturnAddr, plainPort) })
	r, code = v.check(t, sprechprobe)
	expect(t, r, code, 2, agent.Blocked, agent.TURNServer, agent.STUNServer, agent.GroupServer)
	if text := v.box(t, []string{sprechprobe}, "check", "--config", v.config).out; !strings.Contains(text, "Praxis nichts zu ändern") && !strings.Contains(text, "nichts zu ändern") {
		t.Errorf("an outage of the service must tell the practice to change nothing:\n%s", text)
	}
	if text := v.box(t, []string{sprechprobe}, "request", "--config", v.config).out; strings.Contains(text, "5349") {
		t.Errorf("a request for the firewall asks for what the service itself broke:\n%s", text)
	}
}

// relayed reports whether a datagram came back through the relay.
func relayed(r agent.Report, tr agent.Transport) bool {
	for _, e := range r.Evidence {
		came, _ := e.Values.Flag(agent.Relayed)
		if e.Probe == agent.ProbeRelay && e.Target.Transport == tr && came {
			return true
		}
	}
	return false
}

// The builds for routers and for the Pi do the same, here under emulation.
func TestCheckOnOtherProcessors(t *testing.T) {
	if testing.Short() {
		t.Skip("LEFT OUT: emulation is slow, and this run is a short one")
	}
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	for _, p := range []struct {
		emulator string
		env      []string
	}{
		{"qemu-arm-static", []string{"GOOS=linux", "GOARCH=arm", "GOARM=7"}},
		{"qemu-mipsel-static", []string{"GOOS=linux", "GOARCH=mipsle", "GOMIPS=softfloat"}},
	} {
		t.Run(p.emulator, func(t *testing.T) {
			qemu := program(t, p.emulator, "qemu-user-static")
			r, code := v.check(t, qemu, build(t, p.env...))
			expect(t, r, code, 0, agent.Ready)
			t.Logf("healthy round under emulation: %d ms, on %s", r.TookMS, r.Box.Platform)
		})
	}
}

package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/hal/console"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
)

// plug puts a panel behind the name of a port, one that answers and keeps what it
// was told.
func plug(t *testing.T, port string) (*haltest.Pty, *text) {
	t.Helper()
	pty, told := haltest.NewPty(t), &text{}
	_ = os.Remove(port)
	must(t, os.Symlink(pty.Path, port))
	done := make(chan struct{})
	t.Cleanup(func() { pty.Unplug(); <-done })
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(pty.Master); lines.Scan(); {
			if word, seq, err := console.ParseFrame(lines.Bytes()); err == nil {
				fmt.Fprintf(told, "(%s)", word)
				fmt.Fprintf(pty.Master, "OK %d\n", seq)
			}
		}
	}()
	return pty, told
}

// A panel that takes nothing, a console that is shouted at and that nobody reads,
// and both pulled out: rounds, lights and watchdog go on as if nothing were.
func TestSerialPortsHoldNothingUp(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	dir := t.TempDir()
	v := &vendor{dir: dir, config: filepath.Join(dir, "sprechprobe.toml")}
	port := filepath.Join(dir, "panel")
	panel, told := plug(t, port)
	terminal := haltest.NewPty(t)
	must(t, os.WriteFile(v.config, fmt.Appendf(nil, "[box]\nid = \"box-1\"\n[lights]\ndriver = \"terminal\"\n[schedule]\nevery = \"24h\"\n[panel]\nport = %q\n[console]\nport = %q\n", port, terminal.Path), 0o644))
	notify, said := manager(t, dir)
	d := v.run(t, "NOTIFY_SOCKET="+notify, "WATCHDOG_USEC=600000")
	seq := func() uint64 {
		var r agent.Report
		b, _ := os.ReadFile(filepath.Join(dir, "report.json"))
		_ = json.Unmarshal(b, &r)
		return r.Seq
	}
	// goesOn waits for three more rounds, and for the watchdog to be fed meanwhile.
	goesOn := func(when string) {
		t.Helper()
		fed := strings.Count(said.String(), "WATCHDOG=1")
		for range 3 {
			before := seq()
			d.signal(t, syscall.SIGUSR1)
			until(t, "a round "+when, func() bool { return seq() > before })
		}
		until(t, "the watchdog being fed "+when, func() bool { return strings.Count(said.String(), "WATCHDOG=1") > fed+1 })
	}
	until(t, "the panel being told", func() bool { return told.has("(no-address)") })

	must(t, panel.Stop())
	shouting := make(chan struct{})
	go func() {
		defer close(shouting)
		rng := rand.New(rand.NewPCG(7, 8))
		for range 10_000 { // answers fill the buffers, and then writing here waits
			noise := make([]byte, rng.IntN(80))
			for i := range noise {
				noise[i] = byte(rng.Uint32())
			}
			if _, err := fmt.Fprintf(terminal.Master, "%s\rstatus\rwhy\r", noise); err != nil {
				return
			}
		}
	}()
	d.signal(t, syscall.SIGUSR2) // a word that the panel cannot take
	until(t, "the lights, while nobody reads", func() bool { return d.out.has("(identify)") })
	until(t, "a panel that takes nothing being named", func() bool { return d.log.has("could not be written") })
	goesOn("while nobody reads")

	panel.Unplug()
	terminal.Unplug()
	<-shouting
	goesOn("while both are pulled out")

	_, told = plug(t, port)
	until(t, "the panel being told again", func() bool { return told.has("(") })
	goesOn("after all")
	d.signal(t, syscall.SIGTERM)
	if err := <-d.ended; err != nil {
		t.Errorf("ended with %v\n%s", err, d.log)
	}
}

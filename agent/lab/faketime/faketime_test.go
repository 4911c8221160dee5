package faketime_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/faketime"
)

const tell = "SPRECHPROBE_TELL_TIME"

// TestMain makes this program a Go program that tells the time, and how long a
// while was by the monotonic clock.
func TestMain(m *testing.M) {
	if os.Getenv(tell) == "" {
		os.Exit(m.Run())
	}
	began := time.Now()
	<-time.After(20 * time.Millisecond)
	fmt.Println(time.Now().Unix(), time.Since(began) < time.Minute)
}

func TestRun(t *testing.T) {
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, ahead := range []time.Duration{48 * time.Hour, -48 * time.Hour, 0} {
		for _, args := range [][]string{{me}, {lab.Program(t, "date", "coreutils"), "+%s true"}} {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = append(os.Environ(), tell+"=1")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := faketime.Run(t, cmd, ahead); err != nil {
				t.Fatalf("%s: %v\n%s", args[0], err, out.String())
			}
			said, steady, _ := strings.Cut(strings.TrimSpace(out.String()), " ")
			seconds, err := strconv.ParseInt(said, 10, 64)
			if off := time.Until(time.Unix(seconds, 0)) - ahead; err != nil || off.Abs() > time.Hour || steady != "true" {
				t.Errorf("%v ahead, %s says %q: %v off", ahead, args[0], out.String(), off)
			}
		}
	}
}

// A program's own end is its own.
func TestExit(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exit 3")
	if err := faketime.Run(t, cmd, time.Hour); err == nil || cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("%v, %v; want exit status 3", err, cmd.ProcessState)
	}
	if err := faketime.Run(t, exec.Command("/nowhere/program"), time.Hour); err == nil {
		t.Error("a program that is not there has run")
	}
}

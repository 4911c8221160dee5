package console_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/hal/console"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
)

// patience is far more than anything here takes.
const patience = 60 * time.Second

// plug puts a panel on a new pair of terminals behind the name of the port.
// The panel says hello, hands on the words it is told and answers them. What
// it does ends when it is unplugged.
func plug(t *testing.T, port string) (pty *haltest.Pty, words <-chan string) {
	t.Helper()
	pty = haltest.NewPty(t)
	if err := os.Remove(port); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.Symlink(pty.Path, port); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 100)
	done := make(chan struct{})
	t.Cleanup(func() { pty.Unplug(); <-done })
	go func() {
		defer close(done)
		fmt.Fprint(pty.Master, "HELLO test\r\n")
		for lines := bufio.NewScanner(pty.Master); lines.Scan(); {
			word, seq, err := console.ParseFrame(lines.Bytes())
			if err != nil {
				word = err.Error()
			}
			select {
			case told <- word:
			default:
			}
			fmt.Fprintf(pty.Master, "OK %d\r\n", seq)
		}
	}()
	return pty, told
}

func next(t *testing.T, what string, c <-chan string) string {
	t.Helper()
	select {
	case s := <-c:
		return s
	case <-time.After(patience):
		t.Fatalf("no %s in %v", what, patience)
		return ""
	}
}

// The whole way: a port that is not there yet, a panel, its cable pulled out
// and put in again elsewhere.
func TestPanelOnATerminal(t *testing.T) {
	t.Parallel()
	port := filepath.Join(t.TempDir(), "panel")
	tr := &troubles{news: make(chan string, 100)}
	p := &console.Panel{Port: port, Trouble: tr.tell}
	show(t, p, "starting")
	run(t, p)
	if got := next(t, "trouble", tr.news); !strings.Contains(got, "no such file") {
		t.Errorf("told %q of a port that is not there", got)
	}

	pty, words := plug(t, port)
	if got := next(t, "word", words); got != "starting" {
		t.Errorf("the panel was told %q, want starting", got)
	}
	if got := next(t, "trouble", tr.news); got != "<nil>" {
		t.Errorf("told %q of a panel that answers", got)
	}
	show(t, p, "ready")
	if got := next(t, "word", words); got != "ready" {
		t.Errorf("the panel was told %q, want ready", got)
	}

	pty.Unplug()
	if got := next(t, "trouble", tr.news); !strings.Contains(got, "panel "+port) {
		t.Errorf("told %q of a panel that was pulled out", got)
	}
	show(t, p, "blocked+u")
	_, words = plug(t, port)
	if got := next(t, "word", words); got != "blocked+u" {
		t.Errorf("the panel was told %q after its return, want blocked+u", got)
	}
}

// A panel that is set to another speed, or no panel at all.
func TestPanelOnATerminalThatTalksNonsense(t *testing.T) {
	t.Parallel()
	pty := haltest.NewPty(t)
	tr := &troubles{news: make(chan string, 100)}
	p := &console.Panel{Port: pty.Path, Trouble: tr.tell}
	run(t, p)
	show(t, p, "ready")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := pty.Master.WriteString(strings.Repeat("\xf0\x00OK ", 20)); err != nil {
				return
			}
		}
	}()
	got := next(t, "trouble", tr.news)
	close(stop)
	pty.Unplug() // ends a write that waits for a reader
	<-done
	if !strings.Contains(got, "something else than answers") {
		t.Errorf("told %q of a panel that talks nonsense", got)
	}
}

// 10,000 lines of noise on the line, and answers between: every word arrives, and
// the panel counts as there.
func TestPanelOnANoisyTerminal(t *testing.T) {
	t.Parallel()
	port := filepath.Join(t.TempDir(), "panel")
	tr := &troubles{news: make(chan string, 100)}
	p := &console.Panel{Port: port, Trouble: tr.tell}
	pty, words := plug(t, port)
	run(t, p)
	rng := rand.New(rand.NewPCG(3, 4))
	before := "" // it is told again after each hello
	for i := range 100 {
		want := fmt.Sprintf("word-%d", i)
		show(t, p, want)
		for got := ""; got != want; {
			if got = next(t, "word", words); got != want && got != before {
				t.Fatalf("the panel was told %q, want %q", got, want)
			}
		}
		before = want
		for range 100 {
			noise := make([]byte, rng.IntN(80))
			for j := range noise {
				noise[j] = byte(rng.Uint32())
			}
			// Now and then the panel says hello again, so that the noise is no
			// reason to close the port.
			if _, err := fmt.Fprintf(pty.Master, "%s\nHELLO\n", noise); err != nil {
				t.Fatal(err)
			}
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.told) > 0 && tr.told[0] != "<nil>" || len(tr.told) > 1 {
		t.Errorf("told %q of a panel that answers", tr.told)
	}
}

// The kernel itself lets the write block.
func TestPanelOnATerminalThatBlocks(t *testing.T) {
	t.Parallel()
	port := filepath.Join(t.TempDir(), "panel")
	tr := &troubles{news: make(chan string, 100)}
	p := &console.Panel{Port: port, Trouble: tr.tell}
	pty, words := plug(t, port)
	run(t, p)
	show(t, p, "ready")
	if got := next(t, "word", words); got != "ready" {
		t.Fatalf("the panel was told %q, want ready", got)
	}
	if err := pty.Stop(); err != nil {
		t.Fatal(err)
	}
	show(t, p, "blocked")
	if got := next(t, "trouble", tr.news); !strings.Contains(got, "could not be written") {
		t.Errorf("told %q of a write that blocks", got)
	}
	if err := pty.Go(); err != nil {
		t.Fatal(err)
	}
	for {
		if got := next(t, "word", words); got == "blocked" {
			break
		}
	}
	if got := next(t, "trouble", tr.news); got != "<nil>" {
		t.Errorf("told %q of a panel that answers again", got)
	}
}

func TestCheckConsole(t *testing.T) {
	pty := haltest.NewPty(t)
	var st unix.Stat_t
	if err := unix.Stat(pty.Path, &st); err != nil {
		t.Fatal(err)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	link := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(pty.Path, link); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, port, consoles string
		wantErr              string
	}{
		{"none", pty.Path, "", ""},
		{"another", pty.Path, "ttyS0                -W- (EC  p a)    4:64\n", ""},
		{"this one", pty.Path, "tty0 -WU (EC p  ) 4:1\nttyX -W- (EC p a) " + number + "\n", "is a console"},
		{"by another name", link, "ttyX                 -W- (EC  p a)    " + number, "is a console"},
		{"only the name agrees", pty.Path, filepath.Base(pty.Path) + " -W- (EC p a)", "is a console"},
		{"odd list", pty.Path, "\n \n\x00\n", ""},
		{"not there", link + "x", "", "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := filepath.Join(t.TempDir(), "consoles")
			if err := os.WriteFile(list, []byte(tt.consoles), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := console.CheckConsole(tt.port, list); !matches(err, tt.wantErr) {
				t.Errorf("err = %v, want %q", err, tt.wantErr)
			}
		})
	}
	if err := console.CheckConsole(pty.Path, "/does/not/exist"); err != nil {
		t.Errorf("a system without a list: %v", err)
	}
}

func TestOpenPortRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, file + "x", "/dev/null"} {
		if port, err := console.OpenPort(name, 115200); err == nil {
			_ = port.Close()
			t.Errorf("%s was opened as a serial port", name)
		}
	}
	if _, err := os.Stat("/dev/console"); err != nil {
		t.Logf("not looked at: /dev/console: %v", err)
	} else if _, err := console.OpenPort("/dev/console", 115200); !matches(err, "is a console") {
		t.Errorf("/dev/console: err = %v", err)
	}
}

package console_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/hal/console"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
)

const sketch = "../../packaging/panel/sprechprobe-panel/sprechprobe-panel.ino"

// buildSketch compiles the example panel for this computer.
func buildSketch(t *testing.T) string {
	t.Helper()
	compiler := lab.Program(t, "g++", "g++")
	out := filepath.Join(t.TempDir(), "panel")
	cmd := exec.Command(compiler, "-Wall", "-Wextra", "-Werror", "-O1", "-I", "testdata/arduino", "-o", out,
		"testdata/arduino/main.cpp", "-include", "Arduino.h", "-x", "c++", sketch)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	return out
}

// panelSketch is the example panel, with a clock that goes as it is told.
type panelSketch struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func startSketch(t *testing.T) *panelSketch {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), buildSketch(t))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return &panelSketch{t, in, bufio.NewScanner(out)}
}

// do obeys a line and returns what was said on the port and the pins that were
// told.
func (p *panelSketch) do(line string) (said, pins string) {
	p.t.Helper()
	fmt.Fprintln(p.in, line)
	for p.out.Scan() {
		switch kind, text, _ := strings.Cut(p.out.Text(), " "); kind {
		case "s":
			b, err := hex.DecodeString(text)
			if err != nil {
				p.t.Fatal(err)
			}
			said += string(b)
		case "p":
			pins = text
		case ".":
			return said, pins
		}
	}
	p.t.Fatalf("the panel has died of %q: %v", line, p.out.Err())
	return "", ""
}

// hear gives bytes to the panel's port and returns its answer.
func (p *panelSketch) hear(b []byte) string {
	p.t.Helper()
	said, _ := p.do("i " + hex.EncodeToString(b))
	return said
}

func (p *panelSketch) tell(word string, seq uint16) string {
	p.t.Helper()
	frame, err := console.Frame(word, seq)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.hear(frame)
}

// letters are the pins of red, yellow and green for each colour.
var letters = map[string]string{"000": "-", "100": "R", "010": "Y", "001": "G", "101": "B", "111": "W"}

// shows is what the panel shows for some beats.
func (p *panelSketch) shows(beats int) (picture string, builtin bool) {
	p.t.Helper()
	for range beats {
		_, pins := p.do("b")
		picture += letters[pins[:3]]
		builtin = pins[3] == '1'
	}
	return picture, builtin
}

// The panel shows each word in the rhythm of the lamps.
func TestSketchShowsWhatTheLampsShow(t *testing.T) {
	p := startSketch(t)
	if said := p.hear(nil); said != "HELLO sprechprobe-panel 1\r\n" {
		t.Errorf("it starts with %q", said)
	}
	seq := uint16(65530)
	for _, s := range light.States() {
		for _, unheard := range []bool{true, false} {
			show := light.Show{State: s, Unheard: unheard}
			seq++
			if said, want := p.tell(show.String(), seq), fmt.Sprintf("OK %d\r\n", seq); said != want {
				t.Errorf("%v is answered with %q, want %q", show, said, want)
			}
			want := show.Pattern(light.All, light.Color).String()
			got, builtin := p.shows(len(want))
			if unheard && (got != want || !builtin) {
				t.Errorf("%v: it shows %s, built in %v, want %s", show, got, builtin, want)
			}
			// The same word again goes on in its rhythm.
			if again, builtin := p.shows(len(want)); again != want || builtin != unheard {
				t.Errorf("%v: it goes on with %s, built in %v, want %s", show, again, builtin, want)
			}
		}
	}
	if got := p.tell("a-word-of-tomorrow", 1); got != "OK 1\r\n" {
		t.Errorf("a word of tomorrow is answered with %q", got)
	}
	want := light.Show{State: light.Unknown}.Pattern(light.All, light.Color).String()
	if got, _ := p.shows(len(want)); got != want {
		t.Errorf("a word of tomorrow is shown as %s, want that of unknown: %s", got, want)
	}
}

// A box that has died, or that does not answer for its word any more, is lost
// after 15 s, and found again by its next word.
func TestSketchShowsThatTheBoxIsLost(t *testing.T) {
	p := startSketch(t)
	p.hear(nil)
	p.tell("ready", 1)
	ready := light.Show{State: light.Ready}.Pattern(light.All, light.Color).String()
	if got, _ := p.shows(48); got != strings.Repeat(ready, 3) { // 12 s
		t.Errorf("it shows %s", got)
	}
	p.do("w 3000")
	if got, _ := p.shows(32); strings.Trim(strings.ReplaceAll(got, "BBBBYYYY", ""), "BY") != "" || !strings.Contains(got, "BBBBYYYYBBBB") {
		t.Errorf("after 15 s it shows %s, want that the box is lost", got)
	}
	p.tell("blocked", 2)
	want := light.Show{State: light.Blocked}.Pattern(light.All, light.Color).String()
	if got, _ := p.shows(len(want)); got != want {
		t.Errorf("once it is told again it shows %s, want %s", got, want)
	}
}

// Both sides agree on what is a line: 10,000 lines of noise, most of them almost
// right.
func TestSketchWithNoise(t *testing.T) {
	p := startSketch(t)
	p.hear(nil)
	rng := rand.New(rand.NewPCG(5, 6))
	right := 0
	for i := range 10000 {
		frame, err := console.Frame([]string{"ready", "blocked+u", "x", strings.Repeat("a", 32)}[rng.IntN(4)], uint16(rng.Uint32()))
		if err != nil {
			t.Fatal(err)
		}
		line := bytes.TrimSuffix(frame, []byte("\n"))
		for range rng.IntN(3) {
			switch at := rng.IntN(len(line)); rng.IntN(4) {
			case 0:
				line[at] = byte(rng.Uint32())
			case 1:
				line = append(line[:at:at], line[at+1:]...)
			case 2:
				line = append(line[:at:at], append([]byte{byte(rng.Uint32())}, line[at:]...)...)
			default:
				line = append(line, line[:at]...)
			}
		}
		if bytes.ContainsAny(line, "\n\r") || len(line) == 0 {
			continue
		}
		want := ""
		if _, seq, err := console.ParseFrame(line); err == nil {
			want = fmt.Sprintf("OK %d\r\n", seq)
			right++
		}
		if got := p.hear(append(line, '\n')); got != want {
			t.Fatalf("line %d, %q, is answered with %q, want %q", i, line, got, want)
		}
	}
	if right < 1000 || right > 9000 {
		t.Errorf("%d of 10000 lines were right", right)
	}
}

// The example panel on a serial port, told by the box's own side.
func TestSketchOnATerminal(t *testing.T) {
	t.Parallel()
	program := buildSketch(t)
	port := filepath.Join(t.TempDir(), "panel")
	tr := &troubles{news: make(chan string, 100)}
	p := &console.Panel{Port: port, Trouble: tr.tell}
	show(t, p, "blocked+u")
	run(t, p)
	if got := next(t, "trouble", tr.news); !strings.Contains(got, "no such file") {
		t.Errorf("told %q of a port that is not there", got)
	}
	pty := haltest.NewPty(t)
	cmd := exec.CommandContext(t.Context(), program, "live")
	cmd.Stdin, cmd.Stdout = pty.Master, pty.Master
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if err := os.Symlink(pty.Path, port); err != nil {
		t.Fatal(err)
	}
	if got := next(t, "trouble", tr.news); got != "<nil>" {
		t.Errorf("told %q of a panel that answers", got)
	}
}

// The sketch compiles for the board that it is for.
func TestSketchCompilesForTheBoard(t *testing.T) {
	compiler := lab.Program(t, "avr-g++", "arduino-core-avr")
	const arduino = "/usr/share/arduino/hardware/arduino/avr/"
	if _, err := os.Stat(arduino + "cores/arduino/Arduino.h"); err != nil {
		lab.LeaveOut(t, "there is no Arduino.h (Debian package arduino-core-avr)")
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "sketch.cpp")
	text, err := os.ReadFile(sketch)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, append([]byte("#include <Arduino.h>\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	for variant, chip := range map[string]string{"standard": "atmega328p", "leonardo": "atmega32u4"} {
		cmd := exec.Command(compiler, "-mmcu="+chip, "-DF_CPU=16000000L", "-DARDUINO=10819", "-DARDUINO_ARCH_AVR", "-DUSB_VID=0x2341", "-DUSB_PID=0x8036",
			"-Os", "-Wall", "-Wextra", "-fno-exceptions", "-I", arduino+"cores/arduino", "-I", arduino+"variants/"+variant,
			"-c", "-o", filepath.Join(dir, variant+".o"), source)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", variant, err, text)
		}
	}
}

// The example in the description of the protocol is one.
func TestDescriptionOfTheProtocol(t *testing.T) {
	text, err := os.ReadFile("../../packaging/panel/README.md")
	if err != nil {
		t.Fatal(err)
	}
	frame, err := console.Frame("ready", 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(frame)); !strings.Contains(string(text), "`"+want+"`") {
		t.Errorf("the description has no %s", want)
	}
}

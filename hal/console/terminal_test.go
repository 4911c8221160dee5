package console_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/sprechprobe/sprechprobe/hal/console"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
)

// typist is a far end: what it types is read, what is written is its screen.
type typist struct {
	io.Reader
	screen bytes.Buffer
}

func (t *typist) Write(b []byte) (int, error) { return t.screen.Write(b) }

// lines reads all lines of what was typed.
func lines(in io.Reader) (got []string, screen string) {
	far := &typist{Reader: in}
	d := console.NewDialogue(far)
	for {
		line, err := d.ReadLine("> ")
		if err != nil {
			return got, far.screen.String()
		}
		got = append(got, line)
	}
}

func TestEditing(t *testing.T) {
	tests := []struct {
		name, typed string
		want        []string
	}{
		{"return", "status\r", []string{"status"}},
		{"line feed", "status\n", []string{"status"}},
		{"both", "status\r\nwhy\r\n", []string{"status", "why"}},
		{"empty lines", "\r\r\n\n", []string{"", "", ""}},
		{"backspace", "sta\x7f\x08\x08\x08\x08why\r", []string{"why"}},
		{"erase the line", "status\x15why\r", []string{"why"}},
		{"erase a word", "lang de\x17en\r", []string{"lang en"}},
		{"cancel", "status\x03why\r", []string{"", "why"}},
		{"the line before", "status\r\x1b[A\r", []string{"status", "status"}},
		{"the line before, changed", "lang de\r\r\x1bOA\x7f\x7fen\r", []string{"lang de", "", "lang en"}},
		{"other keys", "st\x1b[C\x1b[1;5D\x1b[3~at\x1bxus\r", []string{"status"}},
		{"umlauts", "pr\xc3\xbcfen\r", []string{"prüfen"}},
		{"an umlaut erased", "pr\xc3\xbc\x7fu\r", []string{"pru"}},
		{"half an umlaut", "pr\xc3fen\r", []string{"pren"}},
		{"control characters", "st\x00a\x07t\x01u\x1f\x09s\r", []string{"status"}},
		{"wide letters", "st\xe6\x97\xa5at\xf0\x9f\x98\x80us\r", []string{"status"}},
		{"too long", strings.Repeat("x", 500) + "\r", []string{strings.Repeat("x", 120)}},
		{"no end", "status", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(tt.typed), iotest.OneByteReader(strings.NewReader(tt.typed))} {
				if got, _ := lines(in); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
		})
	}
}

// What a screen shows after echoes and erasing is what was typed.
func TestEcho(t *testing.T) {
	_, screen := lines(strings.NewReader("sta\x7f\x7f\x7f\x7fwhy\r"))
	if want := "> sta\b \b\b \b\b \bwhy\r\n> "; screen != want {
		t.Errorf("screen got %q, want %q", screen, want)
	}
}

// What comes out of any bytes prints, is short, and does not depend on how the
// bytes were cut; and nothing but text and erasing goes back.
func FuzzEditing(f *testing.F) {
	f.Add([]byte("status\r\nwhy\x7f\x1b[A\r"), uint8(3))
	f.Add([]byte("\x1b["+strings.Repeat("0", 300)), uint8(1))
	f.Add([]byte("\xff\xfe\xc3\x28\x00\r\x03\x15"), uint8(2))
	f.Fuzz(func(t *testing.T, typed []byte, cut uint8) {
		whole, screen := lines(bytes.NewReader(typed))
		i := min(int(cut), len(typed))
		parts, _ := lines(io.MultiReader(bytes.NewReader(typed[:i]), iotest.OneByteReader(bytes.NewReader(typed[i:]))))
		if fmt.Sprint(whole) != fmt.Sprint(parts) {
			t.Errorf("%q in one: %q, in parts: %q", typed, whole, parts)
		}
		for _, l := range whole {
			if len([]rune(l)) > 120 || strings.IndexFunc(l, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
				t.Errorf("%q gave the line %q", typed, l)
			}
		}
		if strings.IndexFunc(screen, func(r rune) bool { return !unicode.IsPrint(r) && !strings.ContainsRune("\b\r\n", r) }) >= 0 {
			t.Errorf("%q echoed %q", typed, screen)
		}
	})
}

// parrot answers each line with itself, until it is told to give up.
func parrot(d *console.Dialogue) error {
	for {
		line, err := d.ReadLine("> ")
		if err != nil {
			return err
		}
		if line == "give up" {
			return errors.New("it gave up")
		}
		fmt.Fprintf(d, "heard %s\n", line)
	}
}

// serve runs a terminal until the test ends.
func serve(t *testing.T, term *console.Terminal, f func(*console.Dialogue) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- term.Run(ctx, f) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

// await reads from the far end until it sees a text.
func await(t *testing.T, pty *haltest.Pty, text string) {
	t.Helper()
	var seen strings.Builder
	b := make([]byte, 256)
	for !strings.Contains(seen.String(), text) {
		n, err := pty.Master.Read(b)
		if err != nil {
			t.Fatalf("reading until %q: %v; so far %q", text, err, seen.String())
		}
		seen.Write(b[:n])
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	port := filepath.Join(t.TempDir(), "console")
	tr := &troubles{news: make(chan string, 100)}
	serve(t, &console.Terminal{Port: port, Trouble: tr.tell}, parrot)
	if got := next(t, "trouble", tr.news); !strings.Contains(got, "no such file") {
		t.Errorf("told %q of a port that is not there", got)
	}
	plugIn := func() *haltest.Pty {
		pty := haltest.NewPty(t)
		_ = os.Remove(port)
		if err := os.Symlink(pty.Path, port); err != nil {
			t.Fatal(err)
		}
		return pty
	}
	for range 2 { // plugged in, pulled out, plugged in elsewhere
		pty := plugIn()
		if got := next(t, "trouble", tr.news); got != "<nil>" {
			t.Errorf("told %q of a terminal that is there", got)
		}
		await(t, pty, "> ")
		fmt.Fprint(pty.Master, "statux\x7fs\r")
		await(t, pty, "heard status\r\n> ")
		pty.Unplug()
		if got := next(t, "trouble", tr.news); !strings.Contains(got, "console: ") {
			t.Errorf("told %q of a terminal that was pulled out", got)
		}
	}
}

func TestTerminalAfterADialogueThatFailed(t *testing.T) {
	t.Parallel()
	pty := haltest.NewPty(t)
	tr := &troubles{news: make(chan string, 100)}
	serve(t, &console.Terminal{Port: pty.Path, Trouble: tr.tell}, parrot)
	await(t, pty, "> ")
	fmt.Fprint(pty.Master, "give up\r")
	if got := next(t, "trouble", tr.news); !strings.Contains(got, "it gave up") {
		t.Errorf("told %q", got)
	}
	if got := next(t, "trouble", tr.news); got != "<nil>" {
		t.Errorf("told %q of a terminal that is there again", got)
	}
	await(t, pty, "> ")
}

// Nobody reads: the kernel's buffer is full, and writing blocks.
func TestTerminalThatBlocks(t *testing.T) {
	t.Parallel()
	pty := haltest.NewPty(t)
	tr := &troubles{news: make(chan string, 100)}
	serve(t, &console.Terminal{Port: pty.Path, Trouble: tr.tell}, func(d *console.Dialogue) error {
		for {
			if _, err := fmt.Fprintln(d, strings.Repeat("talk ", 100)); err != nil {
				return err
			}
		}
	})
	if got := next(t, "trouble", tr.news); !strings.Contains(got, "could not be written") {
		t.Errorf("told %q of a terminal that takes nothing", got)
	}
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, pty.Master) }()
	defer func() { pty.Unplug(); <-drained }()
	if got := next(t, "trouble", tr.news); got != "<nil>" {
		t.Errorf("told %q of a terminal that reads again", got)
	}
}

// 10,000 lines of noise, with sense between them: the sense is found, and the
// answers stay whole.
func TestTerminalWithNoise(t *testing.T) {
	t.Parallel()
	pty := haltest.NewPty(t)
	serve(t, &console.Terminal{Port: pty.Path}, func(d *console.Dialogue) error {
		for n := 0; ; {
			line, err := d.ReadLine("")
			if err != nil {
				return err
			}
			if line == "status" {
				n++
				fmt.Fprintf(d, "<%d>\n", n)
			}
		}
	})
	rng := rand.New(rand.NewPCG(1, 2))
	var found [][]byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, 4096); ; {
			n, err := pty.Master.Read(b)
			if err != nil {
				return
			}
			found = append(found, bytes.Clone(b[:n]))
			if bytes.Contains(bytes.Join(found, nil), []byte("<100>")) {
				return
			}
		}
	}()
	for i := range 10000 {
		noise := make([]byte, rng.IntN(80))
		for j := range noise {
			noise[j] = byte(rng.Uint32())
		}
		line := append(noise, '\r')
		if i%100 == 99 {
			line = append(line, "\x1bx\x15status\r"...) // whatever stood there is erased
		}
		if _, err := pty.Master.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	pty.Unplug()
	all := string(bytes.Join(found, nil))
	for n := 1; n <= 100; n++ {
		if !strings.Contains(all, fmt.Sprintf("<%d>\r\n", n)) {
			t.Fatalf("answer %d is missing", n)
		}
	}
}

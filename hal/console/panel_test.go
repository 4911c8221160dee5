package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sprechprobe/sprechprobe/hal/console"
)

// cable is a port whose far end is a function of the lines it gets.
type cable struct {
	answer func(line string) string // nil: never
	start  time.Time
	in     chan []byte // what the panel says
	closed chan struct{}
	once   sync.Once
	block  chan struct{} // writes wait for it, if not nil

	mu   sync.Mutex
	got  []string // "5s ready 2"
	rest []byte
}

func newCable(answer func(string) string) *cable {
	return &cable{answer: answer, start: time.Now(), in: make(chan []byte, 1000), closed: make(chan struct{})}
}

func (c *cable) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		select {
		case c.rest = <-c.in:
		case <-c.closed:
			return 0, errors.New("port has been closed")
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *cable) Write(b []byte) (int, error) {
	if c.block != nil {
		<-c.block
	}
	select {
	case <-c.closed:
		return 0, errors.New("write to a closed port")
	default:
	}
	line := strings.TrimSuffix(string(b), "\n")
	word, seq, err := console.ParseFrame([]byte(line))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, fmt.Sprintf("%v %s %d %v", time.Since(c.start), word, seq, err))
	if c.answer != nil {
		c.in <- []byte(c.answer(line))
	}
	return len(b), nil
}

// Close also serves as pulling the cable out.
func (c *cable) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func (c *cable) lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.got...)
}

// polite answers as a panel should.
func polite(line string) string {
	_, seq, _ := console.ParseFrame([]byte(line))
	return fmt.Sprintf("OK %d\r\n", seq)
}

// troubles collects what a panel's Trouble was told.
type troubles struct {
	mu   sync.Mutex
	told []string
	news chan string // also gets them, if not nil
}

func (t *troubles) tell(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = append(t.told, fmt.Sprint(err))
	if t.news != nil {
		t.news <- fmt.Sprint(err)
	}
}

func (t *troubles) want(tb testing.TB, want ...string) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if diff := cmp.Diff(want, t.told, cmpopts.EquateEmpty()); diff != "" {
		tb.Errorf("told (-want +got):\n%s", diff)
	}
}

// run runs a panel whose word is kept, until the test ends or stop is called.
func run(t *testing.T, p *console.Panel) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go keep(ctx, p)
	go func() { done <- p.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func keep(ctx context.Context, p *console.Panel) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		p.Keep()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func show(t *testing.T, p *console.Panel, word string) {
	t.Helper()
	if err := p.Show(word); err != nil {
		t.Fatal(err)
	}
}

// on makes a panel on cables, one for each time its port is opened.
func on(tr *troubles, cables ...*cable) *console.Panel {
	return &console.Panel{
		Port:    "/dev/ttyUSB0",
		Trouble: tr.tell,
		Open: func(name string, baud int) (io.ReadWriteCloser, error) {
			if name != "/dev/ttyUSB0" || baud != 115200 {
				return nil, fmt.Errorf("opened %s at %d", name, baud)
			}
			if len(cables) == 0 {
				return nil, errors.New("no such file")
			}
			c := cables[0]
			cables = cables[1:]
			return c, nil
		},
	}
}

func TestPanelTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr troubles
		c := newCable(polite)
		c.in <- []byte("\x00garbage of a boot loader\nHELLO traffic light 1.0\n")
		p := on(&tr, c)
		run(t, p)
		time.Sleep(3 * time.Second) // there is no word yet
		show(t, p, "checking")
		time.Sleep(4 * time.Second)
		show(t, p, "ready")
		show(t, p, "ready")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want := []string{
			"3s checking 1 <nil>", "5s checking 2 <nil>", "7s ready 3 <nil>", "10s ready 4 <nil>",
		}
		if diff := cmp.Diff(want, c.lines()); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		tr.want(t)
	})
}

// An Arduino restarts when its port is opened, and loses what it is told then.
func TestPanelWaitsForHello(t *testing.T) {
	tests := []struct {
		name  string
		hello time.Duration // 0: none
		want  string
	}{
		{"early", 700 * time.Millisecond, "700ms ready 1 <nil>"},
		{"none", 0, "2s ready 1 <nil>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tr troubles
				c := newCable(polite)
				p := on(&tr, c)
				show(t, p, "ready")
				run(t, p)
				if tt.hello > 0 {
					time.Sleep(tt.hello)
					c.in <- []byte("HELLO\n")
				}
				time.Sleep(3*time.Second - tt.hello)
				synctest.Wait()
				if got := c.lines(); len(got) != 1 || got[0] != tt.want {
					t.Errorf("lines %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestPanelIsToldAgainAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr troubles
		c := newCable(polite)
		p := on(&tr, c)
		show(t, p, "ready")
		run(t, p)
		time.Sleep(3 * time.Second)
		c.in <- []byte("HELLO\n")
		synctest.Wait()
		if got, want := c.lines(), []string{"2s ready 1 <nil>", "3s ready 2 <nil>"}; !cmp.Equal(got, want) {
			t.Errorf("lines %q, want %q", got, want)
		}
	})
}

// A panel may only listen; somebody is told once, and it is served on.
func TestPanelNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr troubles
		c := newCable(nil)
		p := on(&tr, c)
		show(t, p, "ready")
		run(t, p)
		time.Sleep(2*time.Second + 10*time.Minute)
		synctest.Wait()
		if n := len(c.lines()); n != 121 {
			t.Errorf("%d lines in ten minutes, want 121", n)
		}
		tr.want(t, "panel /dev/ttyUSB0: no answer")
		c.in <- []byte("OK 121\n")
		synctest.Wait()
		tr.want(t, "panel /dev/ttyUSB0: no answer", "<nil>")
	})
}

func TestPanelAnswersGarbage(t *testing.T) {
	tests := []struct {
		name   string
		answer string
		told   []string
	}{
		{"a little", "OK 60000\nok\n", []string{"panel /dev/ttyUSB0: no answer"}},
		{"echo", "", []string{"panel /dev/ttyUSB0: no answer"}},
		{"a lot", strings.Repeat("\xff", 5000), []string{"panel /dev/ttyUSB0: it sends something else than answers", "open panel: no such file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tr troubles
				c := newCable(func(line string) string {
					if tt.answer == "" {
						return line + "\n"
					}
					return tt.answer
				})
				p := on(&tr, c)
				show(t, p, "ready")
				run(t, p)
				time.Sleep(time.Minute)
				synctest.Wait()
				tr.want(t, tt.told...)
			})
		})
	}
}

func TestPanelIsOpenedEverLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		var tries []string
		c := newCable(polite)
		p := &console.Panel{Port: "/dev/ttyUSB0", Open: func(string, int) (io.ReadWriteCloser, error) {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, time.Since(start).String())
			if len(tries) == 8 {
				return c, nil
			}
			return nil, errors.New("no such file")
		}}
		show(t, p, "ready")
		run(t, p)
		time.Sleep(2*time.Minute + time.Second)
		c.in <- []byte("HELLO\n")
		synctest.Wait()
		time.Sleep(10 * time.Second)
		_ = c.Close() // pulled out, after it has answered
		time.Sleep(4 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		want := []string{"0s", "1s", "3s", "7s", "15s", "31s", "1m1s", "1m31s", "2m12s", "2m14s"}
		if diff := cmp.Diff(want, tries); diff != "" {
			t.Errorf("opened at (-want +got):\n%s", diff)
		}
	})
}

// A write may block for ever. The panel is given up then, and its port not
// opened again before that write has ended; nobody else waits.
func TestPanelWriteBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr troubles
		stuck, good := newCable(polite), newCable(polite)
		stuck.block = make(chan struct{})
		p := on(&tr, stuck, good)
		show(t, p, "ready")
		run(t, p)
		time.Sleep(time.Hour)
		synctest.Wait()
		show(t, p, "blocked")
		tr.want(t, "panel /dev/ttyUSB0: a line could not be written in 5s")
		if n := len(good.lines()); n != 0 {
			t.Fatalf("%d lines went to the port while a write was stuck on it", n)
		}
		close(stuck.block)
		time.Sleep(2*time.Second + time.Millisecond)
		synctest.Wait()
		if got := good.lines(); len(got) != 1 || !strings.HasSuffix(got[0], "blocked 2 <nil>") {
			t.Errorf("lines %q, want the newest word", got)
		}
		tr.want(t, "panel /dev/ttyUSB0: a line could not be written in 5s", "<nil>")
	})
}

func TestPanelStopsWhileAWriteBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr troubles
		stuck := newCable(polite)
		stuck.block = make(chan struct{})
		p := on(&tr, stuck)
		show(t, p, "ready")
		stop := run(t, p)
		time.Sleep(3 * time.Second)
		start := time.Now()
		stop()
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("stopping took %v", took)
		}
		close(stuck.block) // for the test's sake: nothing may be left in it
		tr.want(t)
	})
}

func TestPanelWriteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tr troubles
		first, second := newCable(polite), newCable(polite)
		p := on(&tr, first, second)
		run(t, p)
		time.Sleep(4 * time.Second)
		_ = first.Close()
		show(t, p, "ready")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if n := len(second.lines()); n != 1 {
			t.Errorf("%d lines after the panel came back, want 1", n)
		}
		tr.mu.Lock()
		defer tr.mu.Unlock()
		if len(tr.told) != 2 || !strings.HasPrefix(tr.told[0], "panel /dev/ttyUSB0: ") || tr.told[1] != "<nil>" {
			t.Errorf("told %q, want the loss and the return", tr.told)
		}
	})
}

func TestShowRefusesWhatIsNoWord(t *testing.T) {
	p := &console.Panel{}
	if err := p.Show("blocked\n>STATE ready 1"); !matches(err, "want 1 to 32") {
		t.Errorf("Show: err = %v", err)
	}
}

// Whoever knows the truth hangs: the panel is told nothing any more, and says by
// itself that the box is lost.
func TestPanelIsNotToldWhatNobodyKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCable(polite)
		tr := &troubles{}
		p := on(tr, c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		show(t, p, "ready")
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"2s ready 1 <nil>", "7s ready 2 <nil>", "12s ready 3 <nil>"}
		if diff := cmp.Diff(want, c.lines()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		p.Keep()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		want = append(want, "1m2s ready 4 <nil>")
		if diff := cmp.Diff(want, c.lines()); diff != "" {
			t.Errorf("told once it is kept (-want +got):\n%s", diff)
		}
		cancel()
		<-done
		tr.want(t)
	})
}

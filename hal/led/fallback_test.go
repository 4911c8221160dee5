package led_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// Whoever knows the truth hangs: its last word must not stand. When it is back,
// so is what it had said.
func TestEngineFallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := haltest.NewLight("all")
		e := led.NewEngine([]hal.Light{l}, nil)
		e.Fallback(20*time.Second, "stuck", patterns{"all": hal.Steady(hal.Red)})
		start := time.Now()
		run(t, e)
		e.Show("fine", patterns{"all": hal.Steady(hal.Green)})
		for range 10 { // kept for 50 s
			time.Sleep(5 * time.Second)
			if !e.Keep() {
				t.Error("the lights are said not to follow, but they do")
			}
		}
		time.Sleep(40 * time.Second) // hangs
		e.Keep()
		time.Sleep(time.Second)
		synctest.Wait()
		if got, want := film(l, start), "0s=G 1m10s=R 1m30s=G"; got != want {
			t.Errorf("showed %s, want %s", got, want)
		}
	})
}

func TestEngineShowsNewsAfterTheFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, video := haltest.NewLight("box"), haltest.NewLight("video")
		e := led.NewEngine([]hal.Light{box, video}, nil)
		both := func(c hal.Color) patterns { return patterns{"box": hal.Steady(c), "video": hal.Steady(c)} }
		e.Fallback(20*time.Second, "stuck", both(hal.Red))
		start := time.Now()
		run(t, e)
		e.Show("fine", both(hal.Green))
		time.Sleep(30 * time.Second)
		e.Show("news", patterns{"video": hal.Steady(hal.Yellow)})
		time.Sleep(time.Second)
		synctest.Wait()
		if got, want := film(box, start), "0s=G 20s=R 30s=G"; got != want {
			t.Errorf("box showed %s, want %s", got, want)
		}
		if got, want := film(video, start), "0s=G 20s=R 30s=Y"; got != want {
			t.Errorf("video showed %s, want %s", got, want)
		}
	})
}

func TestEngineFallbackIdleCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := led.NewEngine([]hal.Light{haltest.NewLight("all")}, nil)
		e.Fallback(20*time.Second, "stuck", nil)
		run(t, e)
		e.Show("fine", patterns{"all": hal.Steady(hal.Off)})
		synctest.Wait()
		before := e.Wakes()
		for range 12 * 60 { // an hour, kept every five seconds
			time.Sleep(5 * time.Second)
			e.Keep()
		}
		synctest.Wait()
		if got := e.Wakes() - before; got > 4*60 {
			t.Errorf("%d wake-ups in an hour of a kept steady light, want at most four a minute", got)
		}
	})
}

// slow is a light that hangs in its driver.
type slow struct{ free chan struct{} }

func (slow) Name() string          { return "slow" }
func (s slow) Set(hal.Color) error { <-s.free; return nil }
func (slow) Close() error          { return nil }

func TestEngineSaysThatALightHoldsItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := slow{make(chan struct{})}
		e := led.NewEngine([]hal.Light{l}, nil)
		e.Fallback(10*time.Second, "stuck", nil)
		run(t, e)
		e.Show("", patterns{"slow": hal.Steady(hal.Green)})
		follows := func() (ok bool) {
			for range 6 {
				time.Sleep(5 * time.Second)
				ok = e.Keep()
			}
			return ok
		}
		if follows() {
			t.Error("a light that hangs for 30 s was not noticed")
		}
		close(l.free)
		if !follows() {
			t.Error("a light that works again was not noticed")
		}
	})
}

package led_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/haltest"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

// run starts an engine that ends with the test.
func run(t *testing.T, e *led.Engine) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
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

// film is what a light showed since start, as "0s=R 250ms=- ...".
func film(l *haltest.Light, start time.Time) string {
	var shown []string
	for _, c := range l.Seen() {
		shown = append(shown, fmt.Sprintf("%v=%v", c.At.Sub(start), c.Color))
	}
	return strings.Join(shown, " ")
}

type patterns = map[string]hal.Pattern

func TestEnginePlays(t *testing.T) {
	tests := []struct {
		picture string
		watch   time.Duration
		want    string
	}{
		{"G", time.Hour, "0s=G"},
		{"-", time.Hour, "0s=-"},
		{"R-R---", 2 * time.Second, "0s=R 250ms=- 500ms=R 750ms=- 1.5s=R 1.75s=- 2s=R"},
		{"GGGGGGGGGGGGGGG-", 8 * time.Second, "0s=G 3.75s=- 4s=G 7.75s=- 8s=G"},
		{"BBWW", 1500 * time.Millisecond, "0s=B 500ms=W 1s=B 1.5s=W"},
	}
	for _, tt := range tests {
		t.Run(tt.picture, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := haltest.NewLight("all")
				e := led.NewEngine([]hal.Light{l}, nil)
				start := time.Now()
				run(t, e)
				e.Show("", patterns{"all": hal.Picture(tt.picture)})
				time.Sleep(tt.watch)
				synctest.Wait()
				if got := film(l, start); got != tt.want {
					t.Errorf("showed %s\nwant   %s", got, tt.want)
				}
			})
		})
	}
}

// Patterns that are set together stay in step, whenever that is, and the same
// patterns again change nothing.
func TestEngineKeepsStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, video := haltest.NewLight("box"), haltest.NewLight("video")
		e := led.NewEngine([]hal.Light{box, video}, nil)
		start := time.Now()
		run(t, e)
		wink, four := hal.Picture("GGG-"), hal.Picture("R-R---")
		e.Show("", patterns{"box": wink, "video": wink})
		time.Sleep(300 * time.Millisecond)
		e.Show("", patterns{"box": wink, "video": wink, "network": wink}) // again, and a name without a light
		time.Sleep(300 * time.Millisecond)
		e.Show("", patterns{"box": wink, "video": four}) // 600 ms: the video light's is new
		time.Sleep(1600 * time.Millisecond)
		synctest.Wait()
		if got, want := film(box, start), "0s=G 1.35s=- 1.6s=G"; got != want {
			t.Errorf("box   showed %s\nwant         %s", got, want)
		}
		if got, want := film(video, start), "0s=G 600ms=R 850ms=- 1.1s=R 1.35s=- 2.1s=R"; got != want {
			t.Errorf("video showed %s\nwant         %s", got, want)
		}
	})
}

func TestEngineLeavesOtherLightsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, video := haltest.NewLight("box"), haltest.NewLight("video")
		e := led.NewEngine([]hal.Light{box, video}, nil)
		start := time.Now()
		run(t, e)
		e.Show("", patterns{"box": hal.Picture("GGGG-")})
		time.Sleep(500 * time.Millisecond)
		e.Show("", patterns{"video": hal.Steady(hal.Red)})
		time.Sleep(time.Second)
		synctest.Wait()
		if got, want := film(box, start), "0s=G 1s=- 1.25s=G"; got != want {
			t.Errorf("box showed %s, want %s", got, want)
		}
		if got, want := film(video, start), "500ms=R"; got != want {
			t.Errorf("video showed %s, want %s", got, want)
		}
	})
}

func TestEngineIdleCost(t *testing.T) {
	tests := []struct {
		name    string
		picture string
		watch   time.Duration
		want    uint64
	}{
		{"steady", "G", 24 * time.Hour, 0},
		{"dark", "-", 24 * time.Hour, 0},
		{"one colour in two steps", "GG", 24 * time.Hour, 0},
		{"wink, two a cycle for all lights", "GGGGGGGGGGGGGGG-", 10 * 4 * time.Second, 2 * 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := hal.Picture(tt.picture)
				e := led.NewEngine([]hal.Light{haltest.NewLight("box"), haltest.NewLight("network"), haltest.NewLight("video")}, nil)
				run(t, e)
				e.Show("", patterns{"box": p, "network": p, "video": p})
				synctest.Wait()
				before := e.Wakes()
				time.Sleep(tt.watch)
				synctest.Wait()
				if got := e.Wakes() - before; got != tt.want {
					t.Errorf("%d wake-ups in %v, want %d", got, tt.watch, tt.want)
				}
			})
		})
	}
}

// A light that vanishes is reported once, tried less and less often, and shows
// what is due when it is back; the others never notice.
func TestEngineSurvivesALight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := haltest.NewLight("box"), haltest.NewLight("video")
		var told []string
		e := led.NewEngine([]hal.Light{bad, good}, func(light string, err error) {
			told = append(told, fmt.Sprintf("%s: %v", light, err))
		})
		bad.Fail(errors.New("no such device"))
		run(t, e)
		e.Show("", patterns{"box": hal.Picture("G-"), "video": hal.Picture("RR--")})
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := bad.Tries(); n < 60 || n > 70 {
			t.Errorf("a light that failed for an hour was tried %d times, want about once a minute", n)
		}
		if n := len(good.Seen()); n != 4*60*60+1 {
			t.Errorf("the good light changed %d times in an hour of 250 ms, want %d", n, 4*60*60+1)
		}
		bad.Fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		e.Show("", patterns{"video": hal.Steady(hal.Yellow)})
		synctest.Wait()
		if shown := bad.Seen(); len(shown) == 0 || shown[len(shown)-1].Color != hal.Yellow {
			t.Errorf("after its return the light showed %v, want Yellow at last", shown)
		}
		want := []string{"video: no such device", "video: <nil>"}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// A steady light that failed has nothing due but its own repair.
func TestEngineRepairsSteadyLight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := haltest.NewLight("all")
		l.Fail(errors.New("busy"))
		e := led.NewEngine([]hal.Light{l}, nil)
		start := time.Now()
		run(t, e)
		e.Show("", patterns{"all": hal.Steady(hal.Green)})
		time.Sleep(2 * time.Second)
		l.Fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := film(l, start), "3s=G"; got != want {
			t.Errorf("showed %q, want %q (tries at 0, 1 and 3 s)", got, want)
		}
	})
}

func TestEngineGivesLampsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lights := []*haltest.Light{haltest.NewLight("box"), haltest.NewLight("never-shown")}
		var told []string
		e := led.NewEngine([]hal.Light{lights[0], lights[1]}, func(light string, err error) {
			told = append(told, fmt.Sprintf("%s: %v", light, err))
		})
		stop := run(t, e)
		e.Show("", patterns{"box": hal.Steady(hal.Red)})
		synctest.Wait()
		lights[1].Fail(errors.New("gone"))
		stop()
		for _, l := range lights {
			if !l.Closed() {
				t.Errorf("%s was not given back", l.Name())
			}
		}
		if diff := cmp.Diff([]string{"never-shown: gone"}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestEngineShowNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := haltest.NewLight("all")
		e := led.NewEngine([]hal.Light{l}, nil)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { e.Show("", patterns{"all": hal.Steady(hal.Color(i % 5))}) })
		}
		wg.Wait() // nobody runs the engine yet
		e.Show("", patterns{"all": hal.Steady(hal.White)})
		start := time.Now()
		run(t, e)
		synctest.Wait()
		if got, want := film(l, start), "0s=W"; got != want {
			t.Errorf("showed %s, want only the newest: %s", got, want)
		}
	})
}

// Patterns made by hand may be odd; none may spin.
func TestEngineOddPatterns(t *testing.T) {
	tests := []struct {
		name string
		p    hal.Pattern
		want string
	}{
		{"zero value", nil, "0s=-"},
		{"steps without a length", hal.Pattern{{Color: hal.Red}, {Color: hal.Off}}, "0s=R 250ms=- 500ms=R 750ms=- 1s=R"},
		{"negative length", hal.Pattern{{Color: hal.Red, For: -time.Hour}, {Color: hal.Off, For: 750 * time.Millisecond}}, "0s=R 250ms=- 1s=R"},
		{"steady without a length", hal.Pattern{{Color: hal.Blue}}, "0s=B"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := haltest.NewLight("all")
				e := led.NewEngine([]hal.Light{l}, nil)
				start := time.Now()
				run(t, e)
				e.Show("", patterns{"all": tt.p})
				time.Sleep(time.Second)
				synctest.Wait()
				if got := film(l, start); got != tt.want {
					t.Errorf("showed %s, want %s", got, tt.want)
				}
			})
		})
	}
}

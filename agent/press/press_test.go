package press_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/press"
)

// finger is a button that is pressed and let go at these times after the start,
// in turn.
type finger []time.Duration

func (f finger) Run(ctx context.Context, changed func(bool)) error {
	start := time.Now()
	for i, at := range f {
		time.Sleep(time.Until(start.Add(at)))
		changed(i%2 == 0)
	}
	<-ctx.Done()
	return nil
}

const (
	ms = time.Millisecond
	s  = time.Second
)

func TestRun(t *testing.T) {
	tests := []struct {
		name   string
		finger finger
		want   string
	}{
		{"short", finger{0, 200 * ms}, "230ms:check"},
		{"short of identify", finger{0, 4990 * ms}, "5.02s:check"},
		{"identify", finger{0, 7 * s}, "5s=identify 7.03s=none 7.03s:identify"},
		{"forget", finger{0, 16 * s}, "5s=identify 15s=forget 16.03s=none 16.03s:forget"},
		{"held too long", finger{0, 40 * s}, "5s=identify 15s=forget 30s=none"},
		{"stuck for ever", finger{0}, "5s=identify 15s=forget 30s=none"},
		{"a spike", finger{0, 5 * ms}, ""},
		{"bounces at both ends", finger{0, 2 * ms, 4 * ms, 6 * ms, 9 * ms, 300 * ms, 303 * ms, 306 * ms}, "336ms:check"},
		{"bounces while held", finger{0, 6 * s, 6*s + 10*ms, 8 * s}, "5s=identify 8.03s=none 8.03s:identify"},
		{"twice", finger{0, 100 * ms, 1 * s, 1200 * ms}, "130ms:check 1.23s:check"},
		{"short after a long one", finger{0, 6 * s, 10 * s, 10*s + 100*ms}, "5s=identify 6.03s=none 6.03s:identify 10.13s:check"},
		{"held on after the limit, then pressed", finger{0, 31 * s, 35 * s, 35*s + 100*ms}, "5s=identify 15s=forget 30s=none 35.13s:check"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				var got []string
				note := func(mark string) func(press.Action) {
					return func(a press.Action) { got = append(got, fmt.Sprint(time.Since(start), mark, a)) }
				}
				if err := press.Run(ctx, tt.finger, note("="), note(":")); err != nil {
					t.Errorf("Run = %v, want nil", err)
				}
				if got := strings.Join(got, " "); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}

// told is a button that tells changes in an order that no finger makes.
type told []bool

func (b told) Run(ctx context.Context, changed func(bool)) error {
	for _, down := range b {
		changed(down)
		time.Sleep(time.Second)
	}
	return errors.New("unplugged")
}

func TestRunOddButtons(t *testing.T) {
	tests := []struct {
		name string
		told told
		want string
	}{
		{"up first", told{false, true, false}, "check"},
		{"down twice: the first up was lost", told{true, true, false}, "check"},
		{"up twice", told{true, false, false}, "check"},
		{"lost while it is held", told{true}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []string
				err := press.Run(t.Context(), tt.told, func(press.Action) {}, func(a press.Action) { got = append(got, a.String()) })
				if err == nil || err.Error() != "unplugged" {
					t.Errorf("err = %v, want unplugged", err)
				}
				if got := strings.Join(got, " "); got != tt.want {
					t.Errorf("did %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// A button that is lost while it is held must not leave the lamps in what they
// warned of.
func TestLostWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var felt []string
		b := told{true, true, true, true, true, true, true}
		_ = press.Run(t.Context(), b, func(a press.Action) { felt = append(felt, a.String()) }, func(press.Action) {
			t.Error("something was done")
		})
		if got := strings.Join(felt, " "); got != "identify none" {
			t.Errorf("felt %s, want identify none", got)
		}
	})
}

package guest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/hal/button"
)

// pressed lets the host press the button until the button has told it.
func pressed(t *testing.T, spec button.Spec) {
	t.Helper()
	b, err := button.System{}.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changes, done := make(chan bool, 10), make(chan error, 1)
	go func() { done <- b.Run(ctx, func(down bool) { changes <- down }) }()
	var got []bool
	for ask := time.NewTicker(2 * time.Second); len(got) < 2; {
		select {
		case down := <-changes:
			got = append(got, down)
		case err := <-done:
			t.Fatalf("Run = %v after %v", err, got)
		case <-ask.C:
			fmt.Printf("\n%s\n", pressMark)
		}
	}
	if !got[0] || got[1] {
		t.Errorf("changes are %v, want down and up", got)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on after its end")
	}
}

// The line of a chip, and then the same as a key of the kernel's own driver.
func TestGuestButtons(t *testing.T) {
	onlyInside(t)
	t.Run("line", func(t *testing.T) { pressed(t, button.Spec{GPIO: "BUTTON"}) })
	need(t, "gpio_keys")
	t.Run("key", func(t *testing.T) { pressed(t, button.Spec{Event: "wps"}) })
}

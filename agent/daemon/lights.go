package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/board"
	"github.com/sprechprobe/sprechprobe/hal/led"
)

const (
	// identifyFor is how long the lamps show which box this is.
	identifyFor = time.Minute
	// updateFor is how long they may say that the program is being changed.
	updateFor = 10 * time.Minute
)

// ListLights says which board this is, which lamps tell the state of the box and
// which button it has, and explains what the lamps say.
func ListLights(c config.Config, l advice.Lang) string {
	found := board.System{}.Detect()
	var b strings.Builder
	row := func(label, text string) { fmt.Fprintf(&b, "%-7s %s\n", label, text) }
	row("board", strings.TrimSpace(fmt.Sprintf("%s %s", found.ID, found.Name)))
	for _, s := range specsOf(c.Lights, found) {
		row("lamp", s.Role+": "+describe(s))
	}
	if found.Dark {
		row("lamp", "the system's option leds_off is set")
	}
	if spec, ok := buttonOf(c.Button, found); ok {
		row("button", strings.TrimSpace(spec.Event+" "+spec.GPIO))
	}
	row("leds", strings.Join(led.System{}.LEDs(), " "))
	return b.String() + "\n" + light.LegendText(l)
}

// ShowLights lets the lamps show a state until ctx ends, or a box takes them. An
// update that never ends must not blink for ever: the lamps are put out then.
// Stopped is what a box leaves behind that does not run any more: the lamps are
// put out and stay so, at once.
func ShowLights(ctx context.Context, c config.Lights, out io.Writer, log *slog.Logger, s light.State) error {
	if _, driven := driver(); driven {
		return errDriven
	}
	if s == light.Stopped {
		return putOut(c, out)
	}
	if s != light.Updating {
		return play(ctx, c, out, log, light.Show{State: s})
	}
	limit, cancel := context.WithTimeout(ctx, updateFor)
	defer cancel()
	err := play(limit, c, out, log, light.Show{State: s})
	if err == nil && ctx.Err() == nil && limit.Err() != nil {
		return putOut(c, out)
	}
	return err
}

// IdentifyLights lets the lamps show which box this is: those of a running box by
// asking it, or else by itself.
func IdentifyLights(ctx context.Context, c config.Lights, out io.Writer, log *slog.Logger) error {
	if pid, driven := driver(); driven {
		if pid == 0 {
			return errors.New("the running box cannot be asked from here: its service can, as with /etc/init.d/sprechprobe identify")
		}
		if err := unix.Kill(pid, unix.SIGUSR2); err != nil {
			return fmt.Errorf("ask the running box: %w", err)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, identifyFor)
	defer cancel()
	return play(ctx, c, out, log, light.Show{State: light.Identify})
}

// GiveBackLights gives the lamps back that a box took over and left behind, and
// returns their names: for a box that is taken out of service.
func GiveBackLights() ([]string, error) {
	if _, driven := driver(); driven {
		return nil, errDriven
	}
	return system(nil).GiveBack()
}

// errNoLights says that there is nothing to show anything on.
var errNoLights = errors.New("no lamps: this board is not known to have any, and the configuration names none")

// play shows a state until ctx ends or somebody else wants the lamps, and then
// gives them back.
func play(ctx context.Context, c config.Lights, out io.Writer, log *slog.Logger, s light.Show) error {
	lit, err := (*lamps)(nil).follow(c, out, log)
	if err != nil {
		return err
	}
	defer lit.close()
	if len(lit.specs) == 0 {
		return errNoLights
	}
	if lit.lock != nil {
		note(lit.lock, passing)
	}
	lit.show(s)
	tick := time.NewTicker(lookAside)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if lit.lock != nil && holder(lit.lock) != mark(passing) {
				return nil
			}
			lit.engine.Keep()
		}
	}
}

// putOut puts the lamps out and leaves them to nobody.
func putOut(c config.Lights, out io.Writer) error {
	lights, err := system(out).Open(specsOf(c, board.System{}.Detect())...)
	errs := []error{err}
	for _, l := range lights {
		errs = append(errs, l.Set(hal.Off))
	}
	return errors.Join(errs...)
}

package daemon

import (
	"context"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/press"
	"github.com/sprechprobe/sprechprobe/hal"
	"github.com/sprechprobe/sprechprobe/hal/board"
	"github.com/sprechprobe/sprechprobe/hal/button"
)

const (
	confirmFor  = 10 * time.Second // what was done is shown
	feelFor     = time.Minute      // more than a press can last
	buttonAgain = 30 * time.Second // until a button that was lost is looked for
)

// buttonOf says which button the box has; ok is false if it has none.
func buttonOf(c config.Button, b board.Found) (spec button.Spec, ok bool) {
	switch {
	case c.GPIO != "":
		return button.Spec{GPIO: c.GPIO, ActiveLow: c.ActiveLow}, true
	case c.Event == config.ButtonNone:
		return spec, false
	case c.Event == config.ButtonAuto:
		return button.Spec{Event: b.Button}, b.Button != ""
	default:
		return button.Spec{Event: c.Event}, true
	}
}

// openButton opens the box's button, nil if it has none. It comes before anything
// else opens files, see package line.
func (l *loop) openButton() hal.Button {
	spec, ok := buttonOf(l.setup.Config.Button, board.System{}.Detect())
	if !ok {
		return nil
	}
	b, err := button.System{}.Open(spec)
	if err != nil {
		l.opts.Log.Warn("button left out", "err", err)
		return nil
	}
	return b
}

// follow follows the button. One that is lost is looked for again.
func (l *loop) follow(ctx context.Context, b hal.Button) error {
	send := func(c chan press.Action) func(press.Action) {
		return func(a press.Action) {
			select {
			case c <- a:
			case <-ctx.Done():
			}
		}
	}
	for told := ""; ; {
		err := press.Run(ctx, b, send(l.felt), send(l.pressed))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && err.Error() != told {
			told = err.Error()
			l.opts.Log.Warn("button fails", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(buttonAgain):
		}
	}
}

// feel shows what letting go of the button now would do.
func (l *loop) feel(a press.Action) {
	switch a {
	case press.Identify:
		l.face.put(light.Show{State: light.Identify}, time.Now(), feelFor)
	case press.Forget:
		l.face.put(light.Show{State: light.Forget}, time.Now(), feelFor)
	default:
		l.face.lift()
	}
	l.show()
}

// press does what the button asks for.
func (l *loop) press(a press.Action) {
	l.opts.Log.Info("button", "asks", a.String())
	switch a {
	case press.Check:
		l.face.put(light.Show{State: light.Checking}, time.Now(), overdue)
		l.trigger(agent.OnCommand)
	case press.Identify:
		l.identify()
	case press.Forget:
		l.forget()
	}
	l.show()
}

// identify lets the lamps show which box this is, and where.
func (l *loop) identify() {
	s := light.Show{State: light.Identify, Digits: lastNumber(l.last)}
	l.face.put(s, time.Now(), identifyFor)
	l.show()
}

// forget makes the box belong to nobody, beside the loop: that may take a while.
func (l *loop) forget() {
	if l.opts.Forget == nil {
		l.opts.Log.Warn("this box cannot forget who it belongs to")
		return
	}
	l.forgetting = true
	go func() { l.forgot <- l.opts.Forget() }()
}

// confirm shows that the box has forgotten. If it has not, the truth goes on.
func (l *loop) confirm(err error) {
	l.forgetting = false
	if err != nil {
		l.opts.Log.Error("the box could not forget who it belongs to", "err", err)
		return
	}
	l.opts.Log.Info("the box belongs to nobody any more")
	l.face.put(light.Show{State: light.Unclaimed}, time.Now(), confirmFor)
	l.judge()
}

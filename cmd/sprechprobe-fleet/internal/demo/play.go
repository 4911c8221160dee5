package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/farends"
)

// Play shows the demonstration on a terminal and breaks and heals things as
// keys are typed, until q or the end of ctx.
func Play(ctx context.Context, c Config) (err error) {
	s, err := build(ctx, c)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	old, err := term.MakeRaw(int(c.In.Fd()))
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprint(c.Out, "\x1b[?1049h\x1b[?25l\x1b[?7l") // other screen, no cursor, no wrapping
	defer func() {
		fmt.Fprint(c.Out, "\x1b[?7h\x1b[?25h\x1b[?1049l")
		_ = term.Restore(int(c.In.Fd()), old)
	}()
	p := &play{stage: s, began: time.Now()}
	return p.run(ctx, keys(ctx, c.In))
}

// play is a demonstration on a terminal.
type play struct {
	*stage
	began  time.Time // of the lights' present pictures
	shown  lights
	note   string
	doing  chan string // ends a fault's change: what to say about it
	queued []string    // keys typed meanwhile
}

// keys reads single keys until the terminal or ctx ends. Its goroutine may wait
// in a read for as long as the program lives: a terminal cannot be asked to
// stop.
func keys(ctx context.Context, in *os.File) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		buf := make([]byte, 16)
		for {
			n, err := in.Read(buf)
			if err != nil {
				return
			}
			if buf[0] == 0x1b && n > 1 {
				continue // an arrow or the like
			}
			for _, k := range string(buf[:n]) {
				select {
				case out <- string(k):
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out
}

func (p *play) run(ctx context.Context, typed <-chan string) error {
	changes, stop := p.reg.Watch()
	defer stop()
	beats := time.NewTicker(beat)
	defer beats.Stop()
	p.doing = make(chan string, 1)
	busy := false
	defer func() {
		if busy {
			<-p.doing
		}
	}()
	for {
		p.draw()
		select {
		case <-ctx.Done():
			return nil
		case <-p.box.gone:
			return p.box.death()
		case k, ok := <-typed:
			if !ok || k == "q" || k == "\x03" || k == "\x04" {
				return nil
			}
			p.queued = append(p.queued[:min(len(p.queued), 8)], k)
		case p.note = <-p.doing:
			busy = false
		case <-p.box.changed:
		case <-changes:
		case <-beats.C:
		}
		if !busy && len(p.queued) > 0 {
			busy = p.press(p.queued[0])
			p.queued = p.queued[1:]
		}
	}
}

// press starts what a key asks for and reports whether anything is under way.
// It runs beside the screen, for a port that is clogged takes half a second.
func (p *play) press(key string) bool {
	do, note := p.ends.Heal, p.words().healed
	if key != "h" {
		f, err := farends.FaultOf(key)
		if err != nil {
			p.note = fmt.Sprintf(p.words().noKey, key)
			return false
		}
		do, note = func() error { return p.ends.Break(f) }, f.Key+": "+p.name(f)
	}
	p.note = p.words().wait
	go func() {
		if err := do(); err != nil {
			note = err.Error()
		}
		if _, reported := p.report(); reported {
			p.box.check()
		}
		p.doing <- note
	}()
	return true
}

func (p *play) name(f farends.Fault) string {
	if p.conf.Lang == advice.English {
		return f.English
	}
	return f.German
}

// draw writes the whole screen: it is small.
func (p *play) draw() {
	width, height, err := term.GetSize(int(p.conf.In.Fd()))
	if err != nil || width < 20 || height < 8 {
		width, height = 80, 24
	}
	lines := p.lines(min(width, 110))
	if len(lines) > height {
		lines = lines[:height]
	}
	fmt.Fprint(p.conf.Out, "\x1b[H"+strings.Join(lines, "\x1b[K\r\n")+"\x1b[K\x1b[J")
}

func (p *play) lines(width int) []string {
	w := p.words()
	out := []string{"\x1b[1mSprechprobe\x1b[0m   " + w.dashboard + " \x1b[4m" + p.url + "\x1b[0m " + p.moved, ""}
	out = append(out, p.keyLines(width)...)
	out = append(out, "", p.lightLine(), "")
	if r, ok := p.report(); ok {
		out = append(out, wrap(advice.Sentence(r, p.conf.Lang), width)...)
		out = append(out, "")
		out = append(out, p.findingLines(r, width)...)
	} else {
		out = append(out, w.first)
	}
	return append(out, "", "\x1b[2m"+cut(p.note, width)+"\x1b[0m")
}

// keyLines lists the faults in two columns; those that are there are marked.
func (p *play) keyLines(width int) []string {
	active := map[string]bool{}
	for _, f := range p.ends.Active() {
		active[f.Name] = true
	}
	column := max(20, width/2)
	var cells []string
	for _, f := range farends.Faults() {
		cell := cut(" "+f.Key+"  "+p.name(f), column-2)
		pad := strings.Repeat(" ", max(1, column-utf8.RuneCountInString(cell)))
		if active[f.Name] {
			cell = "\x1b[7m" + cell + " \x1b[0m"
			pad = pad[1:]
		}
		cells = append(cells, cell+pad)
	}
	cells = append(cells, " h  "+p.words().heal+"   q  "+p.words().quit)
	var out []string
	for i := 0; i < len(cells); i += 2 {
		out = append(out, strings.Join(cells[i:min(i+2, len(cells))], ""))
	}
	return out
}

// lightLine draws the lights as they blink.
func (p *play) lightLine() string {
	now := p.box.now()
	if now.String() != p.shown.String() {
		p.shown, p.began = now, time.Now()
	}
	out := " "
	for _, l := range now.lamps {
		out += " " + bulb(l.at(time.Since(p.began))) + " " + l.name + "   "
	}
	return out + " \x1b[1m" + now.word + "\x1b[0m"
}

func (p *play) findingLines(r agent.Report, width int) []string {
	var out []string
	for _, f := range advice.Order(r.Findings) {
		out = append(out, cut(fmt.Sprintf("  %-22s %-12s %s", f.Code, advice.CauseWord(f.Cause, p.conf.Lang), f.Target), width))
	}
	return out
}

type words struct{ dashboard, heal, quit, healed, first, wait, noKey string }

func (p *play) words() words {
	if p.conf.Lang == advice.English {
		return words{"Dashboard:", "heal everything", "quit", "healed", "The box looks for the first time ...", "...", "no fault has the key %q"}
	}
	return words{"Dashboard:", "alles heilen", "Ende", "geheilt", "Die Box prüft zum ersten Mal ...", "...", "kein Fehler hat die Taste %q"}
}

// wrap breaks text into lines of a width.
func wrap(s string, width int) []string {
	var out []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += cut(word, width)
	}
	return append(out, line)
}

// cut shortens text to a width, and lets nothing pass that would move the
// cursor: what a box says may come from anybody.
func cut(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > width && width > 1 {
		return string(r[:width-1]) + "…"
	}
	return s
}

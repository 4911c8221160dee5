package panel

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
)

// Facts are what a console can tell at one moment.
type Facts struct {
	Report agent.Report // the newest; the zero value: none yet
	Show   light.Show   // what the lamps say
	Box    agent.Box
	Key    string // the box's public key; may be empty
	Code   string // for the vendor to claim the box by; empty: none, or it is claimed
	// Refused is what is wrong with the installer's file on the boot partition;
	// empty: nothing.
	Refused string
}

// Console is the dialogue of a service console: it says what is the matter and
// shows no secret. It is no shell, and changes nothing but its own language.
type Console struct {
	Lang     advice.Lang
	Facts    func() Facts
	Check    func() // asks for a round
	Identify func() // lets the lamps show the box
}

// Dialogue is somebody who types lines and reads.
type Dialogue interface {
	io.Writer
	ReadLine(prompt string) (string, error)
}

// errNonsense ends a dialogue with something that is no person: a modem that
// answers each of our lines, or a line at another speed.
var errNonsense = errors.New("it says nothing but what is no command")

// maxNonsense is how many lines in a row may be no command.
const maxNonsense = 20

type command struct {
	name, german string
	run          func(c *Console, d io.Writer, arg string)
}

// commands, in the order of the help.
var commands = []command{
	{"status", "stand", (*Console).status},
	{"why", "warum", (*Console).why},
	{"check", "pruefen", (*Console).check},
	{"net", "netz", (*Console).net},
	{"id", "kennung", (*Console).id},
	{"show", "zeigen", (*Console).show},
	{"lamps", "lampen", (*Console).lamps},
	{"lang", "sprache", (*Console).lang},
	{"help", "hilfe", nil},
}

// plain writes what not every terminal can type.
var plain = strings.NewReplacer("ü", "ue")

// Serve talks until the dialogue fails, and returns why.
func (c Console) Serve(d Dialogue) error {
	fmt.Fprintln(d)
	c.say(d, "con-hello", "box", c.Facts().Box.ID)
	for nonsense := 0; nonsense < maxNonsense; {
		line, err := d.ReadLine("sprechprobe> ")
		if err != nil {
			return err
		}
		name, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch known := c.obey(d, plain.Replace(strings.ToLower(name)), strings.TrimSpace(arg)); {
		case known:
			nonsense = 0
		case name != "":
			nonsense++
			c.say(d, "con-unknown", "word", name)
		}
	}
	return errNonsense
}

// obey runs a command, and reports whether there is one of this name.
func (c *Console) obey(d io.Writer, name, arg string) bool {
	for _, cmd := range commands {
		switch {
		case name == "" || name != cmd.name && name != cmd.german && (name != "?" || cmd.run != nil):
			continue
		case cmd.run == nil:
			c.help(d)
		default:
			cmd.run(c, d, arg)
		}
		return true
	}
	return false
}

func (c *Console) say(d io.Writer, key string, pairs ...string) {
	fmt.Fprintln(d, advice.BoxWord(key, c.Lang, pairs...))
}

func (c *Console) status(d io.Writer, _ string) {
	f := c.Facts()
	if f.Report.Schema == "" {
		c.say(d, "con-none")
	} else {
		fmt.Fprintln(d, advice.Sentence(f.Report, c.Lang))
	}
	if f.Refused != "" {
		c.say(d, "con-refused", "why", f.Refused)
	}
	c.say(d, "con-lamp", "looks", advice.LampLooks(light.Show{State: f.Show.State}.String(), c.Lang))
}

func (c *Console) why(d io.Writer, _ string) {
	if f := c.Facts(); f.Report.Schema != "" {
		fmt.Fprint(d, advice.Check(f.Report, c.Lang))
		return
	}
	c.say(d, "con-none")
}

func (c *Console) check(d io.Writer, _ string) {
	c.Check()
	c.say(d, "con-checking")
}

func (c *Console) net(d io.Writer, _ string) {
	if text := advice.Network(c.Facts().Report, c.Lang); text != "" {
		fmt.Fprint(d, text)
		return
	}
	c.say(d, "con-none")
}

func (c *Console) id(d io.Writer, _ string) {
	f := c.Facts()
	fmt.Fprint(d, advice.Identity(f.Box, f.Key, f.Code, c.Lang))
}

func (c *Console) show(d io.Writer, _ string) {
	c.Identify()
	c.say(d, "con-showing")
}

func (c *Console) lamps(d io.Writer, _ string) { fmt.Fprint(d, light.LegendText(c.Lang)) }

func (c *Console) lang(d io.Writer, arg string) {
	l, err := advice.ParseLang(strings.ToLower(arg))
	if err != nil {
		c.say(d, "con-lang")
		return
	}
	c.Lang = l
	c.say(d, "con-hello", "box", c.Facts().Box.ID)
}

func (c *Console) help(d io.Writer) {
	for _, cmd := range commands {
		name := cmd.name
		if c.Lang == advice.German {
			name = cmd.german
		}
		fmt.Fprintf(d, "  %-8s %s\n", name, advice.BoxWord("con-help-"+cmd.name, c.Lang))
	}
}

// Package light is the language of the lamps: it turns a report into what each
// lamp shows, and explains that to people. It is a pure table; it knows no
// hardware and no clock, and its texts are those of package advice.
//
// Rhythm carries the state and colour only repeats it, so that every state can
// be told on a lamp of one colour, by somebody who cannot tell red from green,
// and over the telephone ("how many flashes?"). No lamp ever flashes three
// times within a second. Nothing that is lit is steady either: what stands
// still belongs to a dead program, and must not look healthy.
package light

import (
	"fmt"
	"slices"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/hal"
)

// State is what the box has to say at one moment. The zero value is Starting.
type State uint8

// The states.
const (
	Starting   State = iota // the program runs, but has not looked yet
	NoLink                  // no cable, or nothing at its other end
	NoAddress               // the network gave no address
	NoInternet              // nothing beyond the router
	Unclaimed               // the box belongs to no practice yet
	Checking                // the first look is under way
	Ready                   // video consultations will work
	Limited                 // they will work, with restrictions
	Blocked                 // they will not work
	Unknown                 // no verdict: nothing could be judged, or the box is at fault
	Updating                // do not unplug
	Identify                // "this is the box you mean"
	Forget                  // let go of the button now, and the box belongs to nobody
	Stopped                 // no program drives the lamps
)

var stateWords = []string{
	"starting", "no-link", "no-address", "no-internet", "unclaimed", "checking",
	"ready", "limited", "blocked", "unknown", "updating", "identify", "forget", "stopped",
}

func (s State) String() string { return word(stateWords, uint8(s)) }

// UnmarshalText reads a state's word.
func (s *State) UnmarshalText(text []byte) error {
	n, err := read("state", stateWords, text)
	*s = State(n)
	return err
}

// States returns all states, in their order.
func States() []State {
	all := make([]State, len(stateWords))
	for i := range all {
		all[i] = State(i)
	}
	return all
}

// Role is what a lamp is for. The zero value is All.
type Role uint8

// The roles.
const (
	All     Role = iota // one lamp tells everything
	Box                 // the box itself, and whether its vendor hears it
	Network             // the way to the internet
	Video               // the verdict; reporting never changes it
)

var roleWords = []string{"all", "box", "network", "video"}

func (r Role) String() string { return word(roleWords, uint8(r)) }

// UnmarshalText reads a role's word.
func (r *Role) UnmarshalText(text []byte) error {
	n, err := read("role", roleWords, text)
	*r = Role(n)
	return err
}

// Roles returns all roles.
func Roles() []Role { return []Role{All, Box, Network, Video} }

// Kind is what a lamp can do. The zero value is Color.
type Kind uint8

// The kinds.
const (
	Color Kind = iota // red, green and blue
	Mono              // on and off; its patterns use White for on
)

func (k Kind) String() string { return word([]string{"color", "mono"}, uint8(k)) }

// Show is what all lamps together show.
type Show struct {
	State State
	// Unheard says that the vendor does not hear from the box. Only a lamp of
	// role Box tells.
	Unheard bool
	// Digits are blinked between while the box shows itself (Identify), as the
	// last number of its address; empty: none.
	Digits string
	// Online says, while Checking, that the video service has answered already:
	// the way out works. Only a lamp of role Network tells.
	Online bool
}

// String is the state's word, followed by "+u" where the box is unheard.
func (s Show) String() string {
	if s.Unheard {
		return s.State.String() + "+u"
	}
	return s.State.String()
}

// offline says how far the box got, by the findings that can make a verdict
// offline; the first that is there decides.
var offline = []struct {
	code  agent.Code
	state State
}{
	{agent.LinkDown, NoLink},
	{agent.DHCPNone, NoAddress},
}

// Of reads a report. The verdict decides; findings only say how far an offline
// box got.
func Of(r agent.Report) Show {
	return Show{
		State:   stateOf(r),
		Unheard: found(r, agent.CentralDown) || found(r, agent.CentralAuth),
	}
}

func stateOf(r agent.Report) State {
	switch r.Verdict {
	case agent.Ready:
		return Ready
	case agent.VerdictLimited:
		return Limited
	case agent.Blocked:
		return Blocked
	case agent.Offline:
		for _, o := range offline {
			if found(r, o.code) {
				return o.state
			}
		}
		return NoInternet
	default:
		return Unknown
	}
}

// Unclaimed is what the lamps show of s on a box that belongs to nobody yet: the
// same while something has to be mended first, and else that.
func (s Show) Unclaimed() Show {
	switch s.State {
	case Checking, Ready, Limited, Blocked:
		s.State = Unclaimed
	}
	return s
}

func found(r agent.Report, c agent.Code) bool {
	return slices.ContainsFunc(r.Findings, func(f agent.Finding) bool { return f.Code == c })
}

// Pattern returns what a lamp of this role and kind shows.
func (s Show) Pattern(role Role, kind Kind) hal.Pattern {
	p := hal.Picture(picture(s, role))
	if kind == Mono {
		for i := range p {
			if p[i].Color != hal.Off {
				p[i].Color = hal.White
			}
		}
	}
	return p
}

func word(words []string, n uint8) string {
	if int(n) < len(words) {
		return words[n]
	}
	return fmt.Sprintf("invalid(%d)", n)
}

func read(what string, words []string, text []byte) (uint8, error) {
	i := slices.Index(words, string(text))
	if i < 0 {
		return 0, fmt.Errorf("unknown %s %.40q (want one of %q)", what, text, words)
	}
	return uint8(i), nil
}

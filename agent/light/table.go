package light

import "strings"

// The rhythms, one letter a quarter of a second. A flash is one beat, the gap
// between flashes of a group one beat, the pause between groups six.
const (
	dark    = "-"
	wink    = "GGGGGGGGGGGGGGG-" // all is well: on, and off for a beat every four seconds
	winks   = "YYYYYYYYYYYYY-Y-" // it works, but: two winks
	one     = "R------"
	two     = "R-R------"
	three   = "R-R-R------"
	four    = "R-R-R-R------"
	five    = "B-B-B-B-B------"
	slow    = "WWWW----"
	blink   = "WW--"
	dashDot = "BBBBBB-B------"
	dashes  = "WWWW-WWWW------"
	hurry   = "BBB-B-" // never pauses, unlike all before
	rush    = "R-"     // nor does this
)

// How digits are blinked: flashes for 1 to 9, one long light for 0.
const (
	tick  = "W-"
	zero  = "WWWW-"
	pause = "------"
)

// row is what the lamps show in one state. Identify runs along a row of lamps.
type row struct{ all, box, network, video string }

var table = [...]row{
	Starting:   {all: slow, box: slow, network: dark, video: dark},
	NoLink:     {all: one, box: wink, network: one, video: one},
	NoAddress:  {all: two, box: wink, network: two, video: two},
	NoInternet: {all: three, box: wink, network: three, video: three},
	Unclaimed:  {all: dashDot, box: dashDot, network: wink, video: dark},
	Checking:   {all: blink, box: wink, network: blink, video: blink},
	Ready:      {all: wink, box: wink, network: wink, video: wink},
	Limited:    {all: winks, box: wink, network: wink, video: winks},
	Blocked:    {all: four, box: wink, network: wink, video: four},
	Unknown:    {all: five, box: five, network: dark, video: five},
	Updating:   {all: dashes, box: dashes, network: dark, video: dark},
	Identify:   {all: hurry, box: "BB----", network: "--BB--", video: "----BB"},
	Forget:     {all: rush, box: rush, network: rush, video: rush},
	Stopped:    {all: dark, box: dark, network: dark, video: dark},
}

// picture looks up the table; a state that is none shows as Unknown.
func picture(s Show, role Role) string {
	if int(s.State) >= len(table) {
		s.State = Unknown
	}
	if s.State == Identify && s.Digits != "" {
		return digits(s.Digits)
	}
	r := table[s.State]
	switch role {
	case Box:
		if s.Unheard && r.box == wink {
			return winks
		}
		return r.box
	case Network:
		if s.Online && s.State == Checking {
			return wink
		}
		return r.network
	case Video:
		return r.video
	default:
		return r.all
	}
}

// digits begins like Identify, for its end to be told from its start.
func digits(number string) string {
	var b strings.Builder
	b.WriteString(hurry + hurry)
	for _, d := range number {
		b.WriteString(pause)
		if d < '1' || d > '9' {
			b.WriteString(zero)
			continue
		}
		b.WriteString(strings.Repeat(tick, int(d-'0')))
	}
	return b.String() + pause
}

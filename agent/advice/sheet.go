package advice

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Sheet is what a practice's IT and its data protection officer write down about a
// box: from its configuration, not from what it has done.
type Sheet struct {
	Box       agent.Box
	Profiles  []agent.Profile
	Every     time.Duration // between rounds
	Daily     int64         // checking costs at most, bytes a day
	Servers   []string      // that reports go to; none: no reports
	Beacon    string        // domain of calls for help by name look-ups; empty: none
	Address   string        // fixed, with its network; empty: from the practice's network
	Resolvers []string      // none: the practice's
	Page      string        // address and port of its page; empty: no page, no open port
	Unclaimed bool          // the page is there only until the box belongs to somebody
}

// reportBytes is what a report costs at most in a healthy round, both ways and with
// what it takes to hold a connection.
const reportBytes = 8 << 10

// Text is the sheet.
func (s Sheet) Text(l Lang) string {
	p, b := &page{width: checkWidth}, bookOf(l)
	say := func(key string, pairs ...string) string { return BoxWord(key, l, pairs...) }
	p.para("", say("sheet-title", "box", s.Box.ID))
	p.blank()
	p.para("", say("sheet-what"))

	p.heading(say("sheet-plan"))
	address := say("sheet-dhcp")
	if s.Address != "" {
		address = clean(s.Address)
	}
	p.rows("  ", [][2]string{
		{say("sheet-name"), strings.TrimSpace(clean(s.Box.ID) + " " + clean(s.Box.Name))},
		{say("sheet-version"), clean(s.Box.Version + " " + s.Box.Platform)},
		{say("sheet-address"), address},
		{say("sheet-place"), say("sheet-place-is")},
		{say("sheet-ports"), s.ports(say)},
	})
	p.para("  ", say("sheet-inbound"))

	p.heading(say("sheet-targets"))
	for _, f := range s.Profiles {
		p.para("  ", clean(f.Title)+" ("+clean(f.Name)+" "+clean(f.Version)+")")
		p.rows("    ", flows(f, b))
	}
	p.para("  ", say("sheet-local"))
	if len(s.Resolvers) > 0 {
		p.para("  ", say("sheet-resolvers", "resolvers", strings.Join(s.Resolvers, ", ")))
	}
	for _, server := range s.Servers {
		p.para("  ", say("sheet-server", "server", server))
	}
	if s.Beacon != "" {
		p.para("  ", say("sheet-beacon", "zone", s.Beacon))
	}

	p.heading(say("sheet-volume"))
	rounds := int64(24 * time.Hour / s.Every)
	bytes := s.Daily
	if len(s.Servers) > 0 {
		bytes += rounds * reportBytes
	}
	p.para("  ", say("sheet-volume-is", "rounds", strconv.FormatInt(rounds, 10), "mb", strconv.FormatInt(bytes>>20+1, 10)))

	p.heading(say("sheet-data"))
	if len(s.Servers) == 0 {
		p.para("  ", say("sheet-no-reports"))
	} else {
		p.para("  ", say("sheet-reports"))
		p.para("  ", say("sheet-short"))
	}
	p.para("  ", say("sheet-kept"))

	p.heading(say("sheet-never"))
	for _, key := range []string{"sheet-never-content", "sheet-never-listen", "sheet-never-scan", "sheet-never-open", "sheet-never-remote"} {
		p.para("  - ", say(key))
	}
	return p.String()
}

// heading begins a part.
func (p *page) heading(text string) {
	p.blank()
	p.para("", text)
}

// ports says what is open on the box.
func (s Sheet) ports(say func(key string, pairs ...string) string) string {
	switch {
	case s.Page == "":
		return say("sheet-no-ports")
	case s.Unclaimed:
		return say("sheet-page-unclaimed", "listen", s.Page)
	default:
		return say("sheet-page", "listen", s.Page)
	}
}

// flows are the connections of a service, one row for each service, host and port.
func flows(f agent.Profile, b *book) [][2]string {
	var rows [][2]string
	for _, t := range f.Targets {
		row := [2]string{clean(t.String()), b.word("purpose", string(t.Service))}
		for _, port := range t.AltPorts {
			row[0] += ", " + strconv.Itoa(int(port))
		}
		if !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	return rows
}

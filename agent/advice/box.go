package advice

import (
	"strconv"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Identity says in lines who the box is. Key and code may be empty.
func Identity(box agent.Box, key, code string, l Lang) string {
	b := bookOf(l)
	return table([][2]string{
		{b.word("box", "id-box"), b.box(box)},
		{b.word("box", "id-version"), strings.TrimSpace(clean(box.Version) + " " + clean(box.Platform))},
		{b.word("box", "id-board"), clean(box.Board)},
		{b.word("box", "id-key"), clean(key)},
		{b.word("box", "id-code"), clean(code)},
	})
}

// Network says in lines how the box is connected, as far as the report's round
// found out; empty if it did not look.
func Network(r agent.Report, l Lang) string {
	b := bookOf(l)
	for _, e := range r.Evidence {
		if e.Probe == agent.ProbeLink {
			return table(b.network(e.Values))
		}
	}
	return ""
}

func (b *book) network(v agent.Values) [][2]string {
	word := func(key string) string { return b.word("box", key) }
	either := func(k agent.Key, yes, no string) string {
		switch value, seen := v.Flag(k); {
		case !seen:
			return ""
		case value:
			return word(yes)
		default:
			return word(no)
		}
	}
	number := func(k agent.Key, scale float64, unit string) string {
		n, ok := v.Num(k)
		if !ok {
			return ""
		}
		return strconv.FormatFloat(n/scale, 'f', -1, 64) + unit
	}
	speed := number(agent.Speed, 1e6, " Mbit/s")
	if v.Text(agent.Duplex) == "half" {
		speed = strings.TrimSpace(speed + " " + word("net-half"))
	}
	return [][2]string{
		{word("net-interface"), clean(v.Text(agent.Interface))},
		{word("net-carrier"), either(agent.Carrier, "net-up", "net-down")},
		{word("net-speed"), speed},
		{word("net-addr"), clean(v.Text(agent.LocalAddr))},
		{word("net-gateway"), clean(v.Text(agent.Gateway))},
		{word("net-resolver"), clean(v.Text(agent.Resolver))},
		{word("net-mtu"), number(agent.MTU, 1, "")},
		{word("net-clock"), either(agent.ClockSynced, "net-clock-set", "net-clock-unset")},
	}
}

// table is rows of a label and a text for a terminal.
func table(rows [][2]string) string {
	p := &page{width: checkWidth}
	p.rows("", rows)
	return p.String()
}

package advice

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Who says who a box is.
type Who struct {
	Key, Code   string
	Tenant, Box string // empty: not claimed
	Refused     bool   // the vendor's server does not know it any more
	Trouble     string // why what should say who it is does not; empty: it does
}

// Identity is what a person reads about who a box is: its claim code, its key and
// whether it is claimed. The lines end with a line break.
func Identity(w Who, l Lang) string {
	b := bookOf(l)
	state := b.phrase("identity-unclaimed")
	switch {
	case w.Trouble != "":
		state = b.phrase("identity-trouble", "why", clean(w.Trouble))
	case w.Box != "" && w.Refused:
		state = b.phrase("identity-refused", "box", clean(w.Box), "tenant", clean(w.Tenant))
	case w.Box != "":
		state = b.phrase("identity-claimed", "box", clean(w.Box), "tenant", clean(w.Tenant))
	}
	rows := [][2]string{
		{b.phrase("identity-code"), clean(w.Code)},
		{b.phrase("identity-key"), clean(w.Key)},
		{b.phrase("identity-state"), state},
	}
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r[0]))
	}
	var out strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&out, "%s%s  %s\n", r[0], strings.Repeat(" ", width-utf8.RuneCountInString(r[0])), r[1])
	}
	return out.String()
}

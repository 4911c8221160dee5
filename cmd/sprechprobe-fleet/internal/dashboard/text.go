package dashboard

import (
	"fmt"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/advice"
)

// labels are the page's own words; what is said about a box comes from advice.
type labels struct {
	Title, Box, Boxes, Silent, All, Search, Find, Filter, None, NoneFit, Unreadable, UnreadableSome, More,
	LastSpoke, ClockUnset, Version, Since, NotSince, IT, Proof, Live, Lost, Pause, Resume, NoBus,
	Blocked, Previous, Next, Page, Other, Before, Ago, Now, Capabilities, Skip, Change, Off, NoScript, Logout,
	Waiting, HowToClaim, MoreWaiting, Asked string
}

func labelsOf(l advice.Lang) labels {
	if l == advice.English {
		return english
	}
	return german
}

var german = labels{
	Title: "Sprechprobe – alle Boxen", Box: "Box", Boxes: "Boxen", Silent: "schweigt", All: "alle",
	Search: "Suche nach Name, Box oder Kunde", Find: "Suchen", Filter: "Nach Zustand",
	None: "Noch keine Box hat sich gemeldet.", NoneFit: "Keine Box passt zu dieser Auswahl.",
	Unreadable:     "Die Meldungen dieser Box sind nicht lesbar: Ihr Programm ist neuer als dieses hier oder fehlerhaft.",
	UnreadableSome: "%d unlesbare Meldungen", More: "und %d weitere Befunde",
	LastSpoke: "gemeldet", ClockUnset: "Uhr nicht gestellt", Version: "Version",
	Since: "seit %s", NotSince: "seit unbekannter Zeit", IT: "Zu ändern", Proof: "Nachweis",
	Live: "live", Lost: "Verbindung verloren, neuer Versuch läuft", Pause: "Anhalten", Resume: "Weiter",
	NoBus:    "Der NATS-Bus ist nicht erreichbar: Die Anzeige kann veraltet sein.",
	Blocked:  "lebt, kommt aber nicht durch: %s",
	Previous: "zurück", Next: "weiter", Page: "Seite %d von %d", Other: "English",
	Before: "zuletzt", Ago: "vor %s", Now: "gerade eben", Capabilities: "Was geht",
	Skip: "Zur Liste", Change: "Stand beim Schweigen", Off: "angehalten",
	NoScript: "Ohne JavaScript: Seite neu laden für den neuesten Stand.",
	Waiting:  "Warten auf ihre Zuordnung", HowToClaim: "Code von der Praxis vorlesen lassen, dann:",
	MoreWaiting: "und %d weitere", Asked: "fragte", Logout: "Abmelden",
}

var english = labels{
	Title: "Sprechprobe – all boxes", Box: "box", Boxes: "boxes", Silent: "silent", All: "all",
	Search: "Search by name, box or customer", Find: "Search", Filter: "By state",
	None: "No box has reported yet.", NoneFit: "No box fits this selection.",
	Unreadable:     "This box's reports cannot be read: its program is newer than this one, or broken.",
	UnreadableSome: "%d unreadable reports", More: "and %d more findings",
	LastSpoke: "reported", ClockUnset: "clock not set", Version: "version",
	Since: "for %s", NotSince: "since an unknown time", IT: "To change", Proof: "Proof",
	Live: "live", Lost: "connection lost, trying again", Pause: "Pause", Resume: "Resume",
	NoBus:    "The NATS bus cannot be reached: what is shown may be out of date.",
	Blocked:  "alive, but cannot get through: %s",
	Previous: "back", Next: "next", Page: "Page %d of %d", Other: "Deutsch",
	Before: "last", Ago: "%s ago", Now: "just now", Capabilities: "What works",
	Skip: "To the list", Change: "State when it fell silent", Off: "paused",
	NoScript: "Without JavaScript: reload the page for the newest state.",
	Waiting:  "Waiting to be claimed", HowToClaim: "Have the practice read the code out, then:",
	MoreWaiting: "and %d more", Asked: "asked", Logout: "Log out",
}

// word is a state in the page's language.
func (l labels) word(s state, lang advice.Lang) string {
	if s == silent {
		return l.Silent
	}
	return advice.VerdictWord(verdict(s), lang)
}

// ago says how long something is past. The page's script says the same.
func (l labels) ago(d time.Duration) string {
	if d < 2*time.Second {
		return l.Now
	}
	return fmt.Sprintf(l.Ago, span(d))
}

// span writes a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d/time.Second)))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d/time.Hour))
	default:
		return fmt.Sprintf("%d d", int(d/(24*time.Hour)))
	}
}

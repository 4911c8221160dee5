package statuspage

import (
	"strconv"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/steps"
)

// labels are the page's own words; what is said about findings comes from
// advice.
type labels struct {
	title, other, otherLang, first, stale       string
	now, ago, since, next                       string
	steps, running, took, stuck                 string
	step                                        [steps.Count]string
	stepState                                   [5]string // by steps.State
	todo, nothing, owner, forIT, code, more     string
	request, requestHint, back                  string
	works                                       string
	history, dayAgo, today, unseen, historyHint string
	lampNow, beat                               string
	box, name, id, version, addr, support       string
	notFound, notAllowed, foreign, off, tooLong string
}

var german = labels{
	title: "Sprechprobe", other: "English", otherLang: "en",
	first: "Die Box prüft zum ersten Mal. Das dauert höchstens 90 Sekunden.",
	stale: "Seit %s gibt es keine neue Messung: Die Box arbeitet nicht richtig. Bitte ziehen Sie kurz ihren Netzstecker.",
	now:   "Gemessen %s", ago: "vor %s", since: "unverändert seit %s", next: "Die Seite erneuert sich von selbst.",

	steps: "Schritt für Schritt", running: "läuft", took: "Geprüft in %s.", stuck: "Hier hakt es: %s",
	step: [steps.Count]string{
		steps.Link: "Netzwerkkabel", steps.Address: "Adresse im Praxisnetz", steps.Gateway: "Router", steps.Clock: "Uhrzeit",
		steps.Names: "Namen im Internet", steps.Service: "Videodienst", steps.STUN: "Direkte Verbindung (STUN)",
		steps.TURNUDP: "Vermittlungsserver über UDP (TURN)", steps.TURNTCP: "Vermittlungsserver über TCP (TURN)",
		steps.Group: "Gruppentermine (NATS)", steps.Report: "Meldung an den Videodienst",
	},
	stepState: [5]string{"wartet", "in Ordnung", "gestört", "unklar", "nicht nötig"},

	todo: "Was zu tun ist", nothing: "Keine Befunde. In Ihrer Praxis ist nichts zu ändern.",
	owner: "Zuständig", forIT: "Für die IT", code: "Kennung", more: "und %s weitere Befunde",
	request: "Freigabeanforderung", requestHint: "Brief an Ihre IT, zum Kopieren: nur ausgehende Verbindungen, mit Nachweis und Uhrzeit.",
	back:  "Zurück zur Übersicht",
	works: "Was geht",

	history: "Die letzten 24 Stunden", dayAgo: "vor 24 Stunden", today: "jetzt", unseen: "nicht gemessen",
	historyHint: "Je höher der Balken, desto größer die Störung. Ein Balken ist eine Viertelstunde.",

	lampNow: "jetzt", beat: "Ein Kästchen ist eine Viertelsekunde.",

	box: "Diese Box", name: "Name", id: "Kennung", version: "Version", addr: "Adresse",
	support: "Bitte halten Sie diese Angaben bereit, wenn Sie beim Support anrufen.",

	notFound: "Diese Seite gibt es nicht.", notAllowed: "Diese Seite zeigt nur an; ändern lässt sich hier nichts.",
	foreign: "Unter diesem Namen ist die Box nicht erreichbar. Bitte rufen Sie sie über ihre Adresse auf.",
	off:     "Die Seite dieser Box ist ausgeschaltet ([page] in ihrer Konfiguration).",
	tooLong: "Diese Anfrage ist nicht lesbar oder zu lang.",
}

var english = labels{
	title: "Sprechprobe", other: "Deutsch", otherLang: "de",
	first: "The box is looking for the first time. This takes 90 seconds at most.",
	stale: "There has been no new measurement for %s: the box does not work properly. Please unplug it briefly.",
	now:   "Measured %s", ago: "%s ago", since: "unchanged for %s", next: "The page renews itself.",

	steps: "Step by step", running: "under way", took: "Checked in %s.", stuck: "This is where it stops: %s",
	step: [steps.Count]string{
		steps.Link: "Network cable", steps.Address: "Address on the practice's network", steps.Gateway: "Router", steps.Clock: "Clock",
		steps.Names: "Names on the internet", steps.Service: "Video service", steps.STUN: "Direct connection (STUN)",
		steps.TURNUDP: "Relay over UDP (TURN)", steps.TURNTCP: "Relay over TCP (TURN)",
		steps.Group: "Group sessions (NATS)", steps.Report: "Reports to the video service",
	},
	stepState: [5]string{"waiting", "in order", "in trouble", "unclear", "not needed"},

	todo: "What to do", nothing: "No findings. Nothing needs to be changed in your practice.",
	owner: "Responsible", forIT: "For the IT", code: "Code", more: "and %s more findings",
	request: "Release request", requestHint: "A letter to your IT, to copy: outbound connections only, with proof and time.",
	back:  "Back to the overview",
	works: "What works",

	history: "The last 24 hours", dayAgo: "24 hours ago", today: "now", unseen: "not measured",
	historyHint: "The taller a bar, the more is in trouble. One bar is a quarter of an hour.",

	lampNow: "now", beat: "One square is a quarter of a second.",

	box: "This box", name: "Name", id: "ID", version: "Version", addr: "Address",
	support: "Please have these at hand when you call support.",

	notFound: "There is no such page.", notAllowed: "This page only shows; nothing can be changed here.",
	foreign: "The box cannot be reached by this name. Please call it by its address.",
	off:     "The page of this box is switched off ([page] in its configuration).",
	tooLong: "This request cannot be read, or is too long.",
}

func labelsOf(l advice.Lang) *labels {
	if l == advice.English {
		return &english
	}
	return &german
}

// span writes seconds in their largest units.
func span(s int) string {
	switch {
	case s < 60:
		return strconv.Itoa(max(s, 0)) + "\u00a0s"
	case s < 3600:
		return strconv.Itoa(s/60) + "\u00a0min"
	case s < 48*3600:
		return strconv.Itoa(s/3600) + "\u00a0h\u00a0" + strconv.Itoa(s%3600/60) + "\u00a0min"
	default:
		return strconv.Itoa(s/86400) + "\u00a0d"
	}
}

// icons say a verdict in one sign, so that it does not hang on a colour.
var icons = [agent.Offline + 1]string{
	agent.VerdictUnknown: "?", agent.Ready: "✓", agent.VerdictLimited: "!", agent.Blocked: "✗", agent.Offline: "✗",
}

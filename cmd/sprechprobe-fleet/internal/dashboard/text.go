package dashboard

import (
	"fmt"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/advice"
)

// labels are the pages' own words; what is said about a box comes from advice.
type labels struct {
	Title, Overview, Box, Boxes, Silent, All, Search, Find, Filter, None, NoneFit, Unreadable, UnreadableSome,
	LastSpoke, ClockUnset, Version, Since, NotSince, IT, Live, Lost, Pause, Resume, NoBus,
	Blocked, Previous, Next, TurnPage, Page, Other, Before, Ago, Now, Capabilities, Skip, Off, NoScript, Logout,
	Waiting, MoreWaiting, Asked, Calling,
	State, Practice, Findings, Changed, Heard, Provider, Finding, Cause, Profile, Tenant, ISP, Any, QuietFor, Reset, Hits, Download,
	Incident, IncidentVendor, IncidentISP, IncidentBox, IncidentBoxes, IncidentPast, Behind, Twin, More, Busy string

	// The pages of outages.
	Incidents, IncidentsNone, IncidentsMore, IncidentsHint, Start, End, Lasts, Lasted, Target, Suffered, SufferNow, ShowBoxes, From, Until, Show string

	// The page of one box.
	Range, Day, Week, Month, Harm, Staff, Evidence, Log, LogNone, Began, Ended,
	Charts, AsTable, Time, Mean, Least, Most, NoValues, ChartOf, Timeline, TimelineOf, Gap, Zone, NoFindings, RawGone,
	Request, RequestText, Print, BackToBox, BoxData, Interval, FirstHeard, Reports, Run, NoDesk,
	Data, Export, Delete, DeleteHint, Sure, Unsure string

	// The page of people.
	People, Person, Users, Guests, GuestsHint, Programs, NoTokens, Role, Tenants, TenantsHint, AllTenants, LastLogin, LastSeen, Never, Sessions, Change,
	SaveRight, NewLink, LogoutAll, Remove, Revoke, AddPerson, AddToken, TokenFor, Valid, Forever, ForDays, Till, Expired, You, LinkOpen, LinkGone,
	LinkHint, TokenHint, PersonName, PersonThere, PersonNone, PersonSelf, PersonLast, PersonTenants, TokenLabel, Account string

	Roles      map[string]string
	PeopleDone map[string]string // what was done, by its name in the audit log

	Commanded map[string]string // commands, by name
	Answers   map[string]string // how a box answers
	Metrics   map[string]string // what charts show

	// The claim page.
	Claim, ClaimHint, Code, ClaimTenant, ClaimName, Give, Claimed, NameRule, NoneWaiting, At, ClaimBad, ClaimTaken string
}

func labelsOf(l advice.Lang) labels {
	if l == advice.English {
		return english
	}
	return german
}

var german = labels{
	Title: "Sprechprobe", Overview: "Übersicht", Box: "Box", Boxes: "Boxen", Silent: "schweigt", All: "alle",
	Search: "Name, Box oder Kunde", Find: "Suchen", Filter: "Nach Zustand",
	None: "Noch keine Box hat sich gemeldet.", NoneFit: "Keine Box passt zu dieser Auswahl.",
	Unreadable:     "Die Meldungen dieser Box sind nicht lesbar: Ihr Programm ist neuer als dieses hier oder fehlerhaft.",
	UnreadableSome: "%d unlesbare Meldungen",
	LastSpoke:      "gemeldet", ClockUnset: "Uhr nicht gestellt", Version: "Version",
	Since: "seit %s", NotSince: "seit unbekannter Zeit", IT: "Zu ändern",
	Live: "live", Lost: "Verbindung verloren, neuer Versuch läuft", Pause: "Anhalten", Resume: "Weiter",
	NoBus:    "Der NATS-Bus ist nicht erreichbar: Die Anzeige kann veraltet sein.",
	Blocked:  "lebt, kommt aber nicht durch: %s",
	Previous: "zurück", Next: "weiter", TurnPage: "Blättern", Page: "Seite %d von %d", Other: "English",
	Before: "zuletzt", Ago: "vor %s", Now: "gerade eben", Capabilities: "Was geht",
	Skip: "Zum Inhalt", Off: "angehalten",
	NoScript:    "Ohne JavaScript: Seite neu laden für den neuesten Stand.",
	Waiting:     "Warten auf ihre Zuordnung",
	MoreWaiting: "und %d weitere", Asked: "fragte", Logout: "Abmelden", Calling: "Rufen um Hilfe oder sind nicht lesbar",
	State: "Zustand", Practice: "Praxis und Box", Findings: "Befund", Changed: "Seit", Heard: "Gemeldet", Provider: "Version, Anbieter",
	Finding: "Befund", Cause: "Ursache", Profile: "Dienst", Tenant: "Kunde", ISP: "Anbieter", Any: "egal", QuietFor: "Schweigt seit über", Reset: "Auswahl aufheben",
	Hits: "%d Treffer", Download: "Als CSV-Datei", Incident: "Störung", IncidentVendor: "Störung beim Dienst: %s.",
	IncidentISP: "Störung beim Anbieter %s: %s.", IncidentBox: "1 Box betroffen", IncidentBoxes: "%d Boxen betroffen", IncidentPast: "eine frühere", More: "und %d weitere",
	Behind: "neuere Meldung wartet in der Box: %s",
	Twin:   "zwei Boxen melden sich unter diesem Namen (kopierte Speicherkarte?)",
	Busy:   "Die Datenbank antwortet nicht. Bitte gleich noch einmal versuchen.",

	Incidents: "Störungen", IncidentsNone: "In dieser Zeit ist keine Störung bekannt.", IncidentsMore: "Gezeigt sind die neuesten %d. Ältere zeigt eine Auswahl nach Tagen.",
	IncidentsHint: "Störungen des Dienstes und der Anbieter, die sich daran zeigten, dass viele Boxen zugleich dasselbe nicht erreichten. Gezählt sind nur Boxen, die Sie sehen dürfen.",
	Start:         "Beginn", End: "Ende", Lasts: "dauert an", Lasted: "Dauer", Target: "Ziel", Suffered: "Betroffene Boxen", SufferNow: "davon jetzt", ShowBoxes: "Boxen zeigen",
	From: "Von", Until: "Bis", Show: "Zeigen",

	Range: "Zeitraum", Day: "24 Stunden", Week: "7 Tage", Month: "30 Tage", Harm: "Folge", Staff: "Für die Praxis",
	Evidence: "Nachweis", Log: "Änderungen", LogNone: "In diesem Zeitraum hat sich nichts geändert.",
	Began: "neu", Ended: "vorbei", Charts: "Messwerte", AsTable: "Als Tabelle", Time: "Zeit", Mean: "Mittel", Least: "kleinster", Most: "größter",
	NoValues: "In diesem Zeitraum wurde das nicht gemessen.", ChartOf: "Mittel %s, kleinster %s, größter %s",
	Timeline: "Zustand im Verlauf", TimelineOf: "Anteil der Zeit", Gap: "keine Meldungen", Zone: "Zeiten in %s.",
	NoFindings: "Keine Befunde.", RawGone: "Die Meldung selbst ist abgelaufen und gelöscht. Bekannt sind noch Zustand und Befunde.",
	Request: "Freigabeanforderung für die Praxis-IT", RequestText: "Als Text", Print: "Zum Drucken", BackToBox: "Zurück zur Box",
	BoxData: "Über die Box", Interval: "meldet alle", FirstHeard: "zum ersten Mal gemeldet", Reports: "Meldungen", Run: "Befehle an die Box",
	NoDesk: "Dieser Rechner hat den Schlüssel für Befehle nicht. Auf dem Rechner mit den Schlüsseln:",
	Data:   "Daten dieser Box", Export: "Alles herunterladen, was über sie aufbewahrt wird", Delete: "Alles löschen, was über sie aufbewahrt wird",
	DeleteHint: "Das lässt sich nicht rückgängig machen. Die Box bleibt zugeordnet; meldet sie sich wieder, beginnt sie neu. Im Protokoll der Verwaltung bleibt stehen, dass gelöscht wurde.",
	Sure:       "Zur Sicherheit: %s eintippen", Unsure: "Nichts wurde gelöscht: Bitte %s eintippen.",
	Commanded: map[string]string{"check": "Jetzt messen", "identify": "Box blinken lassen", "bandwidth": "Bandbreite messen"},
	Answers: map[string]string{"accepted": "Die Box hat angenommen. Das Ergebnis erscheint hier, sobald sie es meldet.", "absent": "Die Box ist gerade nicht erreichbar.",
		"late": "Die Box hat nicht geantwortet.", "too-often": "Die Box lehnt ab: zu oft. Bitte einige Minuten warten.", "unsupported": "Die Box kann das nicht.",
		"refused": "Die Box hat abgelehnt.", "failed": "Das ist nicht gelungen. Im Protokoll dieses Programms steht, warum."},
	Metrics: map[string]string{"rtt": "Antwortzeit", "jitter": "Schwankung (Jitter)", "loss": "Paketverlust", "rate": "Durchsatz",
		"rtt_ms": "ohne Last", "loaded_rtt_ms": "unter Last", "down_bits_per_s": "Empfang", "up_bits_per_s": "Senden", "jitter_ms": "Jitter", "loss_ratio": "Verlust"},

	People: "Zugänge", Person: "Name", Users: "Personen mit Passwort", Guests: "Angemeldet über Ihre Firma",
	GuestsHint: "Was diese Personen dürfen, sagen die Gruppen beim Anmeldedienst Ihrer Firma. Dort wird auch gesperrt; hier endet, was gerade angemeldet ist.",
	Programs:   "Programme mit Token", NoTokens: "Noch kein Programm hat ein Token.", Role: "Rolle", Tenants: "Kunden (* = alle)",
	TenantsHint: "Kunden: ihre Namen, mit Komma dazwischen, oder * für alle. Eine Verwaltung gilt immer für alle.", AllTenants: "alle Kunden",
	LastLogin: "Letzte Anmeldung", LastSeen: "zuletzt", Never: "noch nie", Sessions: "Sitzungen", Change: "Ändern",
	SaveRight: "Rolle speichern", NewLink: "Neuer Link für ein Passwort", LogoutAll: "Überall abmelden", Remove: "Zugang entfernen", Revoke: "Token ungültig machen",
	AddPerson: "Person hinzufügen", AddToken: "Token ausstellen", TokenFor: "Wofür", Valid: "Gültig", Forever: "bis es ungültig gemacht wird", ForDays: "%s Tage", Till: "bis %s",
	Expired: "abgelaufen", You: "(Sie)", LinkOpen: "Link für ein Passwort gilt bis %s", LinkGone: "kein Passwort, und der Link ist abgelaufen",
	LinkHint: "Mit diesem Link wird das Passwort gesetzt: einmal, in den nächsten 72 Stunden. Er wird nur jetzt gezeigt.", TokenHint: "Das Token wird nur jetzt gezeigt.",
	PersonName: "Ein Name hat 1 bis 64 Buchstaben, Ziffern und . _ @ + -.", PersonThere: "Diesen Namen gibt es schon.", PersonNone: "Das gibt es nicht mehr.",
	PersonSelf: "Die eigene Verwaltung kann man sich nicht nehmen.", PersonLast: "Danach könnte niemand mehr verwalten.",
	PersonTenants: "Bitte nennen Sie Kunden mit ihren Namen (Kleinbuchstaben, Ziffern und -), mit Komma dazwischen, oder * für alle.",
	TokenLabel:    "Bitte sagen Sie in 1 bis 80 Zeichen, wofür das Token ist.", Account: "Ihre Anmeldung",
	Roles: map[string]string{"viewer": "Ansehen", "support": "Support", "admin": "Verwaltung"},
	PeopleDone: map[string]string{"user-add": "%s ist hinzugefügt.", "user-change": "Die Rolle von %s ist geändert.", "user-reset": "%s braucht ein neues Passwort und ist überall abgemeldet.",
		"user-remove": "%s hat keinen Zugang mehr.", "user-logout": "%s ist überall abgemeldet.", "guest-logout": "%s ist überall abgemeldet.",
		"token-add": "Das Token für %s ist ausgestellt.", "token-revoke": "Das Token %s ist ungültig."},

	Claim: "Box zuordnen", ClaimHint: "Die Praxis liest den Code von der Box oder ihrer Seite vor. Danach gehört die Box dem Kunden und holt sich ihr Zertifikat selbst.",
	Code: "Code", ClaimTenant: "Kunde (a-z, 0-9, -)", ClaimName: "Name der Box (a-z, 0-9, -)", Give: "Zuordnen", Claimed: "%s ist zugeordnet.",
	NameRule: "Kunde und Name: Kleinbuchstaben, Ziffern und -, am Anfang kein -.", NoneWaiting: "Zurzeit wartet keine Box.", At: "fragte zuletzt",
	ClaimBad: "Keine wartende Box hat diesen Code. Ist er richtig, und ist die Box angeschlossen?", ClaimTaken: "Diesen Namen hat schon eine andere Box.",
}

var english = labels{
	Title: "Sprechprobe", Overview: "Overview", Box: "box", Boxes: "boxes", Silent: "silent", All: "all",
	Search: "Name, box or customer", Find: "Search", Filter: "By state",
	None: "No box has reported yet.", NoneFit: "No box fits this selection.",
	Unreadable:     "This box's reports cannot be read: its program is newer than this one, or broken.",
	UnreadableSome: "%d unreadable reports",
	LastSpoke:      "reported", ClockUnset: "clock not set", Version: "Version",
	Since: "for %s", NotSince: "since an unknown time", IT: "To change",
	Live: "live", Lost: "connection lost, trying again", Pause: "Pause", Resume: "Resume",
	NoBus:    "The NATS bus cannot be reached: what is shown may be out of date.",
	Blocked:  "alive, but cannot get through: %s",
	Previous: "back", Next: "next", TurnPage: "Turn pages", Page: "Page %d of %d", Other: "Deutsch",
	Before: "last", Ago: "%s ago", Now: "just now", Capabilities: "What works",
	Skip: "To the content", Off: "paused",
	NoScript:    "Without JavaScript: reload the page for the newest state.",
	Waiting:     "Waiting to be claimed",
	MoreWaiting: "and %d more", Asked: "asked", Logout: "Log out", Calling: "Call for help, or cannot be read",
	State: "State", Practice: "Practice and box", Findings: "Finding", Changed: "For", Heard: "Reported", Provider: "Version, provider",
	Finding: "Finding", Cause: "Cause", Profile: "Service", Tenant: "Customer", ISP: "Provider", Any: "any", QuietFor: "Silent for more than", Reset: "Clear selection",
	Hits: "%d found", Download: "As a CSV file", Incident: "Outage", IncidentVendor: "Outage of the service: %s.",
	IncidentISP: "Outage at the provider %s: %s.", IncidentBox: "1 box affected", IncidentBoxes: "%d boxes affected", IncidentPast: "an earlier one", More: "and %d more",
	Behind: "a newer report waits in the box: %s",
	Twin:   "two boxes report under this name (a copied card?)",
	Busy:   "The database does not answer. Please try again in a moment.",

	Incidents: "Outages", IncidentsNone: "No outage is known in this time.", IncidentsMore: "These are the newest %d. Choose days to see older ones.",
	IncidentsHint: "Outages of the service and of providers, which showed in that many boxes did not reach the same thing at the same time. Only boxes that you may see are counted.",
	Start:         "Start", End: "End", Lasts: "goes on", Lasted: "Duration", Target: "Target", Suffered: "Boxes affected", SufferNow: "of these now", ShowBoxes: "Show boxes",
	From: "From", Until: "To", Show: "Show",

	Range: "Period", Day: "24 hours", Week: "7 days", Month: "30 days", Harm: "Effect", Staff: "For the practice",
	Evidence: "Proof", Log: "Changes", LogNone: "Nothing changed in this period.",
	Began: "new", Ended: "over", Charts: "Measurements", AsTable: "As a table", Time: "Time", Mean: "mean", Least: "smallest", Most: "largest",
	NoValues: "This was not measured in this period.", ChartOf: "mean %s, smallest %s, largest %s",
	Timeline: "State over time", TimelineOf: "Share of the time", Gap: "no reports", Zone: "Times in %s.",
	NoFindings: "No findings.", RawGone: "The report itself has expired and was deleted. State and findings are still known.",
	Request: "Release request for the practice's IT", RequestText: "As text", Print: "To print", BackToBox: "Back to the box",
	BoxData: "About the box", Interval: "reports every", FirstHeard: "first reported", Reports: "Reports", Run: "Commands to the box",
	NoDesk: "This machine does not have the key for commands. On the machine with the keys:",
	Data:   "Data of this box", Export: "Download all that is kept of it", Delete: "Delete all that is kept of it",
	DeleteHint: "This cannot be undone. The box stays claimed; if it reports again, it begins anew. The audit log keeps that it was deleted.",
	Sure:       "To be sure: type %s", Unsure: "Nothing was deleted: please type %s.",
	Commanded: map[string]string{"check": "Check now", "identify": "Make the box blink", "bandwidth": "Measure bandwidth"},
	Answers: map[string]string{"accepted": "The box has accepted. The result appears here as soon as it reports.", "absent": "The box cannot be reached right now.",
		"late": "The box did not answer.", "too-often": "The box refuses: too often. Please wait a few minutes.", "unsupported": "The box cannot do that.",
		"refused": "The box has refused.", "failed": "That did not work. This program's log says why."},
	Metrics: map[string]string{"rtt": "Response time", "jitter": "Jitter", "loss": "Packet loss", "rate": "Throughput",
		"rtt_ms": "idle", "loaded_rtt_ms": "under load", "down_bits_per_s": "down", "up_bits_per_s": "up", "jitter_ms": "jitter", "loss_ratio": "loss"},

	People: "Access", Person: "Name", Users: "People with a password", Guests: "Logged in by your company",
	GuestsHint: "What these people may do is said by the groups at your company's login. There they are locked out, too; here ends what is logged in now.",
	Programs:   "Programs with a token", NoTokens: "No program has a token yet.", Role: "Role", Tenants: "Customers (* = all)",
	TenantsHint: "Customers: their names, with commas in between, or * for all. An administrator is always one for all.", AllTenants: "all customers",
	LastLogin: "Last login", LastSeen: "last", Never: "never yet", Sessions: "Sessions", Change: "Change",
	SaveRight: "Save role", NewLink: "New link for a password", LogoutAll: "Log out everywhere", Remove: "Remove access", Revoke: "Revoke token",
	AddPerson: "Add person", AddToken: "Make token", TokenFor: "What for", Valid: "Valid", Forever: "until revoked", ForDays: "%s days", Till: "until %s",
	Expired: "expired", You: "(you)", LinkOpen: "link for a password is good until %s", LinkGone: "no password, and the link has expired",
	LinkHint: "With this link the password is set: once, within the next 72 hours. It is shown only now.", TokenHint: "The token is shown only now.",
	PersonName: "A name has 1 to 64 letters, digits and . _ @ + -.", PersonThere: "This name exists already.", PersonNone: "That does not exist any more.",
	PersonSelf: "Nobody can take the administration from himself.", PersonLast: "Nobody could administer after that.",
	PersonTenants: "Please name customers by their names (lower-case letters, digits and -), with commas in between, or * for all.",
	TokenLabel:    "Please say in 1 to 80 characters what the token is for.", Account: "Your login",
	Roles: map[string]string{"viewer": "Viewer", "support": "Support", "admin": "Administrator"},
	PeopleDone: map[string]string{"user-add": "%s is added.", "user-change": "The role of %s is changed.", "user-reset": "%s needs a new password and is logged out everywhere.",
		"user-remove": "%s has no access any more.", "user-logout": "%s is logged out everywhere.", "guest-logout": "%s is logged out everywhere.",
		"token-add": "The token for %s is made.", "token-revoke": "The token %s is void."},

	Claim: "Claim a box", ClaimHint: "The practice reads the code from the box or its page. After that the box belongs to the customer and fetches its certificate by itself.",
	Code: "Code", ClaimTenant: "Customer (a-z, 0-9, -)", ClaimName: "Name of the box (a-z, 0-9, -)", Give: "Claim", Claimed: "%s is claimed.",
	NameRule: "Customer and name: lower-case letters, digits and -, no - at the start.", NoneWaiting: "No box is waiting right now.", At: "last asked",
	ClaimBad: "No waiting box has this code. Is it right, and is the box plugged in?", ClaimTaken: "Another box has this name.",
}

// word is a state in the page's language.
func (l labels) word(s state, lang advice.Lang) string {
	if s == silent {
		return l.Silent
	}
	return advice.VerdictWord(verdictOf(s), lang)
}

// ago says how long something is past. The pages' script says the same.
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

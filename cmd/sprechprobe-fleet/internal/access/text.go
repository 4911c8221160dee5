package access

import (
	"errors"
	"net/http"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/advice"
)

// words are what the pages of the gate say.
type words struct {
	Login, Name, Password, Again, Enter, Provider, Or, Welcome, First, Choose, Save, Rules, LinkVoid, ToLogin,
	Wrong, TooOften, Short, Long, Guessed, Differ, BadName, NotYours, ProviderLost string
}

func wordsOf(l advice.Lang) words {
	if l == advice.English {
		return english
	}
	return german
}

var german = words{
	Login: "Anmelden", Name: "Name", Password: "Passwort", Again: "Passwort, noch einmal", Enter: "Anmelden",
	Provider: "Mit dem Konto Ihrer Firma anmelden", Or: "oder", Welcome: "Willkommen", First: "Der erste Zugang",
	Choose: "Bitte wählen Sie ein Passwort.", Save: "Speichern und anmelden", Rules: "Mindestens 12 Zeichen. Ein langer Satz ist gut.",
	LinkVoid: "Dieser Link gilt nicht mehr. Bitte lassen Sie sich einen neuen geben.", ToLogin: "Zur Anmeldung",
	Wrong: "Name oder Passwort stimmt nicht.", TooOften: "Zu viele Versuche. Bitte warten Sie eine Minute.",
	Short: "Das Passwort ist zu kurz: mindestens 12 Zeichen.", Long: "Das Passwort ist zu lang.",
	Guessed: "Dieses Passwort ist leicht zu erraten.", Differ: "Die beiden Passwörter sind verschieden.",
	BadName:      "Ein Name hat 1 bis 64 Buchstaben, Ziffern und . _ @ + -.",
	NotYours:     "Ihr Konto hat hier keine Rechte. Bitte wenden Sie sich an Ihre Verwaltung.",
	ProviderLost: "Die Anmeldung bei Ihrer Firma ist nicht gelungen. Bitte versuchen Sie es noch einmal.",
}

var english = words{
	Login: "Log in", Name: "Name", Password: "Password", Again: "Password, once more", Enter: "Log in",
	Provider: "Log in with your company's account", Or: "or", Welcome: "Welcome", First: "The first access",
	Choose: "Please choose a password.", Save: "Save and log in", Rules: "At least 12 characters. A long sentence is good.",
	LinkVoid: "This link is no longer valid. Please ask for a new one.", ToLogin: "To the login",
	Wrong: "Name or password is wrong.", TooOften: "Too many attempts. Please wait a minute.",
	Short: "The password is too short: at least 12 characters.", Long: "The password is too long.",
	Guessed: "This password is easily guessed.", Differ: "The two passwords are different.",
	BadName:      "A name has 1 to 64 letters, digits and . _ @ + -.",
	NotYours:     "Your account has no rights here. Please ask your administration.",
	ProviderLost: "The login at your company did not succeed. Please try again.",
}

// trouble says what is wrong with what somebody typed; empty: nothing of theirs.
func (l words) trouble(err error) string {
	for _, t := range []struct {
		err  error
		text string
	}{{errShort, l.Short}, {errLong, l.Long}, {errGuessed, l.Guessed}, {errAgain, l.Differ}, {errName, l.BadName}} {
		if errors.Is(err, t.err) {
			return t.text
		}
	}
	return ""
}

// LanguageCookie remembers the language that somebody has chosen.
const LanguageCookie = "lang"

// LanguageOf is the language that a page's address or its form asks for, or else the
// one that was chosen earlier, or else the first that the browser names and we speak,
// or else German. Of a form it knows what has been parsed.
func LanguageOf(r *http.Request) advice.Lang {
	asked := []string{r.URL.Query().Get("lang"), r.PostForm.Get("lang")}
	if c, err := r.Cookie(LanguageCookie); err == nil {
		asked = append(asked, c.Value)
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		asked = append(asked, base)
	}
	for _, s := range asked {
		if l, err := advice.ParseLang(s); err == nil {
			return l
		}
	}
	return advice.German
}

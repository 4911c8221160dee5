package advice

import "github.com/sprechprobe/sprechprobe/agent"

// Clean makes a foreign value safe.
var Clean = clean

// Section is one section of a finding as it is written.
type Section struct {
	Code   agent.Code
	Fields map[string]string
}

// Book is all text of one language as it is written.
type Book struct {
	Words     map[string]string
	Order     []agent.Code
	Sections  []Section
	Elsewhere map[agent.Cause]map[string]string
}

// ReadBook reads the embedded texts of a language.
func ReadBook(l Lang) (Book, error) {
	text := germanText
	if l == English {
		text = englishText
	}
	return ReadText(text)
}

// ReadText reads texts in the form of de.txt.
func ReadText(text string) (Book, error) {
	b, err := parse(text)
	out := Book{Words: b.words, Order: b.order, Elsewhere: map[agent.Cause]map[string]string{}}
	for _, c := range b.order {
		for _, e := range b.findings[c] {
			out.Sections = append(out.Sections, Section{c, e.fields})
		}
	}
	for c, f := range b.causes {
		out.Elsewhere[c] = f
	}
	return out, err
}

// Fill fills placeholders with the words of German.
func Fill(text string, args map[string]string) string { return fill(text, args, bookOf(German)) }

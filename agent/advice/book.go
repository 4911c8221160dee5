package advice

import (
	_ "embed" // for the texts
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/sprechprobe/sprechprobe/agent"
)

//go:embed de.txt
var germanText string

//go:embed en.txt
var englishText string

var (
	germanBook  = sync.OnceValue(func() *book { b, _ := parse(germanText); return b })
	englishBook = sync.OnceValue(func() *book { b, _ := parse(englishText); return b })
)

// bookOf returns the texts of a language. Mistakes in them are found by the
// tests; at run time whatever could be read is used.
func bookOf(l Lang) *book {
	if l == English {
		return englishBook()
	}
	return germanBook()
}

// The fields of a finding's text. The next step stands apart from the rest of
// what staff can do, because the sentence on top ends with it.
const (
	fieldTitle = "title"
	fieldHarm  = "harm"
	fieldMove  = "move"
	fieldStaff = "staff"
	fieldIT    = "it"
)

var fieldNames = []string{fieldTitle, fieldHarm, fieldMove, fieldStaff, fieldIT}

type fields map[string]string

// book is all text of one language.
type book struct {
	words    map[string]string      // by "section key"
	findings map[agent.Code][]entry // the first entry of a code is whole
	order    []agent.Code           // as written
	causes   map[agent.Cause]fields // for causes that a code's text does not name
}

// entry is one section of a finding. It holds for the causes and severities
// that it names, and for all of a kind of which it names none.
type entry struct {
	causes     []agent.Cause
	severities []agent.Severity
	fields     fields
}

func (e entry) holds(f agent.Finding) bool {
	return (len(e.causes) == 0 || slices.Contains(e.causes, f.Cause)) &&
		(len(e.severities) == 0 || slices.Contains(e.severities, f.Severity))
}

// entry returns the texts for a finding: those of the code's first section,
// overlaid by each later section that holds. home is false where no section
// was written for the finding's cause.
func (b *book) entry(f agent.Finding) (texts fields, home bool) {
	all := b.findings[f.Code]
	if len(all) == 0 {
		return fields{fieldTitle: b.word("phrase", "new-code")}, false
	}
	texts, home = maps.Clone(all[0].fields), b.concerns(f.Code, f.Cause)
	for _, e := range all[1:] {
		if e.holds(f) {
			maps.Copy(texts, e.fields)
			home = home || len(e.causes) > 0
		}
	}
	return texts, home
}

// concerns reports whether the code's first section was written for a cause.
func (b *book) concerns(code agent.Code, c agent.Cause) bool {
	all := b.findings[code]
	return len(all) > 0 && (len(all[0].causes) == 0 || slices.Contains(all[0].causes, c))
}

// word returns a word or phrase, or its key where the book has none (a word of
// a newer box).
func (b *book) word(section, key string) string {
	if w, ok := b.words[section+" "+key]; ok {
		return w
	}
	return clean(key)
}

// section returns all words of a section.
func (b *book) section(name string) []string {
	var out []string
	for key, w := range b.words {
		if strings.HasPrefix(key, name+" ") {
			out = append(out, w)
		}
	}
	return out
}

// phrase returns a phrase with its placeholders filled from pairs of name and
// value; an empty value counts as absent. Values must be safe already.
func (b *book) phrase(key string, pairs ...string) string {
	args := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			args[pairs[i]] = pairs[i+1]
		}
	}
	return fill(b.word("phrase", key), args, b)
}

// parse reads a file of texts. Lines are "key: text"; a line that begins with a
// blank continues the one before; '#' begins a comment. A section is headed
//
//	[reason]                         words by key
//	[finding turn-server vendor]     texts of a code, for causes and severities
//	[elsewhere isp]                  texts for a cause that a code does not name
//
// It returns what it could read along with the errors.
func parse(text string) (*book, error) {
	p := parser{book: &book{
		words:    map[string]string{},
		findings: map[agent.Code][]entry{},
		causes:   map[agent.Cause]fields{},
	}}
	for i, line := range strings.Split(text, "\n") {
		if err := p.line(strings.TrimRight(line, " \r")); err != nil {
			p.errs = append(p.errs, fmt.Errorf("line %d: %w", i+1, err))
		}
	}
	return p.book, errors.Join(p.errs...)
}

type parser struct {
	book *book
	errs []error
	put  func(key, text string) error // stores into the present section
	cont func(text string)            // continues the line before
}

func (p *parser) line(s string) error {
	switch {
	case s == "":
		p.cont = nil
		return nil
	case s[0] == '#':
		return nil
	case s[0] == '[':
		p.cont, p.put = nil, func(string, string) error { return nil }
		return p.section(strings.Trim(s, "[]"))
	case s[0] == ' ':
		if p.cont == nil {
			return fmt.Errorf("nothing to continue with %q", s)
		}
		p.cont(" " + strings.TrimSpace(s))
		return nil
	}
	key, value, found := strings.Cut(s, ":")
	if !found || p.put == nil {
		return fmt.Errorf("want a section or key: text, have %q", s)
	}
	return p.put(key, strings.TrimSpace(value))
}

func (p *parser) section(head string) error {
	words := strings.Fields(head)
	switch {
	case len(words) >= 2 && words[0] == "finding":
		return p.finding(agent.Code(words[1]), words[2:])
	case len(words) == 2 && words[0] == "elsewhere":
		var c agent.Cause
		if err := c.UnmarshalText([]byte(words[1])); err != nil {
			return err
		}
		p.book.causes[c] = fields{}
		p.into(p.book.causes[c], "", fieldNames)
		return nil
	case len(words) == 1:
		p.into(p.book.words, words[0]+" ", nil)
		return nil
	}
	return fmt.Errorf("unknown section %q", head)
}

func (p *parser) finding(code agent.Code, conditions []string) error {
	e := entry{fields: fields{}}
	for _, w := range conditions {
		if err := e.condition([]byte(w)); err != nil {
			return err
		}
	}
	if p.book.findings[code] == nil {
		p.book.order = append(p.book.order, code)
	}
	p.book.findings[code] = append(p.book.findings[code], e)
	p.into(e.fields, "", fieldNames)
	return nil
}

func (e *entry) condition(word []byte) error {
	var c agent.Cause
	var s agent.Severity
	if c.UnmarshalText(word) == nil {
		e.causes = append(e.causes, c)
		return nil
	}
	if s.UnmarshalText(word) == nil {
		e.severities = append(e.severities, s)
		return nil
	}
	return fmt.Errorf("%q is no cause and no severity", word)
}

// into makes the following lines go into m, under keys that begin with prefix
// and, where allowed is not nil, are among them.
func (p *parser) into(m map[string]string, prefix string, allowed []string) {
	p.put = func(key, text string) error {
		p.cont = nil
		if allowed != nil && !slices.Contains(allowed, key) {
			return fmt.Errorf("unknown field %q", key)
		}
		key = prefix + key
		if _, twice := m[key]; twice {
			return fmt.Errorf("%q stands here twice", key)
		}
		m[key] = text
		p.cont = func(more string) { m[key] += more }
		return nil
	}
}

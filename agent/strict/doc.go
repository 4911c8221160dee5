package strict

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one mistake in a file.
type Error struct {
	File  string
	Line  int    // from 1; 0: the file as a whole
	Entry string // as in "target 2, port" or "box.id", counting from 1; empty: none
	Text  string
}

// Error writes the mistake as file:line: entry: text.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Entry != "" {
		b.WriteString(": " + e.Entry)
	}
	b.WriteString(": " + e.Text)
	return b.String()
}

// maxErrors is how many mistakes of one file are told; more help nobody.
const maxErrors = 32

// Doc is a file that was read: it knows where its entries stand, and collects
// the mistakes that its caller finds in their values. It is for one goroutine.
type Doc struct {
	file string
	root *entry
	errs []*Error
	more int // errors beyond maxErrors
}

// Key is the place of a top-level entry.
func (d *Doc) Key(name string) Place { return d.at(d.root).Key(name) }

// Errorf notes a mistake that concerns the whole file.
func (d *Doc) Errorf(format string, args ...any) { d.at(d.root).Errorf(format, args...) }

// Err returns the mistakes noted so far, joined and sorted by line, or nil.
func (d *Doc) Err() error {
	slices.SortStableFunc(d.errs, func(a, b *Error) int { return a.Line - b.Line })
	var all []error
	for _, e := range d.errs {
		all = append(all, e)
	}
	if d.more > 0 {
		all = append(all, &Error{File: d.file, Text: fmt.Sprintf("%d more errors", d.more)})
	}
	return errors.Join(all...)
}

func (d *Doc) at(root *entry) Place { return Place{doc: d, entry: root, line: root.line} }

// Place is where an entry stands in a file, or would stand if it were set.
type Place struct {
	doc   *Doc
	entry *entry // nil: not set
	line  int
	name  string
	item  bool // the last step of name is a number
}

// Key is the place of an entry of the table at p.
func (p Place) Key(name string) Place {
	p.entry = p.entry.kid(name)
	p.name = joinName(p.name, p.item, name)
	p.item = false
	return p.found()
}

// Item is the place of the i-th item, from 0, of the list at p.
func (p Place) Item(i int) Place {
	p.entry = p.entry.at(i)
	p.name = itemName(p.name, i)
	p.item = true
	return p.found()
}

// found keeps the line of what surrounds an entry that is not set.
func (p Place) found() Place {
	if p.entry != nil {
		p.line = p.entry.line
	}
	return p
}

// Set reports whether the file has this entry.
func (p Place) Set() bool { return p.entry != nil }

// Line is the entry's line, or that of what surrounds it where it is not set.
func (p Place) Line() int { return p.line }

// Errorf notes a mistake in the entry, to be returned by [Doc.Err].
func (p Place) Errorf(format string, args ...any) {
	if len(p.doc.errs) >= maxErrors {
		p.doc.more++
		return
	}
	p.doc.errs = append(p.doc.errs, &Error{
		File: p.doc.file, Line: p.line, Entry: p.name, Text: clean(fmt.Sprintf(format, args...)),
	})
}

// joinName reads "target 2, port" after an item and "box.id" after a table.
func joinName(parent string, item bool, key string) string {
	key = keyName(key)
	switch {
	case parent == "":
		return key
	case item:
		return parent + ", " + key
	default:
		return parent + "." + key
	}
}

func itemName(list string, i int) string { return list + " " + strconv.Itoa(i+1) }

// keyName quotes keys that only quotes make possible: they come from the file
// and may hold anything, such as escape sequences of a terminal.
func keyName(key string) string {
	plain := func(r rune) bool {
		return r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if len(key) <= 40 && key != "" && strings.IndexFunc(key, func(r rune) bool { return !plain(r) }) < 0 {
		return key
	}
	return fmt.Sprintf("%.40q", key)
}

// clean makes a message one line of printable text of bounded length.
func clean(text string) string {
	const most = 400
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

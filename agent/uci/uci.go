// Package uci turns OpenWrt's configuration of a box, /etc/config/sprechprobe,
// into the one TOML file that the program reads. Sections and options have the
// names of the file's tables and entries. The package judges no value: that is
// for package config, whose errors [File.Blame] puts where people wrote them.
//
// It reads what libuci reads (file.c of openwrt/uci), but for abbreviated
// keywords and several commands on a line, which nothing writes. Whatever
// libuci would pass over, such as an unknown word, is an error that names the
// line.
package uci

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// File is a rendered configuration.
type File struct {
	Text []byte // TOML

	file  string
	lines []int // by line of Text, from 1: the line of the UCI file; 0: none
}

// Render reads a UCI file into TOML. file is the name that errors use; they are
// [*strict.Error], joined.
func Render(file string, data []byte) (File, error) {
	if len(data) > strict.MaxSize {
		return File{}, &strict.Error{File: file, Text: fmt.Sprintf("file of more than %d bytes", strict.MaxSize)}
	}
	commands, err := parse(file, data)
	if err != nil {
		return File{}, err
	}
	sections, errs := sort(file, commands)
	if len(errs) > 0 {
		return File{}, errors.Join(errs...)
	}
	return render(file, sections), nil
}

// Blame moves errors about the rendered text to the lines of the UCI file.
func (f File) Blame(err error) error {
	var all []error
	for _, e := range strict.Errors(err) {
		moved := *e
		moved.File = f.file
		if e.Line > 0 && e.Line < len(f.lines) {
			moved.Line = f.lines[e.Line]
		}
		all = append(all, &moved)
	}
	if len(all) == 0 {
		return err
	}
	return errors.Join(all...)
}

// set is an option as it was written.
type set struct {
	line   int
	name   string
	kind   kind
	values []string
}

// section is a section whose type is known.
type section struct {
	line int
	typ  *sectionType
	sets []set
}

// sort puts commands into their sections and checks names and forms.
func sort(file string, commands []command) (sections []*section, errs []error) {
	wrong := func(line int, entry, format string, args ...any) {
		errs = append(errs, &strict.Error{File: file, Line: line, Entry: entry, Text: fmt.Sprintf(format, args...)})
	}
	var now *section
	unknown := false // what stands in an unknown section is not told as well
	for _, c := range commands {
		if len(errs) >= maxErrors {
			return nil, errs
		}
		switch {
		case c.word == "package":
		case c.word == "config":
			t := typeOf(c.name)
			if unknown = t == nil; unknown {
				wrong(c.line, "", "unknown section %s (known: %s)", shown(c.name), typeNames())
				continue
			}
			now = &section{line: c.line, typ: t}
			if !t.many && has(sections, t) {
				wrong(c.line, t.name, "a second section of this type")
			}
			sections = append(sections, now)
		case unknown:
		case now == nil:
			wrong(c.line, "", "%s before the first config", c.word)
		default:
			if why := now.put(c); why != "" {
				wrong(c.line, now.typ.name+"."+shown(c.name), "%s", why)
			}
		}
	}
	return sections, errs
}

const (
	maxErrors = 32
	maxValues = 64 // of one list; the longest that package config takes has 16
)

func has(sections []*section, t *sectionType) bool {
	for _, s := range sections {
		if s.typ == t {
			return true
		}
	}
	return false
}

// put takes an option or an item of a list, and says what is wrong with it. As
// for libuci, an empty value is none.
func (s *section) put(c command) string {
	o := s.typ.option(c.name)
	if o == nil {
		return "unknown option (known here: " + s.typ.optionNames() + ")"
	}
	if (o.kind == list) != (c.word == "list") {
		return fmt.Sprintf("is set by %q, want %q", c.word, o.kind.word())
	}
	for i := range s.sets {
		switch e := &s.sets[i]; {
		case e.name != c.name:
		case o.kind != list:
			return fmt.Sprintf("stands here twice (line %d)", e.line)
		case len(e.values) >= maxValues:
			return fmt.Sprintf("more than %d items", maxValues)
		default:
			e.values = append(e.values, c.value)
			return ""
		}
	}
	if c.value == "" {
		return ""
	}
	if why := o.kind.check(c.value); why != "" {
		return why
	}
	s.sets = append(s.sets, set{line: c.line, name: c.name, kind: o.kind, values: []string{c.value}})
	return ""
}

// render writes sections as TOML: the top level first, as TOML has it, and each
// entry on one line, so that a line has one origin.
func render(file string, sections []*section) File {
	f := File{file: file, lines: []int{0}}
	f.line(0, "# Made from "+strings.Map(printable, file)+" with each start: changes here are lost.")
	for _, t := range types {
		header := t.header
		for _, o := range t.options {
			if o.fallback == "" || sets(sections, t, o.name) {
				continue
			}
			f.head(0, &header)
			f.line(0, o.name+" = "+o.fallback)
		}
		for _, s := range sections {
			if s.typ != t {
				continue
			}
			for _, e := range s.sets {
				if o := t.option(e.name); o.local {
					continue
				}
				f.head(s.line, &header)
				f.line(e.line, e.name+" = "+e.toml())
			}
			if t.many {
				f.head(s.line, &header) // one without options is a mistake, and to be told
				header = t.header
			}
		}
	}
	return f
}

// sets reports whether a section of a type sets an option.
func sets(sections []*section, t *sectionType, name string) bool {
	for _, s := range sections {
		for _, e := range s.sets {
			if s.typ == t && e.name == name {
				return true
			}
		}
	}
	return false
}

// head writes the header of a table, once.
func (f *File) head(line int, header *string) {
	if *header != "" {
		f.line(0, "")
		f.line(line, *header)
		*header = ""
	}
}

func (f *File) line(origin int, text string) {
	f.Text = append(append(f.Text, text...), '\n')
	f.lines = append(f.lines, origin)
}

// toml is the value as TOML has it.
func (e set) toml() string {
	switch e.kind {
	case flag:
		return strconv.FormatBool(truth(e.values[0]))
	case number:
		return e.values[0]
	case list:
		var b bytes.Buffer
		for i, v := range e.values {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quote(v))
		}
		return "[" + b.String() + "]"
	case orNone:
		if e.values[0] == none {
			return `""`
		}
	}
	return quote(e.values[0])
}

// quote writes a basic string of TOML, on one line whatever is in it.
func quote(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = fmt.Appendf(b, `\u%04X`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}

// shown is a name from the file as an error may repeat it.
func shown(name string) string {
	if len(name) <= 40 && name != "" && strings.IndexFunc(name, func(r rune) bool { return !nameRune(r) }) < 0 {
		return name
	}
	return fmt.Sprintf("%.40q", name)
}

func nameRune(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return utf8.RuneError
	}
	return r
}

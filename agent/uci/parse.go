package uci

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// command is one line: "config TYPE [NAME]", "option NAME VALUE", "list NAME
// VALUE" or "package NAME". A quoted value may go over several lines.
type command struct {
	line  int
	word  string
	name  string // a section's type
	value string // a section's name
}

// parser reads commands.
type parser struct {
	data []byte
	pos  int
	line int
}

func parse(file string, data []byte) ([]command, error) {
	p := parser{data: data, line: 1}
	var all []command
	var errs []error
	for len(errs) < maxErrors {
		words, at, err := p.words()
		if err == nil && len(words) == 0 {
			break
		}
		var c command
		if err == nil {
			c, err = commandOf(words)
		}
		if err != nil {
			errs = append(errs, &strict.Error{File: file, Line: at, Text: err.Error()})
			continue
		}
		c.line = at
		all = append(all, c)
	}
	return all, errors.Join(errs...)
}

// commandOf checks the words of a line.
func commandOf(words []string) (command, error) {
	c := command{word: words[0]}
	switch c.word {
	case "config", "package":
	case "option", "list":
		// Without a value it is as good as one that is empty.
	default:
		return c, fmt.Errorf("%s: want config, option or list", shown(c.word))
	}
	if len(words) < 2 || words[1] == "" {
		return c, fmt.Errorf("%s without a name", c.word)
	}
	if c.name = words[1]; c.word != "package" && shown(c.name) != c.name {
		return c, fmt.Errorf("%s %s: want a name of a-z, 0-9 and _", c.word, shown(c.name))
	}
	if len(words) > 2 {
		c.value = words[2]
	}
	if len(words) > 3 {
		return c, fmt.Errorf("%s %s: more than one value (quotes are missing?)", c.word, c.name)
	}
	return c, nil
}

// words reads the next line that has any, and where it begins. At the end of the
// file there are none. After an error it goes on with the next line.
func (p *parser) words() (words []string, at int, err error) {
	at = p.line
	for p.pos < len(p.data) {
		switch c := p.data[p.pos]; {
		case c == '\n':
			p.next()
			if len(words) > 0 {
				return words, at, nil
			}
			at = p.line
		case space(c):
			p.next()
		case c == '#':
			p.skipLine()
		default:
			w, err := p.word()
			if err != nil {
				p.skipLine()
				return nil, at, err
			}
			words = append(words, w)
		}
	}
	return words, at, nil
}

// word reads one word: any sequence of quoted and bare parts.
func (p *parser) word() (string, error) {
	var b []byte
	for p.pos < len(p.data) {
		c := p.data[p.pos]
		switch {
		case space(c) || c == '\n' || c == '#':
			return checked(b)
		case c == ';':
			return "", errors.New("a bare ; (quotes are missing?)")
		case c == '\'' || c == '"':
			p.next()
			part, err := p.quoted(c)
			if err != nil {
				return "", err
			}
			b = append(b, part...)
		case c == '\\':
			p.next()
			b = p.escaped(b)
		default:
			b = append(b, c)
			p.next()
		}
	}
	return checked(b)
}

// quoted reads up to the end of a quotation. Only double quotes know escapes.
func (p *parser) quoted(end byte) ([]byte, error) {
	start, from := p.line, p.pos
	var b []byte
	for p.pos < len(p.data) {
		c := p.data[p.pos]
		p.next()
		switch {
		case c == end:
			return b, nil
		case c == '\\' && end == '"':
			b = p.escaped(b)
		default:
			b = append(b, c)
		}
	}
	p.line, p.pos = start, from // what follows is looked at line by line
	return nil, fmt.Errorf("no closing %c", end)
}

// escaped takes what follows a backslash: any byte stands for itself, and the
// end of a line for nothing.
func (p *parser) escaped(b []byte) []byte {
	if p.pos+1 < len(p.data) && p.data[p.pos] == '\r' && p.data[p.pos+1] == '\n' {
		p.next()
	}
	if p.pos >= len(p.data) {
		return b
	}
	if c := p.data[p.pos]; c != '\n' {
		b = append(b, c)
	}
	p.next()
	return b
}

func (p *parser) next() {
	if p.data[p.pos] == '\n' {
		p.line++
	}
	p.pos++
}

func (p *parser) skipLine() {
	for p.pos < len(p.data) && p.data[p.pos] != '\n' {
		p.pos++
	}
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' }

// checked refuses what is no text.
func checked(b []byte) (string, error) {
	switch {
	case !utf8.Valid(b):
		return "", errors.New("not UTF-8")
	case bytes.IndexByte(b, 0) >= 0:
		return "", errors.New("NUL byte")
	}
	return string(b), nil
}

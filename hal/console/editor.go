package console

import (
	"bytes"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxInput is the longest line that somebody may type, characters.
const maxInput = 120

// Keys that edit.
const (
	keyCancel    = 0x03 // ^C
	keyErase     = 0x08 // backspace, as some terminals send it
	keyErase2    = 0x7f // and as others do
	keyEraseWord = 0x17 // ^W
	keyEraseLine = 0x15 // ^U
	keyEscape    = 0x1b
)

// editor is a line that is being typed. It takes any bytes: of what is no
// editing key it keeps only letters and signs that are one column wide, so that
// erasing on the far end's screen is exact. It holds one line and the one
// before, which the key "up" brings back.
type editor struct {
	line   []rune
	before string
	part   []byte // of a letter of several bytes
	escape int    // 1 after an escape, 2 in the sequence that it began
	cr     bool   // the last byte ended a line; a line feed behind it is part of that
	echo   strings.Builder
}

// next takes a byte. It returns a line when that byte ends one; what is to be
// written on the far end's screen collects in echo.
func (e *editor) next(c byte) (line string, ended bool) {
	feed := e.cr && c == '\n'
	e.cr = c == '\r'
	switch {
	case feed:
	case e.escape > 0:
		e.sequence(c)
	case c == '\r' || c == '\n':
		return e.end(), true
	case c == keyCancel:
		e.rub(len(e.line))
		return e.end(), true
	case c == keyErase || c == keyErase2:
		e.rub(min(1, len(e.line)))
	case c == keyEraseLine:
		e.rub(len(e.line))
	case c == keyEraseWord:
		e.rub(len(e.line) - wordStart(e.line))
	case c == keyEscape:
		e.escape, e.part = 1, nil
	default:
		e.letter(c)
	}
	return "", false
}

func (e *editor) end() string {
	line := string(e.line)
	if strings.TrimSpace(line) != "" {
		e.before = line
	}
	e.line, e.part = e.line[:0], nil
	e.echo.WriteString("\r\n")
	return line
}

// sequence passes over what an escape begins, but for the key "up".
func (e *editor) sequence(c byte) {
	switch {
	case e.escape == 1 && (c == '[' || c == 'O'):
		e.escape = 2
		return
	case e.escape == 2 && c >= 0x20 && c < 0x40: // a parameter
		return
	case e.escape == 2 && c == 'A':
		e.rub(len(e.line))
		e.line = append(e.line, []rune(e.before)...)
		e.echo.WriteString(e.before)
	}
	e.escape = 0
}

// letter takes a byte of a letter.
func (e *editor) letter(c byte) {
	e.part = append(e.part, c)
	if !utf8.FullRune(e.part) {
		return
	}
	r, _ := utf8.DecodeRune(e.part)
	e.part = nil
	if r > 0x24f || !unicode.IsPrint(r) || len(e.line) >= maxInput {
		return
	}
	e.line = append(e.line, r)
	e.echo.WriteRune(r)
}

// rub erases the last n letters, here and on the screen.
func (e *editor) rub(n int) {
	e.line = e.line[:len(e.line)-n]
	e.part = nil
	e.echo.WriteString(strings.Repeat("\b \b", n))
}

// wordStart is where the last word of a line begins.
func wordStart(line []rune) int {
	i := len(line)
	for i > 0 && line[i-1] == ' ' {
		i--
	}
	for i > 0 && line[i-1] != ' ' {
		i--
	}
	return i
}

// Dialogue is a terminal that somebody types at. It belongs to one goroutine.
type Dialogue struct {
	port   io.ReadWriter
	editor editor
	typed  []byte // read, but not looked at yet
	buf    [64]byte
}

// NewDialogue makes a dialogue on anything that reads and writes bytes.
func NewDialogue(port io.ReadWriter) *Dialogue { return &Dialogue{port: port} }

// Write writes text; lines end as terminals want it.
func (d *Dialogue) Write(text []byte) (int, error) {
	if _, err := d.port.Write(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(text), nil
}

// ReadLine asks for a line. It has at most 120 characters, all of which print.
func (d *Dialogue) ReadLine(prompt string) (string, error) {
	if _, err := d.Write([]byte(prompt)); err != nil {
		return "", err
	}
	for {
		line, ended := d.look()
		if echo := d.editor.echo.String(); echo != "" {
			d.editor.echo.Reset()
			if _, err := io.WriteString(d.port, echo); err != nil {
				return "", err
			}
		}
		if ended {
			return line, nil
		}
		n, err := d.port.Read(d.buf[:])
		if err != nil {
			return "", err
		}
		d.typed = d.buf[:n]
	}
}

// look takes what was typed, up to the end of a line.
func (d *Dialogue) look() (line string, ended bool) {
	for len(d.typed) > 0 && !ended {
		line, ended = d.editor.next(d.typed[0])
		d.typed = d.typed[1:]
	}
	return line, ended
}

package console

import (
	"bytes"
	"fmt"
	"strconv"
)

// The protocol. The box sends a line whenever its word changes, and the same
// every five seconds:
//
//	>STATE <word> <seq>*<crc>\n
//
// Word is 1 to 32 of a-z, 0-9, + and -; seq counts lines, 0 to 65535 and over
// again; crc is the CRC-8 (polynomial 0x07, from 0) of all between > and *,
// two lower-case hex digits. A panel answers "OK <seq>\n". It says "HELLO\n",
// with anything behind it, when it has started: many restart whenever their
// port is opened. It should show that the box is lost after 15 s without a
// valid line. Lines are ASCII and never longer than 64 bytes, and those that
// make no sense are to be passed over on both sides.
const (
	maxLine = 64
	maxWord = 32
)

// Frame is the line that tells a word.
func Frame(word string, seq uint16) ([]byte, error) {
	if !wordFits(word) {
		return nil, fmt.Errorf("word %.40q: want 1 to %d of a-z, 0-9, + and -", word, maxWord)
	}
	body := fmt.Appendf(nil, "STATE %s %d", word, seq)
	return fmt.Appendf(nil, ">%s*%02x\n", body, crc8(body)), nil
}

// ParseFrame reads what Frame made, without its newline. It accepts no other
// way to write the same.
func ParseFrame(line []byte) (word string, seq uint16, err error) {
	bad := func(what string) (string, uint16, error) {
		return "", 0, fmt.Errorf("line %.70q: %s", line, what)
	}
	if len(line) >= maxLine {
		return bad("too long")
	}
	body, ok := bytes.CutPrefix(line, []byte(">"))
	body, sum, found := bytes.Cut(body, []byte("*"))
	if !ok || !found {
		return bad("want >...*crc")
	}
	if want := fmt.Sprintf("%02x", crc8(body)); string(sum) != want {
		return bad("checksum is not " + want)
	}
	f := bytes.Split(body, []byte(" "))
	if len(f) != 3 || string(f[0]) != "STATE" || !wordFits(string(f[1])) {
		return bad("want STATE, a word and a number")
	}
	if seq, ok = number(f[2]); !ok {
		return bad("want a number up to 65535")
	}
	return string(f[1]), seq, nil
}

func wordFits(w string) bool {
	for i := range len(w) {
		c := w[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '+' && c != '-' {
			return false
		}
	}
	return len(w) >= 1 && len(w) <= maxWord
}

// number reads a decimal without sign or leading zero.
func number(b []byte) (uint16, bool) {
	n, err := strconv.ParseUint(string(b), 10, 16)
	return uint16(n), err == nil && strconv.FormatUint(n, 10) == string(b)
}

func crc8(b []byte) byte {
	var c byte
	for _, x := range b {
		c ^= x
		for range 8 {
			if c&0x80 != 0 {
				c = c<<1 ^ 0x07
			} else {
				c <<= 1
			}
		}
	}
	return c
}

// reply is what a panel said: hello, or that it got a line.
type reply struct {
	hello bool
	seq   uint16
}

func parseReply(line []byte) (reply, bool) {
	if rest, ok := bytes.CutPrefix(line, []byte("OK ")); ok {
		seq, ok := number(rest)
		return reply{seq: seq}, ok
	}
	rest, ok := bytes.CutPrefix(line, []byte("HELLO"))
	return reply{hello: true}, ok && (len(rest) == 0 || rest[0] == ' ')
}

// replies finds replies in a stream of bytes. It holds one line at most.
type replies struct {
	line    []byte
	skip    bool // the line is too long; wait for the next
	garbage int  // bytes of lines that were none, since the last reply
}

// read takes the next bytes and calls got for each reply in them.
func (r *replies) read(b []byte, got func(reply)) {
	for _, c := range b {
		switch {
		case c == '\n':
			r.end(got)
		case len(r.line) >= maxLine-1:
			r.garbage += len(r.line) + 1
			r.line, r.skip = r.line[:0], true
		case r.skip:
			r.garbage++
		default:
			r.line = append(r.line, c)
		}
	}
}

func (r *replies) end(got func(reply)) {
	line := bytes.TrimSuffix(r.line, []byte("\r"))
	switch rep, ok := parseReply(line); {
	case r.skip:
	case ok:
		r.garbage = 0
		got(rep)
	default:
		r.garbage += len(r.line) + 1
	}
	r.line, r.skip = r.line[:0], false
}

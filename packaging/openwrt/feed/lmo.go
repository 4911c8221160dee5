package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// lmo turns a translation, without plurals and contexts, into the form that LuCI
// reads: texts padded to four bytes, then an index of 32-bit numbers sorted by
// the hash of what is translated, then where that begins.
func lmo(in, out string) error {
	text, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	messages, err := readPO(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	type entry struct{ key, offset, length uint32 }
	var body []byte
	var entries []entry
	for _, m := range messages {
		if m.id == "" || m.str == "" || m.str == m.id {
			continue
		}
		entries = append(entries, entry{hash(m.id), uint32(len(body)), uint32(len(m.str))})
		body = append(body, m.str...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
	}
	if len(entries) == 0 {
		return fmt.Errorf("%s: nothing is translated", in)
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	at := uint32(len(body))
	for i, e := range entries {
		if i > 0 && e.key == entries[i-1].key {
			return fmt.Errorf("%s: two texts of the same hash", in)
		}
		for _, n := range []uint32{e.key, 1, e.offset, e.length} {
			body = binary.BigEndian.AppendUint32(body, n)
		}
	}
	return os.WriteFile(out, binary.BigEndian.AppendUint32(body, at), 0o644)
}

type message struct{ id, str string }

// readPO reads msgid and msgstr, which may go over several lines.
func readPO(text string) ([]message, error) {
	var all []message
	var now *string
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		word, quoted, _ := strings.Cut(line, " ")
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '"':
			quoted = line
		case word == "msgid":
			all = append(all, message{})
			now = &all[len(all)-1].id
		case word == "msgstr" && len(all) > 0:
			now = &all[len(all)-1].str
		default:
			return nil, fmt.Errorf("line %d: want msgid or msgstr", n+1)
		}
		part, err := unquote(quoted)
		if err != nil || now == nil {
			return nil, fmt.Errorf("line %d: want a text in quotes", n+1)
		}
		*now += part
	}
	return all, nil
}

// unquote takes the quotes off, and backslashes before quotes and backslashes.
// Others stay, as po2lmo leaves them.
func unquote(s string) (string, error) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", errors.New("no quotes")
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(s[1 : len(s)-1]), nil
}

// hash is Paul Hsieh's SuperFastHash, begun with the length, for ASCII.
func hash(s string) uint32 {
	h := uint32(len(s))
	two := func(i int) uint32 { return uint32(s[i]) | uint32(s[i+1])<<8 }
	i := 0
	for ; i+4 <= len(s); i += 4 {
		h += two(i)
		h = h<<16 ^ (two(i+2)<<11 ^ h)
		h += h >> 11
	}
	switch len(s) - i {
	case 3:
		h += two(i)
		h ^= h << 16
		h ^= uint32(s[i+2]) << 18
		h += h >> 11
	case 2:
		h += two(i)
		h ^= h << 11
		h += h >> 17
	case 1:
		h += uint32(s[i])
		h ^= h << 10
		h += h >> 1
	}
	h ^= h << 3
	h += h >> 5
	h ^= h << 4
	h += h >> 17
	h ^= h << 25
	return h + h>>6
}

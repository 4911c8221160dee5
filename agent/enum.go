package agent

import (
	"fmt"
	"slices"
)

// name returns the word for v, or a visible placeholder where v is no known
// value (which is a mistake of ours and must not panic in a report).
func name(words []string, v uint8) string {
	if int(v) < len(words) {
		return words[v]
	}
	return fmt.Sprintf("invalid(%d)", v)
}

// parse finds a word and says what it was meant to be where there is none.
func parse(what string, words []string, text []byte) (uint8, error) {
	i := slices.Index(words, string(text))
	if i < 0 {
		return 0, fmt.Errorf("unknown %s %q (want one of %q)", what, text, words)
	}
	return uint8(i), nil
}

package advice

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxArg is how much of one foreign value is shown, in runes.
const maxArg = 120

// clean makes a value that may come from the network safe to show: no control
// or formatting characters (terminal escapes, line ends, bidirectional marks),
// no quotation marks that could end ours, one line, at most maxArg runes.
func clean(s string) string {
	if len(s) > 16*maxArg {
		s = s[:16*maxArg]
	}
	var out strings.Builder
	blank, n := false, 0
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			blank = true
			continue
		case r == utf8.RuneError || !unicode.IsPrint(r):
			continue
		}
		if blank && n > 0 {
			out.WriteByte(' ')
			n++
		}
		blank = false
		out.WriteRune(plainQuote(r))
		if n++; n > maxArg {
			break
		}
	}
	return cut(out.String(), maxArg)
}

// cut shortens s to n runes, the last of which then is an ellipsis.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

func plainQuote(r rune) rune {
	switch r {
	case '"', '„', '“', '”', '«', '»', '‹', '›':
		return '\''
	}
	return r
}

// fill writes a text with its placeholders: {name} stands for an argument, and
// a part in brackets vanishes when an argument in it is absent. An argument
// that is absent outside brackets is said to be unknown. Values are not filled
// again, so braces in them stay what they are. A text with unbalanced braces is
// a mistake that the tests find; here it stays as it is written.
func fill(text string, args map[string]string, b *book) string {
	var out strings.Builder
	for text != "" {
		before, rest, found := strings.Cut(text, "[")
		s, _ := replace(before, args, b)
		out.WriteString(s)
		if !found {
			break
		}
		part, after, closed := strings.Cut(rest, "]")
		if !closed {
			out.WriteString("[" + rest)
			break
		}
		if s, whole := replace(part, args, b); whole {
			out.WriteString(s)
		}
		text = after
	}
	return out.String()
}

// replace fills the placeholders of a text without brackets and reports whether
// all of them had an argument.
func replace(text string, args map[string]string, b *book) (filled string, whole bool) {
	var out strings.Builder
	whole = true
	for {
		before, rest, found := strings.Cut(text, "{")
		out.WriteString(before)
		if !found {
			return out.String(), whole
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			out.WriteString("{" + rest)
			return out.String(), whole
		}
		v, ok := args[name]
		if !ok {
			v, whole = b.word("phrase", "absent"), false
		}
		out.WriteString(v)
		text = after
	}
}

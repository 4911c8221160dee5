package main

import (
	"context"
	"io"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light/sheet"
)

const sheetArgs = `[flags]
  --lang LANG    de or en (default de)`

// printSheet writes what the lamps of a box say as a page to be printed.
func printSheet(_ context.Context, e env, args []string) error {
	var lang string
	f := flags("sheet")
	f.StringVar(&lang, "lang", "de", "")
	if err := parse(f, args); err != nil {
		return err
	}
	l, err := advice.ParseLang(lang)
	if err != nil {
		return errUsage{err}
	}
	_, err = io.WriteString(e.out, sheet.HTML(l))
	return err
}

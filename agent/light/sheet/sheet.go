// Package sheet prints what the lamps say on one page, for the practice's wall.
// It stands beside package light, because the box has no printer and need not
// carry it.
package sheet

import (
	"fmt"
	"html"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/hal"
)

// HTML is the legend as one printed page: an HTML document that needs nothing
// else.
func HTML(l advice.Lang) string {
	var b strings.Builder
	word := func(key string) string { return html.EscapeString(advice.BoxWord(key, l)) }
	fmt.Fprintf(&b, sheetHead, l, word("lamps"), word("lamps"), word("lamps-intro"),
		word("col-picture"), word("col-looks"), word("col-means"))
	for _, e := range light.Legend(l) {
		fmt.Fprintf(&b, "<tr><td>%s<td>%s<td>%s\n", strip(e.Lamp), html.EscapeString(e.Looks), html.EscapeString(e.Means))
	}
	fmt.Fprintf(&b, "</table>\n<h2>%s</h2>\n<dl>\n", word("button"))
	for _, p := range light.Presses(l) {
		fmt.Fprintf(&b, "<dt>%s<dd>%s\n", html.EscapeString(p.How), html.EscapeString(p.Does))
	}
	b.WriteString("</dl>\n</html>\n")
	return b.String()
}

const sheetHead = `<!DOCTYPE html>
<html lang="%s">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sprechprobe: %s</title>
<style>
@page { size: A4; margin: 14mm }
body { font: 9.5pt/1.3 sans-serif; color: #000; background: #fff; max-width: 180mm; margin: auto }
h1, h2 { margin: .6em 0 .3em } h1 { font-size: 18pt } h2 { font-size: 13pt }
table { border-collapse: collapse } th, td { text-align: left; vertical-align: top; padding: 1mm 3mm 1mm 0; border-top: .3mm solid #999 }
svg { display: block; width: 40mm; height: 4.5mm; margin-top: .8mm }
dt { float: left; clear: left; font-weight: bold } dd { margin-left: 55mm }
</style>
<h1>Sprechprobe: %s</h1>
<p>%s
<table>
<tr><th>%s<th>%s<th>%s
`

// inks are the colours on paper; a lamp that is off has none.
var inks = [...]string{hal.Off: "", hal.Green: "#1a8f3c", hal.Yellow: "#e0a800", hal.Red: "#c81e1e", hal.Blue: "#1f5fd0", hal.White: "#fff"}

// beats are how much of a pattern a strip shows, 4 seconds.
const beats = 16

// strip draws the first seconds of a pattern, over and over, as a band of time.
// Lit is high and has an edge, so that a printer without colours shows it too.
func strip(p hal.Pattern) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d 9" role="img" aria-label="%s"><path d="M0 8h%d" stroke="#666" stroke-width=".4"/>`, beats*5, p, beats*5)
	for at, i := 0, 0; at < beats; i++ {
		s := p[i%len(p)]
		n := min(int(s.For/hal.Beat), beats-at)
		if ink := inks[s.Color]; ink != "" {
			fmt.Fprintf(&b, `<path d="M%d 1h%dv7h-%dz" fill="%s" stroke="#000" stroke-width=".4"/>`, at*5, n*5, n*5, ink)
		}
		at += n
	}
	return b.String() + "</svg>"
}

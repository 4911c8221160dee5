// Package panel says what a serial panel is told about a report, and is the box's
// side of the dialogue on a service console. It uses the states of the lamps, so
// that a panel and a lamp never disagree; it knows no port and no protocol.
package panel

import (
	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/light"
)

// Word is the panel's word for what the lamps show: the state's word, such as
// "ready" or "no-link", with "+u" behind it while the vendor does not hear
// from the box. A panel that does not know a word shows it as "unknown".
func Word(s light.Show) string { return s.String() }

// Of is the panel's word for a report.
func Of(r agent.Report) string { return Word(light.Of(r)) }

package reports

import (
	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Library reads a report by the JSON library alone.
func Library(b []byte) (r agent.Report, err error) {
	if err := read(b, &r); err != nil {
		return agent.Report{}, err
	}
	return r, fleet.CheckReport(r)
}

// Quickly reads a report without the library, if it can.
func Quickly(b []byte) (agent.Report, bool) { return quickly(b, false) }

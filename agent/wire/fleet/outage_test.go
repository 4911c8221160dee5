package fleet_test

import (
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

func TestDecodeOutages(t *testing.T) {
	const one = `{"target":"turn.example:3478/udp","cause":"vendor","from_at":"2026-11-20T09:00:00Z"}`
	head := `{"schema":"sprechprobe.outage/1","for_s":300,"outages":[`
	for name, tt := range map[string]struct{ in, wantErr string }{
		"one":            {head + one + `]}`, ""},
		"none":           {head + `]}`, ""},
		"unknown fields": {head + one + `],"weather":1}`, ""},
		"no JSON":        {`{`, "unexpected end"},
		"another schema": {`{"schema":"sprechprobe.time/1","for_s":300}`, "sprechprobe.outage/1"},
		"newer":          {`{"schema":"sprechprobe.outage/2","for_s":300}`, "newer"},
		"for ever":       {`{"schema":"sprechprobe.outage/1","for_s":86400}`, "86400 s"},
		"for no time":    {`{"schema":"sprechprobe.outage/1"}`, "for 0 s"},
		"the practice":   {head + strings.Replace(one, "vendor", "practice", 1) + `]}`, "practice"},
		"no cause":       {head + strings.Replace(one, "vendor", "unknown", 1) + `]}`, "unknown"},
		"no target":      {head + strings.Replace(one, "turn.example:3478/udp", "", 1) + `]}`, "target"},
		"no beginning":   {head + `{"target":"x","cause":"isp"}]}`, "from"},
		"many":           {head + strings.Repeat(one+",", fleet.MostOutages) + one + `]}`, "17 for"},
		"endless":        {head + strings.Repeat(" ", fleet.MaxOutages) + `]}`, "over"},
	} {
		_, err := fleet.DecodeOutages([]byte(tt.in))
		if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
			t.Errorf("%s: %v, want %q", name, err, tt.wantErr)
		}
	}
}

func FuzzDecodeOutages(f *testing.F) {
	f.Add([]byte(`{"schema":"sprechprobe.outage/1","for_s":300,"outages":[{"target":"turn.example:3478/udp","cause":"vendor","from_at":"2026-11-20T09:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := fleet.DecodeOutages(b)
		if err != nil {
			return
		}
		r := healthy()
		if was := o.Explain(r); was.Verdict != r.Verdict || len(was.Findings) != len(r.Findings) {
			t.Errorf("%s changes a report", b)
		}
	})
}

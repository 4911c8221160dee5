package fleet_test

import (
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
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

// What is about several hosts at once can be others' fault as well as what is about one.
func TestOutageTarget(t *testing.T) {
	args := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for want, f := range map[string]agent.Finding{
		"turn.example:3478/udp": {Code: agent.TURNUDPServer, Severity: agent.Major, Target: "turn.example:3478/udp", Args: args("host", "turn.example", "port", "3478")},
		"a.example, b.example:8443": {Code: agent.GroupBlockAll, Severity: agent.Critical, Cause: agent.CausePractice,
			Args: args("hosts", "a.example, b.example", "port", "8443", "addrs", "192.0.2.1, 192.0.2.2")},
		"turn.example:3478, 5349": {Code: agent.UDPAllBlock, Severity: agent.Critical, Args: args("hosts", "turn.example", "ports", "3478, 5349")},
		"wan-down":                {Code: agent.WANDown, Severity: agent.Critical, Cause: agent.CauseISP},
	} {
		if got := fleet.OutageTarget(f); got != want {
			t.Errorf("%s is about %q, want %q", f.Code, got, want)
		}
	}
	for _, f := range []agent.Finding{
		{Code: agent.LANUnstable, Severity: agent.Major, Cause: agent.CausePractice, Args: args("gateway", "192.168.178.1")},
		{Code: agent.TLSIntercept, Severity: agent.Critical, Cause: agent.CausePractice, Args: args("hosts", "www.example", "issuer", "Firewall")},
		{Code: agent.GroupBlockAll, Severity: agent.Minor, Args: args("hosts", "a.example", "port", "8443")},
		{Code: agent.GroupBlockAll, Severity: agent.Critical, Cause: agent.CauseBox, Args: args("hosts", "a.example", "port", "8443")},
	} {
		if got := fleet.OutageTarget(f); got != "" {
			t.Errorf("%+v is a practice's own, and yet about %q", f, got)
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

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/config"
)

// What the box found is told as the truth of now only while it is.
func TestStatus(t *testing.T) {
	c := config.Default()
	c.StateDir = t.TempDir()
	ready := agent.Report{Schema: agent.Schema, Verdict: agent.Ready}
	blocked := agent.Report{Schema: agent.Schema, Verdict: agent.Blocked, Findings: []agent.Finding{
		{Code: agent.TURNUDPBlock, Severity: agent.Major, Cause: agent.CausePractice},
	}}
	tests := []struct {
		name    string
		r       agent.Report
		running bool
		age     time.Duration
		state   string
		verdict agent.Verdict
		changes int
	}{
		{"ready", ready, true, time.Minute, "ready", agent.Ready, 0},
		{"blocked", blocked, true, time.Minute, "blocked", agent.Blocked, 1},
		{"rounds are overdue", ready, true, 17 * time.Minute, "unknown", agent.VerdictUnknown, 0},
		{"from before the start", ready, true, -time.Second, "unknown", agent.VerdictUnknown, 0},
		{"does not run", ready, false, time.Minute, "stopped", agent.VerdictUnknown, 0},
		{"nothing yet", agent.Report{}, true, 0, "starting", agent.VerdictUnknown, 0},
		{"nothing at all", agent.Report{}, false, 0, "stopped", agent.VerdictUnknown, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, lang := range advice.Langs {
				s := statusOf(c, tt.r, tt.running, tt.age, lang)
				if s.State != tt.state || s.Verdict != tt.verdict || len(s.Changes) != tt.changes || s.Running != tt.running {
					t.Errorf("%s: %+v, want state %s, verdict %s, %d changes", lang, s, tt.state, tt.verdict, tt.changes)
				}
				if s.Means == "" || s.Sentence == "" || s.Verdict == agent.VerdictUnknown && s.Sentence != s.Means {
					t.Errorf("%s: says %q, and of the lights %q", lang, s.Sentence, s.Means)
				}
				if lit := strings.Trim(s.Lamps["video"], "-") != ""; lit == (tt.state == "stopped" || tt.state == "starting") || len(s.Lamps) != 4 {
					t.Errorf("%s: lamps show %v", lang, s.Lamps)
				}
			}
		})
	}
}

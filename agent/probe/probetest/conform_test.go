package probetest_test

import (
	"context"
	"math"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
)

var (
	good   = target("good.example", "127.0.0.1")
	silent = target("silent.example", "127.0.0.2")
)

func target(host, addr string) agent.Target {
	t := agent.Target{Host: host, Port: 3478, Transport: agent.UDP}
	return t.At(netip.MustParseAddr(addr), agent.Plain)
}

// exemplary is a probe that keeps all rules without a network.
func exemplary(ctx context.Context, t agent.Target) agent.Evidence {
	if ctx.Err() != nil {
		return agent.See(agent.ProbeSTUN, t, agent.NotLooked, agent.Cancelled)
	}
	if t.Host == good.Host {
		return agent.See(agent.ProbeSTUN, t, agent.Answered, "").With(agent.RTT, time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	<-ctx.Done()
	if ctx.Err() == context.Canceled {
		return agent.See(agent.ProbeSTUN, t, agent.NotLooked, agent.Cancelled)
	}
	return agent.See(agent.ProbeSTUN, t, agent.Silent, agent.Timeout)
}

func TestExemplaryProbeConforms(t *testing.T) {
	probetest.Conform(t, exemplary, good, silent)
}

// A probe of the local side ignores its target and is done at once.
func TestLocalProbeConforms(t *testing.T) {
	local := func(ctx context.Context, t agent.Target) agent.Evidence {
		if ctx.Err() != nil {
			return agent.See(agent.ProbeLink, t, agent.NotLooked, agent.Cancelled)
		}
		return agent.See(agent.ProbeLink, t, agent.Refused, agent.NoCarrier)
	}
	probetest.Conform(t, local, good, good)
}

// changed is the exemplary probe with its evidence altered.
func changed(alter func(agent.Evidence) agent.Evidence) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence { return alter(exemplary(ctx, t)) }
}

// on is the exemplary probe with its outcome replaced where it was another.
func on(o agent.Outcome, why agent.Reason, instead agent.Outcome) agent.Probe {
	return changed(func(e agent.Evidence) agent.Evidence {
		if e.Outcome == o && e.Reason == why {
			e.Outcome, e.Grade = instead, agent.GradeOf(instead)
		}
		return e
	})
}

func TestBadProbesDoNot(t *testing.T) {
	tests := []struct {
		name  string
		probe agent.Probe
		want  string // part of what Check says
	}{
		{"deaf to its context", func(_ context.Context, t agent.Target) agent.Evidence {
			return exemplary(context.Background(), t)
		}, "cancelled before: outcome silent"},
		{"late", func(ctx context.Context, t agent.Target) agent.Evidence {
			if _, limited := ctx.Deadline(); limited {
				<-time.After(4 * time.Second)
			}
			return exemplary(ctx, t)
		}, "deadline: returned after 4s, want 300ms"},
		{"patient without a deadline", func(ctx context.Context, t agent.Target) agent.Evidence {
			if _, limited := ctx.Deadline(); !limited && t.Host == silent.Host && ctx.Done() == nil {
				<-time.After(10 * time.Second)
			}
			return exemplary(ctx, t)
		}, "own bound: returned after 11s, want 6s"},
		{"silence as refusal", on(agent.Silent, agent.Timeout, agent.Refused), "deadline: outcome refused"},
		{"silence as rejection", on(agent.Silent, agent.Timeout, agent.Rejected), "deadline: outcome rejected"},
		{"cancelled as silence", on(agent.NotLooked, agent.Cancelled, agent.Silent), "cancelled during: outcome silent"},
		{"cancelled for another reason", changed(func(e agent.Evidence) agent.Evidence {
			if e.Reason == agent.Cancelled {
				e.Reason = agent.NoRoute
			}
			return e
		}), `cancelled before: reason "no-route"`},
		{"good target not reached", on(agent.Answered, "", agent.Silent), "good target: outcome silent"},
		{"silence graded D", changed(func(e agent.Evidence) agent.Evidence {
			if e.Outcome == agent.Silent {
				e.Grade = agent.GradeD
			}
			return e
		}), "outcome silent has grade D, want E"},
		{"no reason", changed(func(e agent.Evidence) agent.Evidence {
			e.Reason = ""
			return e
		}), "outcome silent has no reason"},
		{"reason of its own", changed(func(e agent.Evidence) agent.Evidence {
			e.Reason = "bad-luck"
			return e
		}), `reason "bad-luck" is not in agent.Reasons`},
		{"key of its own", changed(func(e agent.Evidence) agent.Evidence {
			return e.With("luck_ratio", 0.5)
		}), `key "luck_ratio" is not in agent.Keys`},
		{"number as words", changed(func(e agent.Evidence) agent.Evidence {
			return e.With(agent.RTT, "5 ms")
		}), "rtt_ms is a string"},
		{"not a number", changed(func(e agent.Evidence) agent.Evidence {
			return e.With(agent.RTT, math.NaN())
		}), "rtt_ms is NaN"},
		{"whole page as words", changed(func(e agent.Evidence) agent.Evidence {
			return e.With(agent.Detail, strings.Repeat("x", 4096))
		}), "want at most 512 bytes"},
		{"raw value", changed(func(e agent.Evidence) agent.Evidence {
			e.Values = agent.Values{agent.Sends: 3}
			return e
		}), "sends_count is a int"},
		{"nameless", changed(func(e agent.Evidence) agent.Evidence {
			e.Probe = ""
			return e
		}), "names no probe"},
		{"about something else", changed(func(e agent.Evidence) agent.Evidence {
			e.Target.Port++
			return e
		}), "the evidence is about good.example:3479/udp, want good.example:3478/udp"},
		{"panics", func(context.Context, agent.Target) agent.Evidence { panic("boo") }, "panic: boo"},
		{"leaves a goroutine", func(ctx context.Context, t agent.Target) agent.Evidence {
			go func() { <-time.After(time.Hour) }()
			return exemplary(ctx, t)
		}, "leak: "},
		{"leaves a descriptor", func(ctx context.Context, tt agent.Target) agent.Evidence {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Error(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			return exemplary(ctx, tt)
		}, "leak: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := probetest.Check(tt.probe, good, silent)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Check says %v\nwant %q", err, tt.want)
				}
				<-time.After(2 * time.Hour) // for what was left behind
			})
		})
	}
}

package daemon

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	theirs = "turn.video.example:3478/udp"
	ours   = "group.video.example:8443/tcp"
)

// blocked is a report with a fault at the service's relay and one at its group server.
func blocked(since time.Time) agent.Report {
	return agent.Report{Schema: agent.Schema, Verdict: agent.Blocked, Stamp: agent.Stamp{At: since, Clock: agent.ClockSet},
		Capabilities: agent.Capabilities{agent.Relay: agent.No, agent.Group: agent.No},
		Findings: []agent.Finding{
			{Code: agent.TURNAllBlock, Severity: agent.Critical, Cause: agent.CausePractice, Target: theirs, SinceAt: since},
			{Code: agent.GroupBlockAll, Severity: agent.Critical, Cause: agent.CausePractice, Target: ours, SinceAt: since},
		}}
}

// told is a loop that shows a report, and whose vendor answers.
func told(t *testing.T, r agent.Report, ask func() (fleet.Outages, error)) *stage {
	t.Helper()
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	s := perform(t, Options{}, up, func(l *loop) {
		l.asked = func(context.Context) (fleet.Outages, error) { return ask() }
	})
	synctest.Wait()
	s.done <- outcome{report: r}
	synctest.Wait()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.asksOutages(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return s
}

// causes are those that the box shows, and whether its advice says that the vendor
// knows.
func (s *stage) causes() (turn, group agent.Cause, knows bool) {
	r := s.facts.Load().Report
	return r.Findings[0].Cause, r.Findings[1].Cause, strings.Contains(advice.Sentence(r, advice.German), "Der Videodienst weiß von dieser Störung")
}

// A box whose vendor knows of the outage says so, keeps its light and its verdict, goes
// on naming what is the practice's own, and takes its word back when it is over.
func TestOutageIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var answers atomic.Bool
		answers.Store(true)
		s := told(t, blocked(began), func() (fleet.Outages, error) {
			if !answers.Load() {
				return fleet.Outages{}, errors.New("the vendor is out of reach")
			}
			return fleet.Outages{Schema: fleet.OutageSchema, ForS: 300, Outages: []fleet.Outage{{Target: theirs, Cause: agent.CauseVendor, FromAt: began.Add(-time.Minute)}}}, nil
		})
		if turn, _, knows := s.causes(); turn != agent.CausePractice || knows {
			t.Errorf("before the vendor was asked: cause %v, told %v", turn, knows)
		}
		s.wants(t, light.Blocked)
		time.Sleep(time.Minute)
		synctest.Wait()
		turn, group, knows := s.causes()
		if turn != agent.CauseVendor || !knows {
			t.Errorf("the outage: cause %v, told %v", turn, knows)
		}
		if group != agent.CausePractice {
			t.Errorf("the practice's own fault is shown as %v's", group)
		}
		if r, err := ReadReport(ReportFile()); err != nil || r.Findings[0].Cause != agent.CauseVendor {
			t.Errorf("other commands read %+v, %v", r.Findings, err)
		}
		if r := s.facts.Load().Report; r.Verdict != agent.Blocked || r.Capabilities[agent.Relay] != agent.No {
			t.Errorf("the verdict became %v", r.Verdict)
		}
		s.wants(t, light.Blocked)
		answers.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if turn, _, _ := s.causes(); turn != agent.CauseVendor {
			t.Error("one question without an answer made the box forget")
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if turn, _, knows := s.causes(); turn != agent.CausePractice || knows {
			t.Errorf("long after the last word of it: cause %v, told %v", turn, knows)
		}
	})
}

// A fault that is older than the outage stays the practice's, and a box that does not
// know the time takes none for newer.
func TestOutageHidesNothing(t *testing.T) {
	for name, edit := range map[string]func(*agent.Report){
		"older":    func(r *agent.Report) { r.Findings[0].SinceAt = r.Findings[0].SinceAt.Add(-time.Hour) },
		"no clock": func(r *agent.Report) { r.Stamp.Clock = agent.ClockUnset },
		"minor":    func(r *agent.Report) { r.Findings[0].Severity = agent.Minor },
		"the box":  func(r *agent.Report) { r.Findings[0].Cause = agent.CauseBox },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := blocked(began)
				edit(&r)
				s := told(t, r, func() (fleet.Outages, error) {
					return fleet.Outages{Schema: fleet.OutageSchema, ForS: 300, Outages: []fleet.Outage{{Target: theirs, Cause: agent.CauseVendor, FromAt: began.Add(-time.Minute)}}}, nil
				})
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if turn, _, _ := s.causes(); turn != r.Findings[0].Cause {
					t.Errorf("cause became %v", turn)
				}
			})
		})
	}
}

// A box that suffers from nothing asks nobody.
func TestWellBoxesDoNotAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := blocked(time.Now())
		r.Findings, r.Verdict = nil, agent.Ready
		told(t, r, func() (fleet.Outages, error) {
			t.Error("it asked")
			return fleet.Outages{}, errors.New("")
		})
		time.Sleep(time.Hour)
		synctest.Wait()
	})
}

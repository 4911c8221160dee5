package webrtc_test

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// counts compares how many were sent, and that at most and at least so many came
// back.
func counts(t *testing.T, e agent.Evidence, sent, least, most float64) {
	t.Helper()
	got, _ := e.Values.Num(agent.Sent)
	back, seen := e.Values.Num(agent.Received)
	if got != sent || !seen || back < least || back > most {
		t.Errorf("sent %v, received %v; want %v and %v to %v", got, back, sent, least, most)
	}
}

// burst looks until this machine has kept the pace.
func burst(t *testing.T, target agent.Target) agent.Evidence {
	t.Helper()
	for range 30 {
		e := webrtc.Burst(t.Context(), target)
		if e.Reason != agent.OtherError {
			return e
		}
		t.Log(e.Values)
	}
	t.Fatal("never kept the pace")
	return agent.Evidence{}
}

func TestBurstAndFlows(t *testing.T) {
	if !inPractice(t) {
		return
	}
	some := brief{Outcome: agent.Answered, Reason: agent.LostSome}
	fine := brief{Outcome: agent.Answered}
	tests := []struct {
		name   string
		gate   string
		burst  brief
		b0, b1 float64 // received of 60, from and to
		flows  brief
		f0, f1 float64 // received of 40
	}{
		{"clean", "accept", fine, 60, 60, fine, 40, 40},
		{"a limit of 150 a second", "udp dport 3478 limit rate over 150/second drop", some, 10, 50, fine, 37, 40},
		{"a limit of 20 a second", "udp dport 3478 limit rate over 20/second drop", some, 1, 20, some, 1, 36},
		{"no new flows beyond 20", "udp dport 3478 ct state new ct count over 20 drop", fine, 60, 60, some, 1, 20},
		{"one in four is lost", "udp dport 3478 numgen inc mod 4 == 0 drop", some, 40, 50, fine, 37, 40},
		{"one in thirty is lost", "udp dport 3478 numgen inc mod 30 == 0 drop", fine, 57, 59, fine, 40, 40},
	}
	target := at(netip.AddrPortFrom(server4, 3478), agent.UDP, agent.Plain)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			forget(t)
			rules(t, "gate", "forward", tt.gate)
			e := burst(t, target)
			check(t, e, tt.burst, agent.RTT, agent.RTTMax, agent.Jitter)
			counts(t, e, 60, tt.b0, tt.b1)
			if rate, _ := e.Values.Num(agent.SendRate); rate < 200 || rate > 400 {
				t.Errorf("%v a second, want about 300", rate)
			}
			forget(t)
			rules(t, "gate", "forward", tt.gate)
			e = webrtc.Flows(t.Context(), target)
			check(t, e, tt.flows, agent.RTT, agent.RTTMax)
			counts(t, e, 40, tt.f0, tt.f1)
		})
	}
	t.Run("who rejects is named", func(t *testing.T) {
		rules(t, "gate", "forward", "udp dport 3478 limit rate over 20/second reject with icmp admin-prohibited")
		e := burst(t, target)
		check(t, e, some, agent.ICMPFrom)
		if got := e.Values.Text(agent.ICMPFrom); got != gate4.String() {
			t.Errorf("icmp_from = %q, want %v", got, gate4)
		}
	})
}

// forget makes the gate forget all flows, as a restart does.
func forget(t *testing.T) {
	t.Helper()
	lab.In(t, "gate", func() { lab.NFT(t, "") })
}

// An answer to a request of the burst is counted once, and nothing else is.
func TestBurstCountsAnswersOnce(t *testing.T) {
	to := datagrams(t, func(r []byte, reply, elsewhere func([]byte)) {
		answer := respond(r, stun.ClassSuccessResponse, &stun.XORMappedAddress{IP: server4.AsSlice(), Port: 1})
		reply([]byte("garbage of more than twenty bytes"))
		reply(answer[:19])
		elsewhere(answer)
		reply(answer)
		reply(answer)
	})
	e := burst(t, at(to, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.Answered})
	counts(t, e, 60, 60, 60)
}

// A server that stops answering after the first request is silent to a burst.
func TestBurstIntoSilence(t *testing.T) {
	seen := 0
	to := datagrams(t, func(r []byte, reply, _ func([]byte)) {
		if seen++; seen == 1 {
			reply(respond(r, stun.ClassSuccessResponse, &stun.XORMappedAddress{IP: server4.AsSlice(), Port: 1}))
		}
	})
	e := burst(t, at(to, agent.UDP, agent.Plain))
	check(t, e, brief{Outcome: agent.Answered, Reason: agent.LostSome})
	counts(t, e, 60, 0, 0)
	if e.Values[agent.RTT] != nil || e.Values[agent.Jitter] != nil {
		t.Errorf("times of answers that never came: %v", e.Values)
	}
}

// Package probe is the recipe for a new probe; it holds no code. A probe looks
// at one target and returns evidence: it never judges, never retries over
// rounds, and knows no light, no report, no schedule and no log.
//
// What a probe keeps (package probetest checks it for every probe):
//
//   - It returns before its context ends, and within 6 s in any case. Only one that
//     runs outside rounds, at silences or at bandwidth, names a bound of its own.
//   - A cancelled look is NotLooked with reason cancelled, never a failure.
//   - Silence is Silent, grade E. Only package assess, which sees the controls
//     of the round, raises it to D.
//   - Refused is what the target itself said, Rejected what a named third
//     party said, Tampered what answered in the target's place. An answer that
//     denies (401, credentials refused, closed after a greeting) is Answered:
//     it proves that the path is open.
//   - A trouble of this machine (no route, own firewall, no memory) is
//     NotLooked: it says nothing about anybody else.
//   - Its values use the keys of agent.Keys and its reasons are of
//     agent.Reasons; every answer from the network is bounded and may be hostile.
//   - It leaves no goroutine and no descriptor behind.
//
// The steps, in this order; a test fails by name for each of 2 to 5 that was
// forgotten:
//
//  1. A package agent/probe/x with a func of type agent.Probe, or a constructor
//     that returns one. Make connections with package reach, so that a
//     refusal and a rejection get told apart. Its test calls
//     probetest.Conform, and its row goes into agent/imports_test.go.
//  2. Its name and its keys, with the unit in the key, in agent/evidence.go and
//     agent/keys.go.
//  3. Its finding codes in agent/finding.go, their arguments in agent/args.go,
//     and the rules for them in agent/assess.
//  4. The texts for these codes, German and English, in agent/advice.
//  5. One line in agent/daemon/probes.go.
//  6. A far end to measure against in the vendor's reflector
//     (cmd/sprechprobe-fleet/internal/reflector), if it needs one.
//  7. A scenario: evidence in; report, light and both texts out.
package probe

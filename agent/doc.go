// Package agent holds the words of Sprechprobe: what is measured, what was
// seen, what it means and what is reported. Every other package speaks in
// these words; this one imports none of ours and does nothing itself.
//
// # What the box is for
//
// A small box in a practice's switch answers one question all day long: will
// video consultations work from this network, and if not, who has to change
// what? It looks outwards only, at the hosts a video service needs, and it
// never says more than it can prove.
//
// # The words
//
//   - A [Profile] is what one video service needs, as data: [Target]s and
//     [Thresholds], with source and date.
//   - A [Probe] looks at one Target and returns [Evidence]: an [Outcome], how
//     strongly it proves something (its [Grade]), a [Reason] and values with
//     their units. A probe never judges, and that it could not look is
//     evidence too.
//   - A [Finding] is a judgement over evidence: a [Code], how bad it is, whose
//     it is, and on which evidence it rests.
//   - A [Capability] is what a practice wants to do (call directly, through the
//     relay, in a group, in high definition); its [State] is ok, limited, no
//     or unknown.
//   - A [Verdict] sums up: ready, limited, blocked, offline or unknown. Reporting
//     never changes it.
//   - A Round is one pass over the probes that are due, and a [Report] is what
//     leaves the box after it, stamped by a [Stamp].
//
// # The way through the house
//
//	profile, config        what to look at
//	   |
//	schedule > round       when, and in which order
//	   |
//	probe/...  > Evidence  looking: link, dns, web, webrtc, nats, ports, path, idle
//	   |         (reach: one graded dial, with the sender of ICMP errors)
//	assess     > Report    judging: Book and rule table; pure
//	   |
//	   +- light  > hal     the lights on the box; press: its button
//	   +- panel  > hal     a serial panel, and a service console
//	   +- advice           every sentence a person reads, German and English
//	   +- statuspage       the page on the practice's own network, with the installer's steps
//	   +- uplink           the report on the vendor's NATS subject
//
// One goroutine, in package daemon, owns the Book and the Report; everything
// else gets values. Which package may import which stands in
// agent/imports_test.go. The vendor's side lives in cmd/sprechprobe-fleet.
//
// To add a probe see package probe.
package agent

// Package practice is a whole medical practice to break, in networks of its own: a
// box, a router, a line and an internet of real servers. It knows neither the
// product nor what a test proves.
//
//	box - practice router - [second router] - provider - core - internet
//	eth0  lan0       wan0    lan0      wan0  line0 core0
//
// The test's own process is the box: what it dials, and the programs it starts,
// stand at eth0.
//
//	if !lab.Inside(t) {
//		return
//	}
//	p := practice.New(t, practice.Plan{NAT: practice.Symmetric})
//	rule := p.Router.Block("udp dport 5349", "drop")
//	r := p.Run(exec.Command(sprechprobe, "check", "--format", "json"))
//	rule.Remove()
//
// # What there is
//
//   - [Plan]: what is settled when it is built: NAT, uplink, families, DHCP, hosts.
//   - [Practice.Router], Second, Provider, Core are each a [Router]: rules that come
//     and go ([Router.Block], [Router.Release], [Router.Rule]), kinds of NAT,
//     connections to forget, kernel options, and [Router.Seen], which counts what
//     came from inside by destination.
//   - [Practice.WANLine], LANLine are each a [Line] with a [Quality]: rate, loss.
//   - [Practice.Resolve] is the practice's own resolver; that of the internet, with
//     delays and losses, is [internet.Names].
//   - [Practice.Internet] has coturn, NATS, HTTPS, a report server, iperf3, time:
//     each can be stopped and run in another way.
//   - [Practice.Run] runs a program of the box.
package practice

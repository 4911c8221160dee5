// Package practice is a whole medical practice to break, in networks of its own: a
// box, a router, a line and an internet of real servers. It knows neither the
// product nor what a test proves.
//
//	box - practice router - [second router] - provider - core - internet
//	eth0  lan0       wan0    lan0      wan0  line0 core0
//
// The test's own process is the box: what it dials, and the programs it starts,
// stand at eth0, see their own /sys and ask the practice's resolver.
//
//	if !lab.Inside(t) {
//		return
//	}
//	p := practice.New(t, practice.Plan{Uplink: practice.CarrierNAT})
//	rule := p.Router.Block("udp dport 5349", "drop")
//	r := p.Run(exec.Command(sprechprobe, "check", "--format", "json"))
//	rule.Remove()
//
// # What is settled when it is built
//
// [Plan]: NAT, uplink, address families (IPv6, or IPv6 only behind NAT64), DHCP,
// another host, the LAN's addresses, speed and duplex of the interface, and an
// [internet.Plan].
//
// # What changes while packets flow
//
//   - Router, Second, Provider and Core are each a [Router]. A rule comes and goes,
//     and counts: [Router.Block] and [Router.Release] for what is forwarded, with the
//     first match of Release winning; [Router.Rule] also for what the router itself
//     hears and says. Both ends are nft's own words: "drop", "reject with tcp reset",
//     "udp dport 3478 limit rate over 20/second", "ct state new ct count over 200"
//     (the size of the whole table is the machine's), "tcp dport 8443 @ih,0,8 0x16"
//     (a ClientHello), "numgen random mod 100 < 30". [Router.SetNAT],
//     [Router.ForgetConnections], [Router.Set] for kernel options such as
//     netfilter/nf_conntrack_udp_timeout, [Router.IP], [Router.ClampMSS].
//   - [Router.Divert] leads TCP to a box of package middlebox: interception, filters
//     by ClientHello, proxies. [Router.Hold] makes packets late, lost or other ones
//     by package impair. [Practice.CatchAll] is a captive portal,
//     [Practice.OfferProxy] a proxy to be told of.
//   - WANLine and LANLine are each a [Line]: [Line.Set] takes a [Quality] of rate,
//     delay, jitter, order and loss; [Line.SetMTU].
//   - [Practice.Unplug], [Practice.MuteGateway], [Practice.CutOff],
//     [Practice.Redial], [Practice.Failover].
//   - [Practice.Resolve] is the practice's own resolver and DHCP server, and
//     [Practice.Ask] asks the latter. The internet's name server, with delays, losses
//     and addresses that change, is [internet.Names].
//   - [Practice.Internet] has coturn, NATS, HTTPS, a report server, iperf3, time:
//     each can be stopped and run in another way.
//   - [Practice.Upload], [Practice.Download] and [Practice.Crowd] are the other host
//     at work.
//
// # What is seen
//
// [Router.Seen] counts all that came from inside by destination, dropped or not;
// [Router.Asked] is whom somebody looked for by ARP. [Practice.Run] runs a program
// of the box to its end, [Practice.RunAhead] with another time of day; with
// [Practice.Environ] a daemon can be started by [lab.Start].
package practice

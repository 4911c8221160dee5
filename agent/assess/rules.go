package assess

import "github.com/sprechprobe/sprechprobe/agent"

// rule is one row of the catalogue.
type rule struct {
	code     agent.Code
	severity agent.Severity // unless the claim says otherwise
	cause    agent.Cause    // unless the claim says otherwise
	global   bool           // asked once, not per profile
	maskedBy []agent.Code   // causes that explain it; raised ones hide it
	find     func(v *view, pr agent.Profile) []claim
	harms    agent.Capabilities // unless the claim says otherwise
}

// fill completes a claim with what the row says of all its claims.
func (r rule) fill(c claim, profile string) claim {
	c.Code, c.Profile = r.code, profile
	if c.Severity == 0 && !c.info {
		c.Severity = r.severity
	}
	if c.Cause == 0 && !c.open {
		c.Cause = r.cause
	}
	if c.harms == nil {
		c.harms = r.harms
	}
	if c.Evidence == nil {
		c.Evidence = []int{}
	}
	return c
}

// Layers of causes: a finding of one layer hides those of the layers after it.
var (
	noLocal = []agent.Code{agent.LinkDown, agent.DHCPNone, agent.GatewayUnreachable, agent.RouteLocal}
	noNet   = join(noLocal, agent.WANDown)
	noWorld = join(noNet, agent.Captive)
	noNames = join(noWorld, agent.DNSFail)
	guest   = join(noNames, agent.GuestNet, agent.TISeries, agent.ProxyRequired)
)

func join(a []agent.Code, b ...agent.Code) []agent.Code {
	return append(append([]agent.Code{}, a...), b...)
}

func all(s agent.State) agent.Capabilities {
	return agent.Capabilities{agent.Direct: s, agent.Relay: s, agent.Group: s, agent.HD: s}
}

// rules is the catalogue, in order of evaluation: local side, way out, clock,
// names, web, UDP, STUN, TURN, NAT, group, port ranges, the line, the box's own reports.
var rules = []rule{
	{code: agent.LinkDown, severity: agent.Critical, cause: agent.CausePractice, global: true,
		find: linkDown, harms: all(agent.No)},
	{code: agent.LinkSlow, severity: agent.Minor, cause: agent.CausePractice, global: true,
		maskedBy: []agent.Code{agent.LinkDown}, find: linkSlow, harms: someLost(agent.No)},
	{code: agent.AddressConflict, severity: agent.Major, cause: agent.CausePractice, global: true,
		maskedBy: []agent.Code{agent.LinkDown}, find: addrConflict},
	{code: agent.BoxPower, severity: agent.Major, cause: agent.CauseBox, global: true, find: boxPower},
	{code: agent.BoxStorage, severity: agent.Minor, cause: agent.CauseBox, global: true, find: boxStorage,
		harms: agent.Capabilities{agent.Reporting: agent.Limited}},
	{code: agent.DHCPNone, severity: agent.Critical, cause: agent.CausePractice, global: true,
		maskedBy: []agent.Code{agent.LinkDown}, find: dhcpNone, harms: all(agent.No)},
	{code: agent.GatewayUnreachable, severity: agent.Critical, cause: agent.CausePractice, global: true,
		maskedBy: []agent.Code{agent.LinkDown, agent.DHCPNone}, find: gatewayUnreachable, harms: all(agent.No)},
	{code: agent.RouteLocal, severity: agent.Critical, cause: agent.CauseBox, global: true,
		maskedBy: []agent.Code{agent.LinkDown, agent.DHCPNone, agent.GatewayUnreachable}, find: routeLocal},
	{code: agent.Captive, severity: agent.Critical, cause: agent.CausePractice, global: true,
		maskedBy: noLocal, find: captive, harms: all(agent.No)},
	{code: agent.WANDown, severity: agent.Critical, cause: agent.CauseISP, global: true,
		maskedBy: join(noLocal, agent.Captive), find: wanDown, harms: all(agent.No)},
	{code: agent.LANUnstable, severity: agent.Minor, cause: agent.CausePractice, global: true,
		maskedBy: noNet, find: lanUnstable, harms: someLost(agent.Limited)},
	{code: agent.Interrupted, severity: agent.Info, cause: agent.CauseUnknown, global: true,
		maskedBy: noNet, find: interrupted},
	{code: agent.LineFailover, severity: agent.Minor, cause: agent.CauseISP, global: true,
		maskedBy: noNet, find: lineFailover,
		harms: agent.Capabilities{agent.Relay: agent.Limited, agent.Group: agent.Limited, agent.HD: agent.Limited}},
	{code: agent.WANRedial, severity: agent.Info, cause: agent.CauseISP, global: true,
		maskedBy: noNet, find: wanRedial},
	{code: agent.MTUBlackhole, severity: agent.Critical, cause: agent.CausePractice, global: true,
		maskedBy: noWorld, find: mtuBlackhole,
		harms: agent.Capabilities{agent.Direct: agent.No, agent.Relay: agent.Limited, agent.Group: agent.No, agent.HD: agent.No}},
	{code: agent.MTULow, severity: agent.Info, cause: agent.CauseUnknown, global: true,
		maskedBy: join(noWorld, agent.MTUBlackhole), find: mtuLow},
	{code: agent.IPv6Only, severity: agent.Info, cause: agent.CausePractice, global: true,
		maskedBy: noWorld, find: v6Only},
	{code: agent.IPv6Broken, severity: agent.Info, cause: agent.CausePractice, global: true,
		maskedBy: noWorld, find: v6Broken},
	{code: agent.ClockWrong, severity: agent.Minor, cause: agent.CauseBox, global: true,
		maskedBy: noWorld, find: clockWrong, harms: agent.Capabilities{agent.Reporting: agent.Limited}},

	{code: agent.DNSFail, severity: agent.Critical, cause: agent.CausePractice, global: true,
		maskedBy: noWorld, find: dnsFail, harms: all(agent.No)},
	{code: agent.DNSSlow, severity: agent.Info, cause: agent.CausePractice, global: true,
		maskedBy: noNames, find: dnsSlow},
	{code: agent.DNSFlaky, severity: agent.Minor, cause: agent.CausePractice, global: true,
		maskedBy: noNames, find: dnsFlaky, harms: someLost(agent.OK)},
	{code: agent.DNSNX, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: noNames, find: dnsNX},
	{code: agent.DNSBogon, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: noNames, find: dnsBogon},
	{code: agent.DNSDriftBlock, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: noNames, find: dnsDriftBlock},
	{code: agent.DNSPartBlock, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: join(noNames, agent.DNSDriftBlock), find: dnsPartBlock},
	{code: agent.DNSDrift, severity: agent.Info, cause: agent.CauseVendor,
		maskedBy: noNames, find: dnsDrift},

	{code: agent.ProxyRequired, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: noNames, find: proxyRequired, harms: all(agent.No)},
	{code: agent.TISeries, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: noNames, find: tiSeries, harms: all(agent.No)},
	{code: agent.GuestNet, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: join(noNames, agent.TISeries), find: guestNet, harms: all(agent.No)},
	{code: agent.TLSBigHello, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: join(guest, agent.MTUBlackhole), find: tlsBigHello},
	{code: agent.TLSSNIReset, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: guest, find: tlsSNIReset},
	{code: agent.HTTPSBlock, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: join(noNames, agent.ProxyRequired), find: httpsBlock},
	{code: agent.HTTPSServer, severity: agent.Critical, cause: agent.CauseVendor,
		maskedBy: noNames, find: httpsServer},
	{code: agent.TLSIntercept, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: noNames, find: tlsIntercept},
	{code: agent.CertBad, severity: agent.Major, cause: agent.CauseVendor,
		maskedBy: join(noNames, agent.ClockWrong), find: certBad},
	{code: agent.CertSoon, severity: agent.Info, cause: agent.CauseVendor,
		maskedBy: join(noNames, agent.ClockWrong), find: certSoon},

	{code: agent.NATTableFull, severity: agent.Minor, cause: agent.CausePractice, global: true,
		maskedBy: noWorld, find: natTableFull, harms: someLost(agent.OK)},
	{code: agent.UDPRateLimited, severity: agent.Major, cause: agent.CausePractice, global: true,
		maskedBy: join(noWorld, agent.LANUnstable, agent.NATTableFull), find: udpRateLimited},
	{code: agent.UDPAllBlock, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: guest, find: udpAllBlock,
		harms: agent.Capabilities{agent.Direct: agent.No, agent.Relay: agent.Limited, agent.Group: agent.Limited, agent.HD: agent.Limited}},
	{code: agent.STUNUDPBlock, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock), find: stunBlock},
	{code: agent.STUNServer, severity: agent.Major, cause: agent.CauseVendor,
		maskedBy: join(guest, agent.UDPAllBlock), find: stunServer},
	{code: agent.STUNALG, severity: agent.Minor, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock), find: stunALG,
		harms: agent.Capabilities{agent.Direct: agent.Limited}},
	{code: agent.TURNServer, severity: agent.Critical, cause: agent.CauseVendor,
		maskedBy: guest, find: turnServer,
		harms: agent.Capabilities{agent.Relay: agent.No, agent.Group: agent.Limited}},
	{code: agent.TURNAllBlock, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: join(guest, agent.TURNServer), find: turnAllBlock,
		harms: agent.Capabilities{agent.Relay: agent.No, agent.Group: agent.Limited}},
	{code: agent.TURNUDPBlock, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock, agent.TURNAllBlock, agent.TURNServer), find: turnBlock(agent.UDP),
		harms: agent.Capabilities{agent.Relay: agent.Limited, agent.Group: agent.Limited, agent.HD: agent.Limited}},
	{code: agent.TURNUDPServer, severity: agent.Major, cause: agent.CauseVendor,
		maskedBy: join(guest, agent.UDPAllBlock, agent.TURNAllBlock, agent.TURNServer), find: turnPartServer(agent.UDP),
		harms: agent.Capabilities{agent.Relay: agent.Limited}},
	{code: agent.TURNTCPBlock, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: join(guest, agent.TURNAllBlock, agent.TURNServer), find: turnBlock(agent.TCP)},
	{code: agent.TURNTCPServer, severity: agent.Minor, cause: agent.CauseVendor,
		maskedBy: join(guest, agent.TURNAllBlock, agent.TURNServer), find: turnPartServer(agent.TCP)},
	{code: agent.TURNDPIPlain, severity: agent.Minor, cause: agent.CausePractice,
		maskedBy: join(guest, agent.TURNAllBlock, agent.TURNTCPBlock), find: turnDPIPlain,
		harms: agent.Capabilities{agent.Relay: agent.Limited}},
	{code: agent.TURNOpen, severity: agent.Info, cause: agent.CauseVendor,
		maskedBy: noNames, find: turnOpen},
	{code: agent.TURNAuth, severity: agent.Info, cause: agent.CauseVendor,
		maskedBy: noNames, find: turnAuth},
	{code: agent.TURNQuota, severity: agent.Major, cause: agent.CauseVendor,
		maskedBy: guest, find: turnQuota,
		harms: agent.Capabilities{agent.Relay: agent.Limited, agent.Group: agent.Limited}},
	{code: agent.TURNRelay403, severity: agent.Info, cause: agent.CauseVendor,
		maskedBy: guest, find: turnRelay403},
	{code: agent.TURNNoMedia, severity: agent.Critical, cause: agent.CauseVendor,
		maskedBy: join(guest, agent.TURNAllBlock, agent.TURNServer), find: turnNoMedia,
		harms: agent.Capabilities{agent.Relay: agent.No, agent.Group: agent.Limited}},
	{code: agent.TURNTCPOnly, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock, agent.TURNAllBlock, agent.TURNUDPBlock, agent.TURNServer), find: turnTCPOnly,
		harms: agent.Capabilities{agent.Relay: agent.Limited, agent.Group: agent.Limited, agent.HD: agent.Limited}},
	{code: agent.TURNDPITLS, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: join(guest, agent.TURNAllBlock, agent.TURNServer), find: turnDPITLS,
		harms: agent.Capabilities{agent.Direct: agent.Limited, agent.Relay: agent.No, agent.Group: agent.Limited}},
	{code: agent.HighPortUDPBlock, severity: agent.Info, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock), find: highPortBlock,
		harms: agent.Capabilities{agent.Direct: agent.No}},
	{code: agent.NATEDMNoRelay, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock), find: natEDMNoRelay,
		harms: agent.Capabilities{agent.Direct: agent.No}},
	{code: agent.NATEDM, severity: agent.Info, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock, agent.NATEDMNoRelay), find: natEDM,
		harms: agent.Capabilities{agent.Direct: agent.Limited}},
	{code: agent.NATIPFlap, severity: agent.Info, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock), find: natIPFlap,
		harms: agent.Capabilities{agent.Direct: agent.Limited}},
	{code: agent.NATCGN, severity: agent.Info, cause: agent.CauseISP, global: true,
		maskedBy: noWorld, find: natCGN, harms: agent.Capabilities{agent.Direct: agent.Limited}},
	{code: agent.NATDouble, severity: agent.Info, cause: agent.CausePractice, global: true,
		maskedBy: join(noWorld, agent.NATCGN), find: natDouble, harms: agent.Capabilities{agent.Direct: agent.Limited}},

	{code: agent.WSStripped, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: guest, find: wsStripped},
	{code: agent.NATSProtoBad, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: join(guest, agent.WSStripped), find: natsProtoBad},
	{code: agent.GroupBlockAll, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: guest, find: groupBlockAll, harms: agent.Capabilities{agent.Group: agent.No}},
	{code: agent.GroupBlockSome, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: join(guest, agent.GroupBlockAll), find: groupBlockSome},
	{code: agent.GroupServer, severity: agent.Critical, cause: agent.CauseVendor,
		maskedBy: guest, find: groupServer},

	{code: agent.NATShort, severity: agent.Minor, cause: agent.CausePractice, global: true,
		maskedBy: noWorld, find: natShort, harms: someLost(agent.OK)},
	{code: agent.NATSIdleCut, severity: agent.Minor, cause: agent.CausePractice,
		maskedBy: guest, find: natsIdleCut, harms: agent.Capabilities{agent.Group: agent.Limited}},

	{code: agent.PortRangeUDP, severity: agent.Critical, cause: agent.CausePractice,
		maskedBy: join(guest, agent.UDPAllBlock), find: portRangeBlock(agent.UDP),
		harms: agent.Capabilities{agent.Direct: agent.No, agent.HD: agent.Limited}},
	{code: agent.PortRangeTCP, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: guest, find: portRangeBlock(agent.TCP)},
	{code: agent.PortRangePartial, severity: agent.Major, cause: agent.CausePractice,
		maskedBy: guest, find: portRangePartial,
		harms: agent.Capabilities{agent.Direct: agent.Limited}},
	{code: agent.PortRangeUnknown, severity: agent.Info, cause: agent.CauseUnknown,
		maskedBy: join(guest, agent.UDPAllBlock), find: portRangeUnknown},

	{code: agent.Loss, severity: agent.Minor, cause: agent.CauseISP,
		maskedBy: join(noWorld, agent.LANUnstable, agent.UDPRateLimited, agent.NATTableFull), find: packetLoss, harms: someLost(agent.No)},
	{code: agent.BandwidthMin, severity: agent.Major, cause: agent.CauseISP,
		maskedBy: join(noWorld, agent.LinkSlow, agent.LineFailover, agent.Loss), find: bandwidthMin, harms: someLost(agent.No)},
	{code: agent.BandwidthHD, severity: agent.Info, cause: agent.CauseISP,
		maskedBy: join(noWorld, agent.LinkSlow, agent.LineFailover, agent.Loss), find: bandwidthHD},
	{code: agent.Bloat, severity: agent.Minor, cause: agent.CausePractice,
		maskedBy: noWorld, find: bloat, harms: someLost(agent.Limited)},
	{code: agent.Jittery, severity: agent.Minor, cause: agent.CauseISP,
		maskedBy: join(noWorld, agent.LANUnstable), find: jitter, harms: someLost(agent.Limited)},
	{code: agent.Distant, severity: agent.Minor, cause: agent.CauseISP,
		maskedBy: join(noWorld, agent.LANUnstable, agent.LineFailover), find: distant, harms: someLost(agent.Limited)},
	{code: agent.TrendCongestion, severity: agent.Minor, cause: agent.CauseUnknown, global: true,
		maskedBy: noWorld, find: trendCongestion, harms: agent.Capabilities{agent.Group: agent.Limited, agent.HD: agent.Limited}},
	{code: agent.BandwidthPostponed, severity: agent.Info, cause: agent.CauseUnknown, global: true,
		maskedBy: noWorld, find: bandwidthPostponed},
	{code: agent.BandwidthCapped, severity: agent.Info, cause: agent.CauseVendor,
		maskedBy: noWorld, find: bandwidthCapped},

	{code: agent.CentralDown, severity: agent.Minor, cause: agent.CauseUnknown, global: true,
		maskedBy: noNames, find: centralDown, harms: agent.Capabilities{agent.Reporting: agent.No}},
	{code: agent.CentralAuth, severity: agent.Minor, cause: agent.CauseVendor, global: true,
		maskedBy: noNames, find: centralAuth, harms: agent.Capabilities{agent.Reporting: agent.No}},
	{code: agent.CentralFallback, severity: agent.Info, cause: agent.CauseUnknown, global: true,
		maskedBy: noNames, find: centralFallback},
	{code: agent.ProfileRejected, severity: agent.Info, cause: agent.CauseVendor, global: true,
		find: profileRejected},
}

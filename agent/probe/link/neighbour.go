package link

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// neighbourState is what can be said of the gateway's own link.
type neighbourState string

const (
	reachable neighbourState = "reachable"
	failed    neighbourState = "failed"
	unknown   neighbourState = "unknown"
)

const (
	// The kernel asks three times, a second apart, before it gives up.
	arpPatience = 3 * time.Second
	// Where the ARP table tells nothing new, only an answer of the gateway itself
	// counts, and one that answers does so within a resolution and a round trip.
	answerPatience = 500 * time.Millisecond
	arpGlance      = 50 * time.Millisecond

	arpComplete = 0x2 // ATF_COM
	discard     = 9   // RFC 863
)

// neighbour pokes the gateway and watches whether it answers, by whatever means.
//
// An entry that the ARP table had before proves nothing: the kernel goes on
// believing in a gateway for up to 45 s after its last word, and for 8 s more
// while it asks again (measured: 40 s in all). Such a gateway is unknown unless
// it answers the poke itself.
func (s System) neighbour(ctx context.Context, way route) neighbourState {
	if !way.gateway.IsValid() {
		return unknown
	}
	patience := answerPatience
	fresh := s.resolvesByARP(way) && s.arp(way) != reachable
	if fresh {
		patience = arpPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	answered := s.Poke(ctx, way.gateway)
	defer func() {
		cancel()
		for range answered { // until the poke has let go of its socket
		}
	}()
	return s.watch(ctx, way, answered, fresh)
}

func (s System) resolvesByARP(way route) bool {
	flags, ok := s.flags(way.device)
	return way.gateway.Is4() && !(ok && flags&iffNoARP != 0)
}

// watch returns as soon as the gateway answered, or with what is known of it
// when ctx ends. fresh says that an entry of the ARP table proves an answer.
func (s System) watch(ctx context.Context, way route, answered <-chan bool, fresh bool) neighbourState {
	state := unknown
	tick := time.NewTicker(arpGlance)
	defer tick.Stop()
	for {
		switch seen := s.arp(way); {
		case seen == reachable && fresh:
			return reachable
		case seen == failed: // stays, for the entry may be swept away meanwhile
			state = failed
		}
		select {
		case yes, open := <-answered:
			if yes {
				return reachable
			}
			if !open {
				answered = nil
			}
		case <-tick.C:
		case <-ctx.Done():
			return state
		}
	}
}

func (s System) arp(way route) neighbourState {
	if !way.gateway.Is4() {
		return unknown
	}
	table, err := s.read("proc/net/arp")
	if err != nil {
		return unknown
	}
	return parseARP(table, way.gateway, way.device)
}

// parseARP looks up one neighbour in /proc/net/arp: reachable where the kernel
// has its hardware address, failed where it is asking for it in vain or still.
func parseARP(table []byte, a netip.Addr, device string) neighbourState {
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[len(f)-1] != device {
			continue
		}
		if entry, err := netip.ParseAddr(f[0]); err != nil || entry != a {
			continue
		}
		flags, err := strconv.ParseUint(strings.TrimPrefix(f[2], "0x"), 16, 32)
		switch {
		case err != nil:
			return unknown
		case flags&arpComplete != 0:
			return reachable
		}
		return failed
	}
	return unknown
}

// poke sends one datagram to the gateway's discard port, which makes the kernel
// resolve the gateway. The channel yields true if anything came back, and is
// closed when the socket is; that is after an answer or when ctx ends.
func poke(ctx context.Context, gateway netip.Addr) <-chan bool {
	answered := make(chan bool, 1)
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(gateway, discard)))
	if err != nil {
		close(answered)
		return answered
	}
	_, err = conn.Write([]byte{0})
	go func() {
		defer close(answered)
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		answered <- err == nil || errors.Is(err, unix.ECONNREFUSED)
	}()
	return answered
}

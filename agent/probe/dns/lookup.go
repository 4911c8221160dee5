package dns

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

// lookup is one name, asked of several servers.
type lookup struct {
	name    dnsmessage.Name
	types   []dnsmessage.Type
	servers []netip.AddrPort // at least one
	until   time.Time        // when it is over
}

// found is what one server said of a name.
type found struct {
	server netip.AddrPort
	result reach.Result // Answered: by DNS, whatever the rcode
	rcode  dnsmessage.RCode
	addrs  []netip.Addr // IPv4 first, sorted, at most maxAddrs
	late   bool         // not before it was asked again, or not all of it
}

func (f found) answered() bool { return f.result.Outcome == agent.Answered }

// settles reports whether a stub resolver would look no further.
func (f found) settles() bool {
	return f.answered() && (f.rcode == dnsmessage.RCodeSuccess || f.rcode == dnsmessage.RCodeNameError || len(f.addrs) > 0)
}

// isVague reports whether f says nothing that more time could not change.
func (f found) isVague() bool {
	return f.result.Outcome == agent.NotLooked || f.result.Outcome == agent.Silent
}

// weight orders what servers said by how much it explains.
func (f found) weight() int {
	switch f.result.Outcome {
	case agent.Answered:
		return 4
	case agent.Tampered:
		return 3
	case agent.Refused, agent.Rejected:
		return 2
	case agent.Silent:
		return 1
	default:
		return 0
	}
}

// outcome words f for a target.
func (f found) outcome(t agent.Target) (agent.Outcome, agent.Reason) {
	uncached := t.Variant == agent.Uncached
	switch {
	case !f.answered():
		return f.result.Outcome, f.result.Reason
	case uncached && f.settles():
		return agent.Answered, ""
	case len(f.addrs) > 0 && allBogus(f.addrs, t):
		return agent.Tampered, agent.Bogon
	case len(f.addrs) > 0:
		return agent.Answered, ""
	}
	switch f.rcode {
	case dnsmessage.RCodeSuccess:
		return agent.Refused, agent.NoData
	case dnsmessage.RCodeNameError:
		return agent.Refused, agent.NXDomain
	case dnsmessage.RCodeServerFailure:
		return agent.Refused, agent.ServFail
	case dnsmessage.RCodeRefused:
		return agent.Refused, agent.DNSRefused
	}
	return agent.Refused, agent.OtherError
}

func allBogus(addrs []netip.Addr, t agent.Target) bool {
	return !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return t.Pinned(a) || !isBogon(a) })
}

// run asks the servers, each a second after the one before or as soon as that
// one failed, until one settles the matter or the time is over. Beside what that
// one said it returns what the first one said that was no help, if there is one.
func (l lookup) run(ctx context.Context) (settled, failed found) {
	// A little later than until: what arrived in time is read even on a busy machine.
	ctx, cancel := context.WithDeadline(ctx, l.until.Add(resend/4))
	results := make(chan found)
	var asked roll
	running := 0
	ask := func() {
		server := l.servers[len(asked)]
		asked = append(asked, entry{at: time.Now(), found: found{server: server}})
		running++
		go func() { results <- l.server(ctx, server, l.until) }()
	}
	defer func() {
		cancel()
		for ; running > 0; running-- {
			<-results
		}
	}()

	ask()
	patience := time.NewTicker(resend)
	defer patience.Stop()
	var kept found
	for running > 0 {
		select {
		case f := <-results:
			running--
			asked.note(f)
			if f.settles() {
				return f, asked.failed()
			}
			if !kept.server.IsValid() || f.weight() > kept.weight() {
				kept = f
			}
		case <-patience.C:
		}
		if len(asked) < len(l.servers) && ctx.Err() == nil && time.Now().Before(l.until) {
			ask()
			patience.Reset(resend)
		}
	}
	return kept, found{}
}

// roll is which servers were asked, and what they said so far.
type roll []entry

type entry struct {
	found
	at    time.Time // when it was asked
	ended bool
}

func (r roll) note(f found) {
	for i := range r {
		if r[i].server == f.server && !r[i].ended {
			r[i].found, r[i].ended = f, true
			return
		}
	}
}

// failed is the first server that did not help at once. One that has not
// answered for as long as it takes to ask the next is silent.
func (r roll) failed() found {
	for _, e := range r {
		switch {
		case e.ended && (e.late || !e.settles()):
			return e.found
		case !e.ended && time.Since(e.at) >= resend:
			e.result, e.late = reach.Result{Outcome: agent.Silent, Reason: agent.Timeout}, true
			return e.found
		}
	}
	return found{}
}

// server asks one server for all types at once and puts the answers together.
func (l lookup) server(ctx context.Context, server netip.AddrPort, until time.Time) found {
	ctx, cancel := context.WithCancel(ctx)
	type typed struct {
		reply
		of dnsmessage.Type
	}
	results := make(chan typed)
	for _, of := range l.types {
		x := exchange{server: server, q: dnsmessage.Question{Name: l.name, Type: of, Class: dnsmessage.ClassINET}}
		go func() { results <- typed{x.run(ctx, until), of} }()
	}
	replies := map[dnsmessage.Type]reply{}
	var enough <-chan time.Time
	for running := len(l.types); running > 0; {
		select {
		case r := <-results:
			running--
			replies[r.of] = r.reply
			if r.of == dnsmessage.TypeA && enough == nil {
				enough = patienceAfter(r.reply)
			}
		case <-enough:
			cancel()
			enough = nil
		}
	}
	cancel()
	return combine(server, replies)
}

// patienceAfter says when to stop waiting for AAAA once A is there: at once if
// the name does not exist, never if only AAAA can bring an address.
func patienceAfter(a reply) <-chan time.Time {
	switch {
	case a.result.Outcome != agent.Answered, a.rcode == dnsmessage.RCodeSuccess && len(a.addrs) == 0:
		return nil
	case a.rcode == dnsmessage.RCodeNameError:
		return time.After(0)
	}
	return time.After(settle)
}

// combine makes one statement of the answers to A and AAAA. That to A counts;
// AAAA adds its addresses, and stands in for an A without any answer unless all it
// says is that there is no AAAA: filters exist that drop only A.
func combine(server netip.AddrPort, replies map[dnsmessage.Type]reply) found {
	a, aaaa := replies[dnsmessage.TypeA], replies[dnsmessage.TypeAAAA]
	standIn := a.result.Outcome != agent.Answered && aaaa.result.Outcome == agent.Answered &&
		(len(aaaa.addrs) > 0 || aaaa.rcode != dnsmessage.RCodeSuccess)
	_, both := replies[dnsmessage.TypeAAAA]
	half := both && a.result.Outcome == agent.Answered && a.rcode == dnsmessage.RCodeSuccess && aaaa.result.Outcome != agent.Answered
	f := found{server: server, result: a.result, rcode: a.rcode, late: a.late || half}
	if standIn {
		f.result, f.rcode = aaaa.result, aaaa.rcode
	}
	f.addrs = append(tidy(a.addrs), tidy(aaaa.addrs)...)
	slices.SortStableFunc(f.addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	f.addrs = f.addrs[:min(len(f.addrs), maxAddrs)]
	return f
}

// tidy sorts addresses, so that a server that turns its list around gives the
// same evidence each time, and drops repetitions.
func tidy(addrs []netip.Addr) []netip.Addr {
	sorted := slices.Clone(addrs)
	slices.SortFunc(sorted, netip.Addr.Compare)
	return slices.Compact(sorted)
}

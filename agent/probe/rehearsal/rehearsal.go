// Package rehearsal makes the call that nobody has to notice: it gets allocations
// at a TURN server with credentials and sends through them, there and back, what
// the sound and the picture of a consultation would be, then shakes hands as
// browsers do before they speak (DTLS). It tells what was lost, late, out of order
// or double, and in which direction; and what a plain socket beside the relay can
// reach, on which direct calls rest.
//
// It does not know what a video service asks for or whose fault a loss is, and it
// says nothing about the line where this machine itself was too busy to measure.
//
// Other probes end within 6 s. This one takes half a minute and some megabytes: it
// runs alone, not within a round, and not beside a bandwidth test.
package rehearsal

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
	"github.com/sprechprobe/sprechprobe/agent/trust"
)

// Plan is what to rehearse, and for how long. The zero Plan only looks for a way.
type Plan struct {
	Voice time.Duration // of sound, both ways: 50 packets/s
	Video time.Duration // of each picture
	Rates []float64     // of pictures, bit/s, ascending: no more after one that loses too much
	// Witness is another way to the same relay, over TCP. What passes by it cannot
	// get lost on the line, so that it tells the two directions apart. Zero: there
	// is none.
	Witness agent.Target
}

// Usual is a rehearsal of about 30 s and at most 3 MB each way: voice, and video as
// a small picture, as most consultations have it, and in high definition.
func Usual() Plan {
	return Plan{Voice: 10 * time.Second, Video: 4 * time.Second, Rates: []float64{0.6e6, 1.2e6, 2.5e6}}
}

// Bytes is how much the plan moves at most in each direction over the line, with
// the headers of RTP, TURN, UDP and IP.
func (p Plan) Bytes() int {
	const voices = 4 // both ways, and both with the witness; each passes the line twice
	n := p.Voice.Seconds() * voiceRate * (voices*(voiceSize+headers) + stampSize)
	for _, r := range p.Rates {
		n += r / 8 * p.Video.Seconds() * (videoSize + headers) / videoSize
	}
	return int(n)
}

const (
	voiceRate = 50   // packets a second: one per 20 ms
	voiceSize = 172  // bytes with the RTP header, a generous Opus at 64 kbit/s
	stampSize = 72   // bytes of an answer that says when a question came, with all headers
	videoSize = 1200 // bytes with the RTP header, as browsers send them
	headers   = 4 + 8 + 20
	tooMuch   = 0.02 // lost of a picture, so that no larger one is tried
)

// Credentials gets what to show to a TURN server, at the moment when it is needed.
type Credentials func(context.Context) (webrtc.Credentials, error)

// Static are credentials that do not end.
func Static(c webrtc.Credentials) Credentials {
	return func(context.Context) (webrtc.Credentials, error) { return c, nil }
}

// Probe rehearses a call by a TURN server, over the target's transport and variant.
//
//   - Answered: there was an allocation, or a refusal. relayed says whether media
//     came back by it; where not, the reason is no-media, or peer-denied where the
//     server does not relay back to its own clients, which says nothing of calls.
//     dtls-lost: media passes, but the handshake of DTLS does not. auth-refused:
//     the credentials are not taken. Any other refusal has its stun_error_code only.
//   - NotLooked box-busy: this machine did not keep the pace, or had no room for
//     what came.
//   - Otherwise the outcome is that of [webrtc.Allocate].
//
// Values: rtt_ms (the way to the relay and back, by media), rtt_max_ms, jitter_ms
// (95th percentile of RFC 3550's), sent_count, received_count, reordered_count,
// duplicate_count and loss_ratio of the sound, there and back; up_jitter_ms and
// down_jitter_ms likewise, where the relay tells when datagrams reach it; with a witness
// up_loss_ratio and down_loss_ratio; each loss with its bounds for the number of
// packets (*_low_ratio, *_high_ratio); video_bits_per_s, the largest picture that
// came through, and video_loss_ratio of the largest that was tried; tls_ms of
// DTLS; mos_score; nat_filtering, high_port and hole_punched of the plain socket;
// own_cpu_ratio, late_ms and test_bytes of this machine.
func Probe(p Plan, cred Credentials, c trust.Checker) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		within, cancel := context.WithTimeout(ctx, p.bound())
		defer cancel()
		r := &rehearsal{Plan: p, checker: c, target: t}
		defer r.close()
		e := r.run(within, cred)
		e.Probe, e.Target = agent.ProbeRehearsal, t
		if ctx.Err() != nil {
			return agent.See(agent.ProbeRehearsal, t, agent.NotLooked, agent.Cancelled)
		}
		return e
	}
}

// bound is when everything has to be over.
func (p Plan) bound() time.Duration {
	return p.Voice + time.Duration(len(p.Rates))*(p.Video+drainEnd) + 30*time.Second
}

// rehearsal is one under way.
type rehearsal struct {
	Plan
	checker trust.Checker
	target  agent.Target
	cred    webrtc.Credentials
	open    []*station
	hurry   hurry // during what was played last
}

func (r *rehearsal) close() {
	for _, s := range r.open {
		s.close()
	}
}

func (r *rehearsal) run(ctx context.Context, cred Credentials) agent.Evidence {
	var err error
	if r.cred, err = cred(ctx); err != nil {
		why := agent.NoCredentials
		if ctx.Err() != nil {
			why = agent.Cancelled
		}
		return agent.See(agent.ProbeRehearsal, r.target, agent.NotLooked, why)
	}
	a, e := r.allocate(ctx, r.target)
	if a == nil {
		return e
	}
	way, e := r.find(ctx, a, e)
	if way == nil {
		return e
	}
	e = e.With(agent.Relayed, true)
	if r.Voice > 0 {
		if e = r.voice(ctx, way, e); e.Outcome != agent.Answered || e.Reason == agent.NoMedia {
			return e
		}
	}
	if e = r.pictures(ctx, way, e); e.Outcome != agent.Answered {
		return e
	}
	return r.secure(ctx, way, e)
}

// spoiled is what there is to say where this machine was too busy to measure.
func (r *rehearsal) spoiled() agent.Evidence {
	return r.hurry.values(agent.See(agent.ProbeRehearsal, r.target, agent.NotLooked, agent.BoxBusy))
}

// allocate gets an allocation; nil: the evidence says why not.
func (r *rehearsal) allocate(ctx context.Context, t agent.Target) (*station, agent.Evidence) {
	relay, e := webrtc.OpenRelay(ctx, t, r.cred, r.checker, r.bound())
	if relay == nil {
		return nil, e
	}
	s := newStation(relay, relay.Addr())
	s.relay, s.reliable = relay, t.Transport == agent.TCP
	r.open = append(r.open, s)
	return s, e
}

// way is two stations that hear each other, and where to write for that.
type way struct {
	a, b     *station
	toA, toB netip.AddrPort
}

// find looks for a way there and back: first beside the relay, which tells what
// direct calls can hope for; then through two allocations; and where the server
// does not relay to itself, between the relay and the plain socket.
func (r *rehearsal) find(ctx context.Context, a *station, e agent.Evidence) (*way, agent.Evidence) {
	defer a.relay.Hush(ctx)()
	p, mirrored, e := r.mirror(ctx, a, e)
	b, second := r.allocate(ctx, r.target)
	denied := 0
	if b != nil {
		defer b.relay.Hush(ctx)()
		e = filtering(ctx, p, b, e)
		w := &way{a, b, a.addr, b.addr}
		if !w.toA.IsValid() { // behind a router of its own, which relays know each other by
			w.toA, w.toB = a.named(), b.named()
		}
		var works bool
		if works, denied = w.works(ctx); works {
			return w, e
		}
	}
	if mirrored != nil {
		return mirrored, e.With(agent.Detail, "media between the relay and a plain socket")
	}
	e = e.With(agent.Relayed, false)
	switch code, _ := second.Values.Num(agent.STUNError); {
	case denied != 0:
		e = e.With(agent.STUNError, denied).With(agent.Detail, "the server does not relay to its own clients")
		e.Reason = agent.PeerDenied
	case b == nil && second.Outcome == agent.Answered && code != 0:
		e = e.With(agent.STUNError, int(code)).With(agent.Detail, "the server gave no second allocation")
		e.Reason = agent.PeerDenied
	case b == nil:
		second.Probe = agent.ProbeRehearsal
		return nil, second
	default:
		e.Reason = agent.NoMedia
	}
	return nil, e
}

// sound is what goes both ways, and both ways with the witness, where there is one.
type sound struct{ there, back, up, down *flow }

// voice sends sound.
func (r *rehearsal) voice(ctx context.Context, w *way, e agent.Evidence) agent.Evidence {
	flow := func(from, to *station, at netip.AddrPort) *flow {
		return newFlow(from, to, at, voiceSize, voiceRate, r.Voice)
	}
	s := sound{there: flow(w.a, w.b, w.toB), back: flow(w.b, w.a, w.toA)}
	if witness := r.witness(ctx, w); witness != nil {
		s.up, s.down = flow(w.a, witness, witness.named()), flow(witness, w.a, w.a.named())
	}
	var trips []webrtc.Trip
	var asking sync.WaitGroup
	if t := r.target; t.Transport == agent.UDP && t.Variant == agent.Plain {
		asking.Go(func() { trips = webrtc.Trips(ctx, t.AddrPort(), time.Second/voiceRate, r.Voice) })
	}
	e = r.hear(ctx, s, e)
	if asking.Wait(); e.Outcome == agent.Answered && e.Reason == "" && len(trips) > 1 {
		e = uneven(e, trips)
		e = e.With(agent.MOS, scoreOf(e))
	}
	return e
}

// hear plays sound and says what became of it.
func (r *rehearsal) hear(ctx context.Context, s sound, e agent.Evidence) agent.Evidence {
	flows := []*flow{s.there, s.back}
	if s.up != nil {
		flows = append(flows, s.up, s.down)
	}
	r.play(ctx, flows...)
	if r.hurry.busy() {
		return r.spoiled()
	}
	if s.there.loss() == 1 && s.back.loss() == 1 && ctx.Err() == nil { // no loss of the line's: nothing to count
		e = e.With(agent.Relayed, false).With(agent.Detail, "single datagrams came back, a stream did not")
		e.Reason = agent.NoMedia
		return e
	}
	e = r.hurry.values(sum(e, s.there, s.back))
	if s.up != nil && s.up.whole() && s.down.whole() {
		e = directions(e, s)
	}
	return e.With(agent.TestBytes, moved(flows...)).With(agent.MOS, scoreOf(e))
}

// witness is a station that loses nothing on the line, if there can be one.
func (r *rehearsal) witness(ctx context.Context, w *way) *station {
	if r.Witness.Transport != agent.TCP || w.a.reliable {
		return nil
	}
	s, _ := r.allocate(ctx, r.Witness)
	if s == nil {
		return nil
	}
	defer s.relay.Hush(ctx)()
	check := &way{w.a, s, w.a.named(), s.named()}
	if works, _ := check.works(ctx); !works {
		return nil
	}
	return s
}

// pictures sends pictures, each larger than the one before, until one loses too much
// or this machine does not keep up, which takes nothing from what was measured
// before. Each goes one way, which loads both directions of the line as a call with
// pictures both ways does.
func (r *rehearsal) pictures(ctx context.Context, w *way, e agent.Evidence) agent.Evidence {
	for i, rate := range r.Rates {
		f := newFlow(w.a, w.b, w.toB, videoSize, rate/8/videoSize, r.Video)
		r.play(ctx, f)
		e = e.With(agent.TestBytes, bytesOf(e)+moved(f))
		if r.hurry.busy() {
			if i == 0 && r.Voice == 0 {
				return r.spoiled()
			}
			break
		}
		lost := f.loss()
		e = r.hurry.values(e).With(agent.VideoLoss, round(lost, 4))
		if lost > tooMuch || ctx.Err() != nil {
			break
		}
		e = e.With(agent.VideoRate, rate)
	}
	return e
}

// works reports whether the two hear each other. The code is that of a server which
// refuses to relay to the other.
func (w *way) works(ctx context.Context) (works bool, code int) {
	for _, leg := range []struct {
		from, to *station
		at       netip.AddrPort
	}{{w.a, w.b, w.toB}, {w.b, w.a, w.toA}} {
		if leg.from.relay != nil {
			if code, err := leg.from.relay.Permit(leg.at); err != nil {
				return false, code
			}
		}
	}
	_, there := knock(ctx, w.a, w.b, w.toB)
	_, back := knock(ctx, w.b, w.a, w.toA)
	return there && back, 0
}

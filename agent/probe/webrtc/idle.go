package webrtc

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/reach"
)

const (
	// NATs keep a flow for longer once it has gone on for a while: Linux does after
	// two seconds (nf_conntrack_udp_timeout_stream).
	streamAfter = 2500 * time.Millisecond
	awakeEvery  = 2 * time.Second // less than any NAT is known to keep
	idleGrace   = 1500 * time.Millisecond
)

// UsualSilences are those worth knowing about: WebRTC says something every 5 s (RFC
// 7675), so that a NAT which forgets before 15 s breaks calls; RFC 4787 asks for two
// minutes.
func UsualSilences() []time.Duration {
	return []time.Duration{12 * time.Second, 25 * time.Second, 45 * time.Second, 110 * time.Second}
}

// Idle looks whether the NAT keeps a mapping over UDP for as long as each of the
// silences, each on a socket of its own. It takes seconds more than the longest of
// them, and needs no credentials; what it can find out depends on t, a STUN server.
//
//   - One that sends its answer to another port when asked to (RESPONSE-PORT, RFC
//     5780 section 7.5) can reach a silent socket, or not. A socket that is kept
//     awake all the while must be reached beside it.
//   - With any other only this can be seen: if a socket has another mapping after
//     the silence than before, and the one that is kept awake has not, the first
//     was forgotten. If it has the same one that proves nothing, for many NATs
//     give the same again.
//
// Answered: idle_alive_s, the longest silence after which a socket was reached, and
// idle_dead_s, the shortest after which one was forgotten, with reason timeout.
// NotLooked too-few-answers: t could show neither. See [IdleRelayed] for the way
// that always can.
func Idle(silences []time.Duration) agent.Probe {
	return func(ctx context.Context, t agent.Target) agent.Evidence {
		if e, bad := unaskable(agent.ProbeIdle, t); bad {
			return e
		}
		if t.Transport != agent.UDP {
			return agent.See(agent.ProbeIdle, t, agent.NotLooked, agent.Unsupported)
		}
		return idle(ctx, t, silences, byResponsePort{t.AddrPort()})
	}
}

// far is a far end that can be made to send first.
type far interface {
	// addr is who our sockets talk to.
	addr() netip.AddrPort
	// sees returns how the far end sees a socket that it hears from just now.
	sees(ctx context.Context, s *reach.Socket) (netip.AddrPort, reach.Result)
	// send makes the far end send something with a token in it to one of our
	// addresses, a few times within about a second.
	send(ctx context.Context, to netip.AddrPort, token []byte)
}

// fate is what became of one mapping.
type fate struct {
	silence time.Duration
	known   bool
	dead    bool
}

// idle lets sockets be silent side by side, beside one that is kept awake.
func idle(ctx context.Context, t agent.Target, silences []time.Duration, f far) agent.Evidence {
	awake, r := openTo(ctx, f)
	if awake == nil {
		return r.Evidence(agent.ProbeIdle, t)
	}
	defer awake.Close()
	within, stop := context.WithCancel(ctx)
	var waking, all sync.WaitGroup
	defer waking.Wait()
	defer stop()
	waking.Go(func() { awake.keep(within) })
	fates := make([]fate, len(silences))
	warm := min(streamAfter, slices.Max(append([]time.Duration{0}, silences...)))
	for i, d := range silences {
		all.Go(func() { fates[i] = silent(ctx, f, warm, d, awake) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return agent.See(agent.ProbeIdle, t, agent.NotLooked, agent.Cancelled)
	}
	return sumUp(t, fates)
}

func sumUp(t agent.Target, fates []fate) agent.Evidence {
	var alive, dead time.Duration
	for _, x := range fates {
		switch {
		case x.known && x.dead && (dead == 0 || x.silence < dead):
			dead = x.silence
		case x.known && !x.dead:
			alive = max(alive, x.silence)
		}
	}
	e := agent.See(agent.ProbeIdle, t, agent.Answered, "")
	switch {
	case alive == 0 && dead == 0, dead > 0 && alive > dead: // it contradicts itself
		return found(e, agent.NotLooked, agent.TooFew)
	case dead > 0:
		e = found(e, agent.Answered, agent.Timeout).With(agent.IdleDead, dead.Seconds())
	}
	if alive > 0 {
		e = e.With(agent.IdleAlive, alive.Seconds())
	}
	return e
}

// mapped is a socket and how the far end saw it.
type mapped struct {
	*reach.Socket
	far    far
	public netip.AddrPort

	mu      sync.Mutex
	heard   [][]byte // datagrams from the far end
	changed bool     // the mapping is not what it was
}

// openTo opens a socket that the far end sees. It is nil where that does not
// answer; the result says why.
func openTo(ctx context.Context, f far) (*mapped, reach.Result) {
	s, err := reach.Listen(f.addr().Addr())
	if err != nil {
		return nil, reach.Classify(err, f.addr().Addr())
	}
	m := &mapped{Socket: s, far: f}
	var r reach.Result
	if m.public, r = f.sees(ctx, s); r.Outcome == agent.Answered {
		return m, r
	}
	s.Close()
	return nil, r
}

// see looks at the mapping again, and reports whether it could.
func (m *mapped) see(ctx context.Context) bool {
	now, r := m.far.sees(ctx, m.Socket)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = m.changed || r.Outcome == agent.Answered && now != m.public
	return r.Outcome == agent.Answered
}

// hear collects what comes from the far end, and sends nothing.
func (m *mapped) hear(ctx context.Context, d time.Duration) {
	_, _ = m.Volley(ctx, m.far.addr(), nil, d, func(h reach.Heard) bool {
		const most = 64 // who sends more is no far end of ours
		m.mu.Lock()
		defer m.mu.Unlock()
		if h.From == m.far.addr() && len(m.heard) < most {
			m.heard = append(m.heard, bytes.Clone(h.Data))
		}
		return false
	})
}

// keep keeps the mapping awake until ctx ends.
func (m *mapped) keep(ctx context.Context) {
	for ctx.Err() == nil {
		m.hear(ctx, awakeEvery)
		m.see(ctx)
	}
}

// got reports whether something with the token has come.
func (m *mapped) got(token []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.heard {
		if bytes.Contains(b, token) {
			return true
		}
	}
	return false
}

func (m *mapped) moved() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// silent finds out what becomes of a mapping in a silence, after it has been in
// use for a while.
func silent(ctx context.Context, f far, warm, d time.Duration, awake *mapped) fate {
	m, _ := openTo(ctx, f)
	if m == nil {
		return fate{}
	}
	defer m.Close()
	m.hear(ctx, warm)
	if !m.see(ctx) || m.moved() { // nothing can be learned from such mappings
		return fate{}
	}
	m.hear(ctx, d)
	own, control := newToken(), newToken()
	var sending sync.WaitGroup
	sending.Go(func() { f.send(ctx, m.public, own) })
	sending.Go(func() { f.send(ctx, awake.public, control) })
	m.hear(ctx, idleGrace)
	sending.Wait()
	reached := m.got(own)
	seen := m.see(ctx)
	switch {
	case ctx.Err() != nil || awake.moved():
		return fate{}
	case reached:
		return fate{silence: d, known: true}
	case awake.got(control) || seen && m.moved():
		return fate{silence: d, known: true, dead: true}
	}
	return fate{}
}

func newToken() []byte {
	token := make([]byte, 12) // as long as a STUN transaction id
	_, _ = rand.Read(token)   // never fails
	return token
}

// byResponsePort is a STUN server that may answer to another port.
type byResponsePort struct{ server netip.AddrPort }

func (b byResponsePort) addr() netip.AddrPort { return b.server }

func (b byResponsePort) sees(ctx context.Context, s *reach.Socket) (netip.AddrPort, reach.Result) {
	e := &ear{asked: b.server, req: newBinding()}
	r := e.ask(ctx, s, streamEnd)
	if r.Outcome == agent.Answered && !e.answer.public().IsValid() {
		r.Outcome, r.Reason = agent.NotLooked, agent.TooFew
	}
	return e.answer.public(), r
}

// send asks from a fresh socket, in the name of nobody who waits. The answer goes
// to the address that this socket is seen at.
func (b byResponsePort) send(ctx context.Context, to netip.AddrPort, token []byte) {
	s, err := reach.Listen(b.server.Addr())
	if err != nil {
		return
	}
	defer s.Close()
	if own, _ := b.sees(ctx, s); own.Addr() != to.Addr() {
		return
	}
	port := stun.RawAttribute{Type: responsePort, Value: []byte{byte(to.Port() >> 8), byte(to.Port()), 0, 0}}
	m := stun.MustBuild(stun.NewTransactionIDSetter([stun.TransactionIDSize]byte(token)), stun.BindingRequest, port)
	var shots []reach.Shot
	for _, at := range []time.Duration{0, 300 * time.Millisecond, 800 * time.Millisecond} {
		shots = append(shots, reach.Shot{At: at, Msg: m.Raw})
	}
	_, _ = s.Volley(ctx, b.server, shots, idleGrace-200*time.Millisecond, func(h reach.Heard) bool {
		return h.Data != nil // refused (420), or answered to the wrong port: no use in asking again
	})
}

// responsePort is the attribute RESPONSE-PORT, RFC 5780 section 7.5.
const responsePort stun.AttrType = 0x0027

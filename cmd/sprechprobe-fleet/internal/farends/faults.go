package farends

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Fault is something that goes wrong between the practice and the service, or
// in the service itself.
type Fault struct {
	Key     string // one letter or digit
	Name    string // in lower-kebab-case
	German  string // what is broken
	English string
	Codes   []agent.Code // what a box must find; the first one leads

	apply func(*Service) error
}

// Faults lists what can go wrong, in the order in which people should see it.
func Faults() []Fault {
	return []Fault{
		{"u", "udp-dead", "UDP wird verschluckt", "UDP is swallowed",
			[]agent.Code{agent.UDPAllBlock}, (*Service).loseUDP},
		{"g", "group-blocked", "Gruppen-Port wird verschluckt", "the group port is swallowed",
			[]agent.Code{agent.GroupBlockAll}, each(func(s *Service) []*streamDoor { return s.doors.nats }, dropped)},
		{"1", "group-one-blocked", "einer von drei Gruppen-Servern wird verschluckt", "one of three group servers is swallowed",
			[]agent.Code{agent.GroupBlockSome}, each(func(s *Service) []*streamDoor { return s.doors.nats[:1] }, dropped)},
		{"n", "group-down", "Gruppen-Server sind abgeschaltet", "the group servers are switched off",
			[]agent.Code{agent.GroupServer}, each(func(s *Service) []*streamDoor { return s.doors.nats }, closed)},
		{"p", "group-mute", "Gruppen-Port geht auf, dann Stille", "the group port opens, then silence",
			[]agent.Code{agent.NATSProtoBad}, each(func(s *Service) []*streamDoor { return s.doors.nats }, mute)},
		{"w", "websocket-stripped", "Proxy ohne WebSocket", "a proxy that knows no WebSocket",
			[]agent.Code{agent.WSStripped}, func(s *Service) error { s.stripped.Store(true); return nil }},
		{"t", "relay-down", "STUN- und TURN-Server ist abgeschaltet", "the STUN and TURN server is switched off",
			[]agent.Code{agent.TURNServer, agent.STUNServer}, (*Service).loseRelay},
		{"x", "relay-dpi", "Firewall trennt unverschlüsseltes TURN über TCP", "a firewall cuts plain TURN over TCP",
			[]agent.Code{agent.TURNDPIPlain}, each(func(s *Service) []*streamDoor { return []*streamDoor{s.doors.turnTCP} }, noPlain)},
		{"i", "tls-broken", "Firewall bricht TLS auf", "a firewall breaks TLS open",
			[]agent.Code{agent.TLSIntercept}, func(s *Service) error { s.certs.broken.Store(true); return nil }},
		{"v", "video-error", "Video-Webserver meldet Fehler 503", "the video web server answers 503",
			[]agent.Code{agent.HTTPSServer}, func(s *Service) error { s.web.down.Store(true); return nil }},
		{"m", "name-gone", "ein Name wird ausgefiltert", "one name is filtered",
			[]agent.Code{agent.DNSNX}, func(s *Service) error { s.zone.hide(VideoHost, true); return nil }},
		{"d", "dns-dead", "DNS antwortet nicht", "DNS does not answer",
			[]agent.Code{agent.DNSFail}, func(s *Service) error { return s.doors.dns.set(dropped) }},
		{"a", "all-dead", "alles wird verschluckt", "everything is swallowed",
			[]agent.Code{agent.WANDown}, (*Service).loseAll},
	}
}

// FaultOf finds a fault by its key or name.
func FaultOf(s string) (Fault, error) {
	all := Faults()
	i := slices.IndexFunc(all, func(f Fault) bool { return f.Key == s || f.Name == s })
	if i < 0 {
		var keys []string
		for _, f := range all {
			keys = append(keys, f.Key+" "+f.Name)
		}
		return Fault{}, fmt.Errorf("unknown fault %.40q (want one of %q)", s, keys)
	}
	return all[i], nil
}

// Break applies a fault, beside those that are there already.
func (s *Service) Break(f Fault) error {
	s.ground.Lock()
	defer s.ground.Unlock()
	if err := f.apply(s); err != nil {
		return fmt.Errorf("fault %s: %w", f.Name, err)
	}
	s.active[f.Name] = true
	return nil
}

// Heal ends all faults.
func (s *Service) Heal() error {
	s.ground.Lock()
	defer s.ground.Unlock()
	clear(s.active)
	s.stripped.Store(false)
	s.certs.broken.Store(false)
	s.web.down.Store(false)
	s.zone.hide(VideoHost, false)
	return s.setAll(open)
}

// Active lists the faults that are there now.
func (s *Service) Active() []Fault {
	s.ground.Lock()
	defer s.ground.Unlock()
	return slices.DeleteFunc(Faults(), func(f Fault) bool { return !s.active[f.Name] })
}

// each is a fault of some doors.
func each(of func(*Service) []*streamDoor, m mode) func(*Service) error {
	return func(s *Service) error {
		return setEach(of(s), m)
	}
}

// setEach changes doors side by side, for a clogged one takes its time.
func setEach(doors []*streamDoor, m mode) error {
	var g errgroup.Group
	for _, d := range doors {
		g.Go(func() error { return d.set(m) })
	}
	return g.Wait()
}

// loseUDP leaves the name server alone: in a practice it is the router.
func (s *Service) loseUDP() error {
	return errors.Join(s.doors.stun.set(dropped), s.doors.turnUDP.set(dropped))
}

func (s *Service) loseRelay() error {
	return errors.Join(s.doors.stun.set(closed), s.doors.turnUDP.set(closed), s.doors.turnTCP.set(closed))
}

// ErrNoPort80 says that the loss of everything cannot be shown.
var ErrNoPort80 = errors.New("may not open port 80")

// loseAll wants every door, or else the box finds a sign of life.
func (s *Service) loseAll() error {
	if len(s.doors.plain) == 0 {
		return fmt.Errorf("%w of %s (try as root)", ErrNoPort80, s.addr(VideoHost))
	}
	return s.setAll(dropped)
}

func (s *Service) setAll(m mode) error {
	var errs []error
	for _, d := range []*packetDoor{s.doors.dns, s.doors.stun, s.doors.turnUDP} {
		errs = append(errs, d.set(m))
	}
	streams := slices.Concat([]*streamDoor{s.doors.video, s.doors.group, s.doors.turnTCP}, s.doors.nats, s.doors.plain)
	return errors.Join(append(errs, setEach(streams, m))...)
}

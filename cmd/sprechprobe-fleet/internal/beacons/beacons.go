// Package beacons answers for the vendor's beacon zone: names that boxes look up
// when nothing else gets out. It checks who says what and hands that on; it knows
// no dashboard and keeps nothing but which beacon of a box was the last.
package beacons

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const (
	// labels of a beacon below the zone. Resolvers that keep names to themselves
	// for as long as they can (RFC 9156) ask for the shorter ones first.
	labels = 5
	// checksPerSecond bounds how many signatures are checked, whoever asks.
	checksPerSecond = 500
	// negativeTTL is how long it may be remembered that there is nothing, seconds.
	negativeTTL = 5
)

// Config says for which zone to answer.
type Config struct {
	Zone string // without the last dot
	Host string // name of this server, for the zone's NS record; empty: ns.ZONE
	// Heard gets each beacon of a box that is known, once.
	Heard func(a fleet.Address, b fleet.Beacon, at time.Time)
	Log   *slog.Logger
}

// Server answers for the zone. It is safe for concurrent use.
type Server struct {
	conf Config
	udp  net.PacketConn
	tcp  net.Listener

	mu     sync.Mutex
	boxes  map[string]map[string]*known // by short id and key
	ids    map[string]string            // short id, by key
	checks int                          // left in this second
	second int64
}

// known is a box whose beacons count.
type known struct {
	address     fleet.Address
	starts, seq uint64 // of its last beacon
}

// Listen opens the port, UDP and TCP. Run answers.
func Listen(addr string, c Config) (*Server, error) {
	if err := fleet.CheckBeaconZone(c.Zone); err != nil {
		return nil, err
	}
	if c.Host == "" {
		c.Host = "ns." + c.Zone
	}
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("beacon zone: %w", err)
	}
	// The same port for both, also where the system chose it.
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("beacon zone: %w", err), udp.Close())
	}
	return &Server{conf: c, udp: udp, tcp: tcp, boxes: map[string]map[string]*known{}, ids: map[string]string{}}, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.udp.LocalAddr() }

// Know makes the beacons of the box with a public key count as those of an
// address; the zero address forgets it.
func (s *Server) Know(key string, a fleet.Address) {
	id, ok := s.idOf(key)
	if !ok {
		id = fleet.ShortID(key) // costly, so nobody waits for it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a == (fleet.Address{}) {
		delete(s.boxes[id], key)
		delete(s.ids, key)
		return
	}
	if s.boxes[id] == nil {
		s.boxes[id] = map[string]*known{}
	}
	if s.boxes[id][key] == nil {
		s.boxes[id][key] = &known{}
	}
	s.boxes[id][key].address, s.ids[key] = a, id
}

func (s *Server) idOf(key string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.ids[key]
	return id, ok
}

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	handler := dns.HandlerFunc(s.serve)
	servers := []*dns.Server{{PacketConn: s.udp, Handler: handler}, {Listener: s.tcp, Handler: handler}}
	ended := make(chan error, len(servers))
	for _, d := range servers {
		go func() { ended <- d.ActivateAndServe() }()
	}
	var err error
	left := len(servers)
	select {
	case <-ctx.Done():
	case err = <-ended:
		left--
	}
	_, _ = s.udp.Close(), s.tcp.Close()
	for range left {
		<-ended
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("beacon zone: %w", err)
}

// serve answers one question.
func (s *Server) serve(w dns.ResponseWriter, q *dns.Msg) {
	a := new(dns.Msg)
	a.SetReply(q)
	a.Authoritative, a.RecursionAvailable = true, false
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		a.Rcode = dns.RcodeNotImplemented
	} else {
		s.answer(a, q.Question[0])
	}
	if o := q.IsEdns0(); o != nil {
		a.SetEdns0(1232, false)
	}
	_ = w.WriteMsg(a)
}

func (s *Server) answer(a *dns.Msg, q dns.Question) {
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	below, ok := strings.CutSuffix(name, s.conf.Zone)
	switch {
	case q.Qclass != dns.ClassINET || !ok || below != "" && !strings.HasSuffix(below, "."):
		a.Rcode, a.Authoritative = dns.RcodeRefused, false
	case below == "":
		s.apex(a, q)
	case strings.Count(below, ".") < labels:
		a.Ns = []dns.RR{s.soa()} // nothing here, but there may be below
	case s.heard(name):
		if q.Qtype == dns.TypeA {
			a.Answer = []dns.RR{&dns.A{Hdr: header(q.Name, dns.TypeA, 0), A: fleet.BeaconAck.AsSlice()}}
		} else {
			a.Ns = []dns.RR{s.soa()}
		}
	default:
		a.Rcode, a.Ns = dns.RcodeNameError, []dns.RR{s.soa()}
	}
}

// apex answers for the zone itself.
func (s *Server) apex(a *dns.Msg, q dns.Question) {
	switch q.Qtype {
	case dns.TypeSOA:
		a.Answer = []dns.RR{s.soa()}
	case dns.TypeNS:
		a.Answer = []dns.RR{&dns.NS{Hdr: header(dns.Fqdn(s.conf.Zone), dns.TypeNS, 3600), Ns: dns.Fqdn(s.conf.Host)}}
	default:
		a.Ns = []dns.RR{s.soa()}
	}
}

func (s *Server) soa() dns.RR {
	return &dns.SOA{Hdr: header(dns.Fqdn(s.conf.Zone), dns.TypeSOA, negativeTTL), Ns: dns.Fqdn(s.conf.Host), Mbox: dns.Fqdn("hostmaster." + s.conf.Zone),
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL}
}

func header(name string, t uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
}

// heard reports whether a name is a beacon of a box that is known, and hands it on
// if it is news.
func (s *Server) heard(name string) bool {
	b, err := fleet.ParseBeacon(name, s.conf.Zone)
	if err != nil || !s.mayCheck(time.Now()) {
		return false
	}
	key, ok := s.signer(b)
	if !ok {
		return false
	}
	if a, news := s.note(key, b.Beacon); news {
		s.conf.Log.Info("a box calls for help", "tenant", a.Tenant, "box", a.Box, "reason", b.Reason)
		s.conf.Heard(a, b.Beacon, time.Now())
	}
	return true
}

// mayCheck bounds what strangers can make us reckon.
func (s *Server) mayCheck(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sec := now.Unix(); sec != s.second {
		s.second, s.checks = sec, checksPerSecond
	}
	s.checks--
	return s.checks >= 0
}

// signer is the key of the box that has said it.
func (s *Server) signer(b fleet.SignedBeacon) (key string, ok bool) {
	s.mu.Lock()
	var keys []string
	for k := range s.boxes[b.ID] {
		keys = append(keys, k)
	}
	s.mu.Unlock()
	for _, k := range keys {
		if b.By(k) {
			return k, true
		}
	}
	return "", false
}

// note remembers a beacon and reports whether it is newer than the last: resolvers
// ask again, and anybody may repeat what he saw.
func (s *Server) note(key string, b fleet.Beacon) (fleet.Address, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.boxes[b.ID][key]
	if k == nil || b.Starts < k.starts || b.Starts == k.starts && b.Seq <= k.seq {
		return fleet.Address{}, false
	}
	k.starts, k.seq = b.Starts, b.Seq
	return k.address, true
}

package dns_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// query is one question that a fake server got.
type query struct {
	id   uint16
	q    dnsmessage.Question
	edns bool
	tcp  bool
}

// packet is what a fake server sends back.
type packet struct {
	data  []byte
	after time.Duration
	stray bool // from another port than the one that was asked
}

// server is a name server on loopback that does what its behaviour says.
type server struct {
	addr    netip.AddrPort
	udp     *net.UDPConn
	stray   *net.UDPConn
	tcp     net.Listener // nil: none
	behave  func(query) []packet
	mu      sync.Mutex
	asked   []string // "type name", in order
	running sync.WaitGroup
}

// serve starts a server, which ends with the test.
func serve(t *testing.T, withTCP bool, behave func(query) []packet) *server {
	t.Helper()
	s := &server{behave: behave}
	s.open(t, withTCP)
	s.addr = s.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	s.running.Go(s.serveUDP)
	if s.tcp != nil {
		s.running.Go(s.serveTCP)
	}
	t.Cleanup(func() {
		s.udp.Close()
		if s.tcp != nil {
			s.tcp.Close()
		}
		s.running.Wait()
		s.stray.Close()
	})
	return s
}

// open finds a port that is free for UDP and, if wanted, for TCP too.
func (s *server) open(t *testing.T, withTCP bool) {
	t.Helper()
	local := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.53:0"))
	var err error
	if s.stray, err = net.ListenUDP("udp4", local); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if s.udp, err = net.ListenUDP("udp4", local); err != nil {
			t.Fatal(err)
		}
		if !withTCP {
			return
		}
		if s.tcp, err = net.Listen("tcp4", s.udp.LocalAddr().String()); err == nil {
			return
		}
		s.udp.Close()
	}
	t.Fatalf("no port free for both UDP and TCP: %v", err)
}

func (s *server) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		for _, p := range s.answer(buf[:n], false) {
			conn := s.udp
			if p.stray {
				conn = s.stray
			}
			if p.after == 0 {
				_, _ = conn.WriteToUDPAddrPort(p.data, from)
				continue
			}
			time.AfterFunc(p.after, func() { _, _ = conn.WriteToUDPAddrPort(p.data, from) })
		}
	}
}

func (s *server) serveTCP() {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			var size [2]byte
			if _, err := io.ReadFull(conn, size[:]); err != nil {
				return
			}
			msg := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(conn, msg); err != nil {
				return
			}
			for _, p := range s.answer(msg, true) {
				_, _ = conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(p.data))))
				_, _ = conn.Write(p.data)
			}
		})
	}
}

func (s *server) answer(msg []byte, tcp bool) []packet {
	var m dnsmessage.Message
	if err := m.Unpack(msg); err != nil || len(m.Questions) != 1 || !m.RecursionDesired {
		panic(fmt.Sprintf("the probe asked badly: %v, %+v", err, m))
	}
	got := query{id: m.ID, q: m.Questions[0], tcp: tcp}
	for _, r := range m.Additionals {
		if r.Header.Type == dnsmessage.TypeOPT {
			got.edns = r.Header.Class == 1232 // the size that we can take
		}
	}
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimPrefix(got.q.Type.String(), "Type")+" "+got.q.Name.String())
	s.mu.Unlock()
	if s.behave == nil {
		return nil
	}
	return s.behave(got)
}

func (s *server) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// reply writes a plain answer, records of the form "owner A|AAAA|CNAME|TXT data".
func (q query) reply(rcode dnsmessage.RCode, records ...string) []byte {
	m := q.message(rcode, records...)
	return mustPack(m)
}

func (q query) message(rcode dnsmessage.RCode, records ...string) dnsmessage.Message {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.id, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: rcode},
		Questions: []dnsmessage.Question{q.q},
	}
	for _, r := range records {
		m.Answers = append(m.Answers, record(r))
	}
	return m
}

func mustPack(m dnsmessage.Message) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func record(text string) dnsmessage.Resource {
	f := strings.Fields(text)
	r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{
		Name: dnsmessage.MustNewName(f[0]), Class: dnsmessage.ClassINET, TTL: 60,
	}}
	switch f[1] {
	case "A":
		r.Body = &dnsmessage.AResource{A: netip.MustParseAddr(f[2]).As4()}
	case "AAAA":
		r.Body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(f[2]).As16()}
	case "CNAME":
		r.Body = &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(f[2])}
	case "TXT":
		r.Body = &dnsmessage.TXTResource{TXT: []string{f[2]}}
	default:
		panic("no such record: " + text)
	}
	return r
}

// zone answers from records; names that own none do not exist.
func zone(records ...string) func(query) []packet {
	return func(q query) []packet {
		rcode := dnsmessage.RCodeNameError
		var answers []string
		for _, r := range records {
			f := strings.Fields(r)
			if !strings.EqualFold(f[0], q.q.Name.String()) && len(answers) == 0 && rcode == dnsmessage.RCodeNameError {
				continue
			}
			rcode = dnsmessage.RCodeSuccess
			if f[1] == "CNAME" || "Type"+f[1] == q.q.Type.String() {
				answers = append(answers, r)
			}
		}
		return []packet{{data: q.reply(rcode, answers...)}}
	}
}

// always answers with one response code.
func always(rcode dnsmessage.RCode) func(query) []packet {
	return func(q query) []packet { return []packet{{data: q.reply(rcode)}} }
}

// late delays whatever else a server says.
func late(by time.Duration, behave func(query) []packet) func(query) []packet {
	return func(q query) []packet {
		packets := behave(q)
		for i := range packets {
			packets[i].after += by
		}
		return packets
	}
}

// only answers questions of one type, and leaves the others without a word.
func only(of dnsmessage.Type, behave func(query) []packet) func(query) []packet {
	return func(q query) []packet {
		if q.q.Type != of {
			return nil
		}
		return behave(q)
	}
}

package localname_test

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent/localname"
)

var here = netip.MustParseAddr("192.168.1.7")

func name(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

func ask(n string, t dnsmessage.Type, c dnsmessage.Class) dnsmessage.Question {
	return dnsmessage.Question{Name: name(n), Type: t, Class: c}
}

func a(n string, ttl uint32, addr [4]byte) dnsmessage.Resource {
	return dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: name(n), Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   &dnsmessage.AResource{A: addr},
	}
}

func pack(t testing.TB, m dnsmessage.Message) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func query(q ...dnsmessage.Question) dnsmessage.Message { return dnsmessage.Message{Questions: q} }

func TestWhatIsAnswered(t *testing.T) {
	const ours, in, unicast = "sprechprobe.local.", dnsmessage.ClassINET, dnsmessage.ClassINET | 1<<15
	with := func(m dnsmessage.Message, answers ...dnsmessage.Resource) dnsmessage.Message {
		m.Answers = answers
		return m
	}
	response := query(ask(ours, dnsmessage.TypeA, in))
	response.Response = true
	update := query(ask(ours, dnsmessage.TypeA, in))
	update.OpCode = 5
	tests := []struct {
		name string
		m    dnsmessage.Message
		want string // type of the answer; empty: none
	}{
		{"our name", query(ask(ours, dnsmessage.TypeA, in)), "A"},
		{"our name in capitals", query(ask("SprechProbe.LOCAL.", dnsmessage.TypeA, in)), "A"},
		{"any type", query(ask(ours, dnsmessage.TypeALL, in)), "A"},
		{"any class", query(ask(ours, dnsmessage.TypeA, dnsmessage.ClassANY)), "A"},
		{"IPv6", query(ask(ours, dnsmessage.TypeAAAA, in)), "none"},
		{"alone", query(ask(ours, dnsmessage.TypeA, unicast)), "A alone"},
		{"among others", query(ask("printer.local.", dnsmessage.TypeA, in), ask(ours, dnsmessage.TypeA, in)), "A"},
		{"another name", query(ask("printer.local.", dnsmessage.TypeA, in)), ""},
		{"a name that begins like ours", query(ask("sprechprobe.local.example.", dnsmessage.TypeA, in)), ""},
		{"a service of ours", query(ask(ours, dnsmessage.TypeSRV, in)), ""},
		{"all services", query(ask("_services._dns-sd._udp.local.", dnsmessage.TypePTR, in)), ""},
		{"another class", query(ask(ours, dnsmessage.TypeA, dnsmessage.ClassCHAOS)), ""},
		{"nothing", query(), ""},
		{"somebody's answer", response, ""},
		{"an update", update, ""},
		{"known already", with(query(ask(ours, dnsmessage.TypeA, in)), a(ours, 60, here.As4())), ""},
		{"known among others", with(query(ask(ours, dnsmessage.TypeA, in)), a("x.local.", 60, here.As4()), a(ours, 120, here.As4())), ""},
		{"known, but not for long", with(query(ask(ours, dnsmessage.TypeA, in)), a(ours, 59, here.As4())), "A"},
		{"known elsewhere", with(query(ask(ours, dnsmessage.TypeA, in)), a(ours, 120, [4]byte{192, 168, 1, 8})), "A"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, alone := localname.Reply(pack(t, tt.m), "sprechprobe", here, false)
			if got := describe(t, out, alone); got != tt.want {
				t.Errorf("answer %q, want %q", got, tt.want)
			}
		})
	}
}

// describe reads an answer and fails where it is not one about our name.
func describe(t *testing.T, out []byte, alone bool) string {
	t.Helper()
	if out == nil {
		return ""
	}
	var m dnsmessage.Message
	if err := m.Unpack(out); err != nil {
		t.Fatalf("the answer cannot be read: %v", err)
	}
	if !m.Response || !m.Authoritative || m.ID != 0 || len(m.Questions) != 0 || len(m.Answers) != 1 {
		t.Fatalf("not an answer of multicast DNS: %+v", m)
	}
	h := m.Answers[0].Header
	if !strings.EqualFold(h.Name.String(), "sprechprobe.local.") || h.Class != dnsmessage.ClassINET || h.TTL != 120 {
		t.Errorf("header %v", h)
	}
	var what string
	switch body := m.Answers[0].Body.(type) {
	case *dnsmessage.AResource:
		what = "A"
		if body.A != here.As4() {
			t.Errorf("address %v", body.A)
		}
	case *dnsmessage.UnknownResource:
		what = "none"
		if want := "\x0bsprechprobe\x05local\x00\x00\x01\x40"; body.Type != 47 || string(body.Data) != want {
			t.Errorf("NSEC is type %d, %q; want %q", body.Type, body.Data, want)
		}
	}
	if alone {
		what += " alone"
	}
	return what
}

// A resolver that does not speak multicast DNS gets an answer of the usual kind:
// its number, its question, a short life (RFC 6762 section 6.7).
func TestLegacyAnswer(t *testing.T) {
	q := query(ask("sprechprobe.local.", dnsmessage.TypeA, dnsmessage.ClassINET|1<<15))
	q.ID = 4711
	out, _ := localname.Reply(pack(t, q), "sprechprobe", here, true)
	var m dnsmessage.Message
	if err := m.Unpack(out); err != nil {
		t.Fatal(err)
	}
	if m.ID != 4711 || len(m.Questions) != 1 || m.Questions[0].Class != dnsmessage.ClassINET || m.Answers[0].Header.TTL != 10 {
		t.Errorf("answer %+v", m)
	}
}

func TestHalfAPacketIsNotAnswered(t *testing.T) {
	whole := pack(t, query(ask("sprechprobe.local.", dnsmessage.TypeA, dnsmessage.ClassINET)))
	for n := range whole {
		if out, _ := localname.Reply(whole[:n], "sprechprobe", here, false); out != nil {
			t.Errorf("%d of %d bytes are answered", n, len(whole))
		}
	}
}

// Whatever comes in, what goes out is one record about our name, and never more
// than a packet's worth.
func FuzzReply(f *testing.F) {
	f.Add(pack(f, query(ask("sprechprobe.local.", dnsmessage.TypeA, dnsmessage.ClassINET))), true)
	known := query(ask("sprechprobe.local.", dnsmessage.TypeAAAA, dnsmessage.ClassINET), ask("b.local.", dnsmessage.TypePTR, dnsmessage.ClassINET))
	known.Answers = []dnsmessage.Resource{a("sprechprobe.local.", 120, here.As4())}
	f.Add(pack(f, known), false)
	f.Fuzz(func(t *testing.T, packet []byte, legacy bool) {
		out, _ := localname.Reply(packet, "sprechprobe", here, legacy)
		if out == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(out); err != nil {
			t.Fatalf("the answer cannot be read: %v", err)
		}
		if len(out) > 128 || len(m.Answers) != 1 || !strings.EqualFold(m.Answers[0].Header.Name.String(), "sprechprobe.local.") {
			t.Errorf("%d bytes: %+v", len(out), m)
		}
	})
}

package dns_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/dns"
)

func FuzzAnswer(f *testing.F) {
	q := dnsmessage.Question{Name: dnsmessage.MustNewName(root), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	of6 := q
	of6.Type = dnsmessage.TypeAAAA
	asked, asked6 := query{id: 0x1234, q: q}, query{id: 0x1234, q: of6}
	f.Add(asked.reply(dnsmessage.RCodeSuccess, good[:2]...))
	f.Add(asked6.reply(dnsmessage.RCodeSuccess, good[2]))
	f.Add(asked.reply(dnsmessage.RCodeSuccess, chain(8)...))
	f.Add(asked.reply(dnsmessage.RCodeSuccess, root+" CNAME b.example.net.", "b.example.net. CNAME "+root))
	f.Add(asked.reply(dnsmessage.RCodeNameError))
	f.Add(asked.reply(dnsmessage.RCodeSuccess, filler(300)...))
	f.Add(loop(asked)[0].data)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, q := range []dnsmessage.Question{q, of6} {
			addrs, rcode, err := dns.ParseAnswer(b, q)
			if (err != nil || rcode != dnsmessage.RCodeSuccess) && len(addrs) > 0 {
				t.Fatalf("addresses %v with rcode %v and error %v", addrs, rcode, err)
			}
			again, _, err := dns.ParseAnswer(rewrite(q, addrs), q)
			if err != nil {
				t.Fatalf("written and read again: %v", err)
			}
			if diff := cmp.Diff(addrs, again, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("written and read again (-want +got):\n%s", diff)
			}
		}
	})
}

// rewrite is an answer with addresses and nothing else.
func rewrite(q dnsmessage.Question, addrs []netip.Addr) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Questions: []dnsmessage.Question{q}}
	for _, a := range addrs {
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}}
		r.Body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		if q.Type == dnsmessage.TypeA {
			r.Body = &dnsmessage.AResource{A: a.As4()}
		}
		m.Answers = append(m.Answers, r)
	}
	return mustPack(m)
}

func FuzzAddrs(f *testing.F) {
	f.Add(goodAddrs)
	f.Add("::ffff:1.2.3.4 fe80::1%eth0 0.0.0.0")
	f.Fuzz(func(t *testing.T, words string) {
		got := dns.Addrs(agent.See(agent.ProbeDNS, agent.Target{}, agent.Answered, "").With(agent.Addrs, words))
		if len(got) > 8 {
			t.Fatalf("%d addresses, want at most 8", len(got))
		}
		for _, a := range got {
			if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" || a.Is4In6() {
				t.Errorf("address %v may be asked", a)
			}
		}
	})
}

package localname

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	port     = 5353
	maxQuery = 1500 // bytes; what fits one frame. Longer ones are cut and not understood
	maxAsked = 32   // questions that are read of one query

	ttl       = 120 // seconds, RFC 6762 section 10
	legacyTTL = 10  // for resolvers that do not speak mDNS, section 6.7

	unicastWanted = 1 << 15 // of a question's class, section 5.4
	typeNSEC      = 47
)

// question is what a query asks about our name.
type question struct {
	dnsmessage.Question
	id      uint16
	unicast bool // the asker would rather be told alone
	known   bool // the asker has the answer already
}

// read looks for a question about name's address in a query. It is the only
// thing that is ever read of other people's packets; what they say of other
// names is passed over and kept nowhere.
func read(packet []byte, name string, addr netip.Addr) (question, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(packet)
	if err != nil || h.Response || h.OpCode != 0 {
		return question{}, false
	}
	out, found := question{id: h.ID}, false
	for range maxAsked {
		q, err := p.Question()
		if err != nil {
			break
		}
		class := q.Class &^ unicastWanted
		mine := strings.EqualFold(q.Name.String(), name) && (class == dnsmessage.ClassINET || class == dnsmessage.ClassANY) &&
			(q.Type == dnsmessage.TypeA || q.Type == dnsmessage.TypeAAAA || q.Type == dnsmessage.TypeALL)
		if mine && !found {
			out.Question, out.unicast, found = q, q.Class&unicastWanted != 0, true
		}
	}
	if found && p.SkipAllQuestions() == nil {
		out.known = knows(&p, name, addr)
	}
	return out, found
}

// knows reports whether a query carries our answer, with enough life in it
// (known-answer suppression, RFC 6762 section 7.1).
func knows(p *dnsmessage.Parser, name string, addr netip.Addr) bool {
	for range maxAsked {
		h, err := p.AnswerHeader()
		if err != nil {
			return false
		}
		if h.Type == dnsmessage.TypeA && h.TTL >= ttl/2 && strings.EqualFold(h.Name.String(), name) {
			if a, err := p.AResource(); err == nil && a.A == addr.As4() {
				return true
			}
			continue
		}
		if p.SkipAnswer() != nil {
			return false
		}
	}
	return false
}

// reply is the answer to q: our address or, where another kind of address was
// asked for, that there is none (NSEC, RFC 6762 section 6.1). The record is
// shared, not unique: two boxes in one practice may both answer, so it never
// asks others to forget what they know.
func reply(q question, addr netip.Addr, legacy bool) ([]byte, error) {
	h := dnsmessage.Header{Response: true, Authoritative: true}
	life := uint32(ttl)
	if legacy {
		h.ID, life = q.id, legacyTTL
	}
	b := dnsmessage.NewBuilder(make([]byte, 0, 128), h)
	if legacy {
		if err := b.StartQuestions(); err != nil {
			return nil, err
		}
		if err := b.Question(dnsmessage.Question{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET}); err != nil {
			return nil, err
		}
	}
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	rh := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: life}
	if q.Type == dnsmessage.TypeAAAA {
		return finish(&b, b.UnknownResource(rh, dnsmessage.UnknownResource{Type: typeNSEC, Data: onlyA(q.Name)}))
	}
	return finish(&b, b.AResource(rh, dnsmessage.AResource{A: addr.As4()}))
}

func finish(b *dnsmessage.Builder, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// onlyA is the content of an NSEC record which says that a name has an A record
// and nothing else (RFC 4034 section 4.1): the name itself, then a bitmap of one
// byte in which bit 1 stands for type A.
func onlyA(name dnsmessage.Name) []byte {
	var data []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name.String(), "."), ".") {
		data = append(append(data, byte(len(label))), label...)
	}
	return append(data, 0, 0, 1, 0x40)
}

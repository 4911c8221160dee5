package dns

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	// ednsSize keeps answers below any MTU on the way, so that none arrives in
	// fragments, which firewalls drop.
	ednsSize = 1232
	// maxDatagram is what package reach reads as a whole; no server that heeds
	// ednsSize comes near it.
	maxDatagram = 4096

	maxName    = 253 // RFC 1035 section 2.3.4, without the last dot
	maxLabel   = 63
	maxRecords = 256 // records of an answer that are read
	maxChain   = 8   // aliases that are followed
)

var (
	errGarbage = errors.New("not a DNS answer")
	errForeign = errors.New("an answer to another question")
)

// question is the absolute name that a target asks for.
func question(t agent.Target) (dnsmessage.Name, error) {
	host := strings.TrimSuffix(t.Host, ".")
	if t.Variant == agent.Uncached {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		host = "sp-" + hex.EncodeToString(b[:]) + "." + host
	}
	if !isName(host) {
		return dnsmessage.Name{}, fmt.Errorf("%.60q is not a domain name", t.Host)
	}
	return dnsmessage.NewName(host + ".")
}

// isName reports whether s can be asked for: labels of visible ASCII.
func isName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return false
		}
	}
	return true
}

// newID is a transaction id that nobody can guess.
func newID() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}

// pack writes a question. RD is set; EDNS0 (RFC 6891) is optional because there
// are old forwarders that refuse it or drop it.
func pack(id uint16, q dnsmessage.Question, edns bool) ([]byte, error) {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{q},
	}
	if edns {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(ednsSize, dnsmessage.RCodeSuccess, false); err != nil {
			return nil, err
		}
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	return m.Pack()
}

// answer is what an answer says of the question's name and type.
type answer struct {
	id        uint16
	rcode     dnsmessage.RCode
	truncated bool
	addrs     []netip.Addr
}

// parseAnswer reads an answer to q. It fails with errForeign if it is in good
// form but answers something else, and with errGarbage if it is not in good
// form. The id is for the caller to compare, and is set even with errForeign.
func parseAnswer(b []byte, q dnsmessage.Question) (answer, error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response {
		return answer{}, errGarbage
	}
	a := answer{id: h.ID, rcode: h.RCode, truncated: h.Truncated}
	if err := checkQuestion(&p, h, q); err != nil {
		return a, err
	}
	if h.RCode != dnsmessage.RCodeSuccess || h.Truncated {
		return a, nil
	}
	a.addrs, err = readAddrs(&p, q)
	return a, err
}

// checkQuestion demands that the answer repeats the question. Only failures may
// come without: a server that cannot read a question cannot repeat it.
func checkQuestion(p *dnsmessage.Parser, h dnsmessage.Header, q dnsmessage.Question) error {
	got, err := p.Question()
	switch {
	case errors.Is(err, dnsmessage.ErrSectionDone):
		if h.RCode == dnsmessage.RCodeSuccess || h.RCode == dnsmessage.RCodeNameError {
			return errForeign
		}
		return nil
	case err != nil:
		return errGarbage
	case got.Type != q.Type || got.Class != q.Class || fold(got.Name) != fold(q.Name):
		return errForeign
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return errForeign
	}
	return nil
}

// fold lowers the ASCII letters of a name; other bytes are compared as they are
// (RFC 4343).
func fold(n dnsmessage.Name) string {
	b := append([]byte(nil), n.Data[:n.Length]...)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// readAddrs returns the addresses of the question's name, or of the name at the
// end of its chain of aliases.
func readAddrs(p *dnsmessage.Parser, q dnsmessage.Question) ([]netip.Addr, error) {
	addrs := map[string][]netip.Addr{}
	alias := map[string]string{}
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err == nil {
			err = readRecord(p, h, q, addrs, alias)
		}
		if err != nil {
			return nil, errGarbage
		}
	}
	name := fold(q.Name)
	for range maxChain {
		next, ok := alias[name]
		if !ok || len(addrs[name]) > 0 {
			break
		}
		name = next
	}
	return addrs[name], nil
}

func readRecord(p *dnsmessage.Parser, h dnsmessage.ResourceHeader, q dnsmessage.Question,
	addrs map[string][]netip.Addr, alias map[string]string) error {
	owner := fold(h.Name)
	switch {
	case h.Class != q.Class:
	case h.Type == dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		alias[owner] = fold(r.CNAME)
		return err
	case h.Type != q.Type:
	case h.Type == dnsmessage.TypeA:
		r, err := p.AResource()
		addrs[owner] = append(addrs[owner], netip.AddrFrom4(r.A))
		return err
	case h.Type == dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		addrs[owner] = append(addrs[owner], netip.AddrFrom16(r.AAAA).Unmap())
		return err
	}
	return p.SkipAnswer()
}

// rcodeWord is a response code as people write it.
func rcodeWord(c dnsmessage.RCode) string {
	switch c {
	case dnsmessage.RCodeSuccess:
		return "noerror"
	case dnsmessage.RCodeFormatError:
		return "formerr"
	case dnsmessage.RCodeServerFailure:
		return "servfail"
	case dnsmessage.RCodeNameError:
		return "nxdomain"
	case dnsmessage.RCodeNotImplemented:
		return "notimp"
	case dnsmessage.RCodeRefused:
		return "refused"
	}
	return fmt.Sprintf("rcode-%d", c)
}

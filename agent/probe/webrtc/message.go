package webrtc

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/pion/stun/v2"
	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	headerBytes = 20
	// maxMessage is the largest STUN message taken for an answer, bytes. Real
	// ones stay below 600.
	maxMessage = 4096
	// wordsLimit is how many runes of a server's own words are kept.
	wordsLimit = 80
	// overUDP is the number of UDP in REQUESTED-TRANSPORT (RFC 8656 section 18.8).
	overUDP = 17
)

// request is a STUN request of ours, ready to be sent again and again: one
// transaction, whatever gets lost.
type request struct {
	method stun.Method
	id     [stun.TransactionIDSize]byte
	raw    []byte
}

func newRequest(method stun.Method, attrs ...stun.Setter) request {
	m := stun.MustBuild(append([]stun.Setter{
		stun.TransactionID, stun.NewType(method, stun.ClassRequest),
	}, attrs...)...)
	return request{method: method, id: m.TransactionID, raw: m.Raw}
}

func newBinding() request { return newRequest(stun.MethodBinding) }

// newAllocate asks for a relayed UDP address, without credentials.
func newAllocate() request {
	return newRequest(stun.MethodAllocate,
		stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{overUDP, 0, 0, 0}})
}

// newRelease gives an allocation back: Refresh with lifetime 0 (RFC 8656 section 7).
func newRelease() request {
	return newRequest(stun.MethodRefresh,
		stun.RawAttribute{Type: stun.AttrLifetime, Value: make([]byte, 4)})
}

// answer is what we read in a STUN message. What is absent or malformed is zero.
type answer struct {
	kind      stun.MessageType
	id        [stun.TransactionIDSize]byte
	code      int            // ERROR-CODE, 300 to 699
	mapped    netip.AddrPort // XOR-MAPPED-ADDRESS
	bare      netip.AddrPort // MAPPED-ADDRESS
	other     netip.AddrPort // OTHER-ADDRESS
	alternate netip.AddrPort // ALTERNATE-SERVER
	realm     string
	software  string
	challenge bool // REALM and NONCE are there
}

// decode reads one whole STUN message and nothing else. An error response
// without an error code is none.
func decode(b []byte) (answer, bool) {
	if len(b) < headerBytes || len(b) > maxMessage || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerBytes {
		return answer{}, false
	}
	var m stun.Message
	if b[0]&0xC0 != 0 || stun.Decode(b, &m) != nil {
		return answer{}, false
	}
	a := answer{
		kind:      m.Type,
		id:        m.TransactionID,
		code:      errorCode(&m),
		mapped:    address(&m, stun.AttrXORMappedAddress),
		bare:      address(&m, stun.AttrMappedAddress),
		other:     address(&m, stun.AttrOtherAddress),
		alternate: address(&m, stun.AttrAlternateServer),
		realm:     words(&m, stun.AttrRealm),
		software:  words(&m, stun.AttrSoftware),
		challenge: m.Contains(stun.AttrRealm) && m.Contains(stun.AttrNonce),
	}
	return a, a.code != 0 || a.kind.Class != stun.ClassErrorResponse
}

func errorCode(m *stun.Message) int {
	var e stun.ErrorCodeAttribute
	if m.Type.Class != stun.ClassErrorResponse || e.GetFrom(m) != nil || e.Code < 300 || e.Code > 699 {
		return 0
	}
	return int(e.Code)
}

// address reads an address attribute, exact in its length: the library reads
// the family without looking whether it is there, and fills up addresses that
// are cut short.
func address(m *stun.Message, t stun.AttrType) netip.AddrPort {
	v, err := m.Get(t)
	if err != nil || len(v) != 4+net.IPv4len && len(v) != 4+net.IPv6len {
		return netip.AddrPort{}
	}
	if family := v[1]; (family == 1) != (len(v) == 4+net.IPv4len) {
		return netip.AddrPort{}
	}
	var a stun.MappedAddress
	switch t {
	case stun.AttrXORMappedAddress, stun.AttrXORPeerAddress, stun.AttrXORRelayedAddress:
		err = (*stun.XORMappedAddress)(&a).GetFromAs(m, t)
	default:
		err = a.GetFromAs(m, t)
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	if err != nil || !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
}

// words reads a text attribute, made fit for a report.
func words(m *stun.Message, t stun.AttrType) string {
	v, err := m.Get(t)
	if err != nil {
		return ""
	}
	return agent.Printable(string(v[:min(len(v), 4*wordsLimit)]), wordsLimit)
}

// public is the address that the far end saw, from the attribute that no
// middlebox recognises where there are both.
func (a answer) public() netip.AddrPort {
	if a.mapped.IsValid() {
		return a.mapped
	}
	return a.bare
}

// values are the findings of an answer that was meant for us.
func (a answer) values() agent.Values {
	v := agent.Values{}
	if a.code != 0 {
		v[agent.STUNError] = agent.Value(a.code)
	}
	if a.realm != "" {
		v[agent.Realm] = a.realm
	}
	if a.software != "" {
		v[agent.Software] = a.software
	}
	return v
}

// allocated reports whether a TURN server has given us a relayed address.
func (a answer) allocated() bool {
	return a.kind == stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse)
}

// read says what b is to the request: its answer (reason empty), somebody's
// answer to another request, or no answer at all.
func (q request) read(b []byte) (answer, agent.Reason) {
	a, ok := decode(b)
	answers := a.kind.Class == stun.ClassSuccessResponse || a.kind.Class == stun.ClassErrorResponse
	switch {
	case !ok || !answers || a.kind.Method != q.method:
		return a, agent.Garbage
	case a.id != q.id:
		return a, agent.ForeignAnswer
	default:
		return a, ""
	}
}

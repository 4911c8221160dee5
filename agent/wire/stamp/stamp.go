// Package stamp is how a relay tells when a datagram reached it, by its own clock:
// an attribute of STUN Binding requests and their answers that everybody else
// passes over (RFC 8489 section 14). Two clocks tell nothing of how long a way
// takes, but how evenly, and that for each direction alone.
//
// It knows neither sockets nor what is made of the times.
package stamp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
)

// attribute is one that nobody has registered, of those that may be passed over.
const attribute stun.AttrType = 0xC0D2

const (
	size = 8 // bytes: microseconds since some time in the past
	most = 256
)

// ID is by which an answer is known for one to a request.
type ID = [stun.TransactionIDSize]byte

// Ask is a request for a stamp.
func Ask() (request []byte, id ID) {
	m := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.RawAttribute{Type: attribute, Value: make([]byte, size)})
	return m.Raw, m.TransactionID
}

// Answer is the answer to b, which came from an address at a time since some other;
// nil where b is no request for a stamp.
func Answer(b []byte, from netip.AddrPort, at time.Duration) []byte {
	m, ok := read(b, stun.BindingRequest)
	if !ok {
		return nil
	}
	out, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		stun.RawAttribute{Type: attribute, Value: binary.BigEndian.AppendUint64(nil, uint64(at.Microseconds()))},
		&stun.XORMappedAddress{IP: net.IP(from.Addr().Unmap().AsSlice()), Port: int(from.Port())})
	if err != nil {
		return nil
	}
	return out.Raw
}

// Read is what an answer says; ok is false where b is none with a stamp.
func Read(b []byte) (id ID, at time.Duration, ok bool) {
	m, ok := read(b, stun.BindingSuccess)
	if !ok {
		return ID{}, 0, false
	}
	value, _ := m.Get(attribute)
	us := binary.BigEndian.Uint64(value)
	const eternity = 1 << 50 // microseconds; more would not fit a Duration
	return m.TransactionID, time.Duration(us) * time.Microsecond, us < eternity
}

// read is a message of a type that has the attribute.
func read(b []byte, want stun.MessageType) (m stun.Message, ok bool) {
	if len(b) > most || !stun.IsMessage(b) || stun.Decode(b, &m) != nil || m.Type != want {
		return m, false
	}
	value, err := m.Get(attribute)
	return m, err == nil && len(value) == size
}

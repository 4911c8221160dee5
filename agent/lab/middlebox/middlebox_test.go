package middlebox_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent/lab/middlebox"
)

// packet is a UDP packet of IPv4 with a message in it, and without checksums.
func packet(message []byte) []byte {
	p := make([]byte, 28, 28+len(message))
	p[0], p[9] = 0x45, 17
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(message)))
	copy(p[12:], []byte{198, 18, 7, 20, 192, 168, 178, 20})
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(message)))
	return append(p, message...)
}

func TestRewriteMapped(t *testing.T) {
	public := net.IPv4(198, 18, 64, 2)
	answer := stun.MustBuild(stun.TransactionID, stun.BindingSuccess,
		stun.NewSoftware("any"), &stun.MappedAddress{IP: public, Port: 4711}, &stun.XORMappedAddress{IP: public, Port: 4711})
	rewrite := middlebox.RewriteMapped(netip.MustParseAddr("192.168.178.20"))
	before := packet(answer.Raw)
	after := rewrite(before)
	m := &stun.Message{Raw: after[28:]}
	var plain stun.MappedAddress
	var xor stun.XORMappedAddress
	if m.Decode() != nil || plain.GetFrom(m) != nil || xor.GetFrom(m) != nil {
		t.Fatalf("no answer any more: % x", after)
	}
	if plain.String() != "192.168.178.20:4711" || xor.String() != "198.18.64.2:4711" {
		t.Errorf("mapped to %v, XORed %v", plain, xor)
	}
	if bytes.Equal(before, after) || binary.BigEndian.Uint16(before[26:]) != 0 {
		t.Error("the packet itself was changed")
	}
	// With its checksum, all of the packet and of the pseudo header sums up to none.
	var total uint32
	for i, b := range append(append([]byte{0, 17, 0, byte(len(after) - 20)}, after[12:20]...), after[20:]...) {
		total += uint32(b) << (8 * (1 - i%2))
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	if total != 0xffff {
		t.Errorf("the checksum is wrong by %#x", total)
	}
}

func TestRewriteMappedLeavesAlone(t *testing.T) {
	rewrite := middlebox.RewriteMapped(netip.MustParseAddr("192.168.178.20"))
	whole := packet(stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.MappedAddress{IP: net.IPv4(1, 2, 3, 4), Port: 5}).Raw)
	for cut := range len(whole) {
		if got := rewrite(whole[:cut]); got != nil {
			t.Errorf("cut to %d bytes: % x", cut, got)
		}
	}
	six := bytes.Clone(whole)
	six[0] = 0x60
	tcp := bytes.Clone(whole)
	tcp[9] = 6
	for name, p := range map[string][]byte{
		"a question":       packet(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw),
		"no address in it": packet(stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw),
		"something else":   packet([]byte("something of more than twenty bytes")),
		"IPv6":             six,
		"TCP":              tcp,
	} {
		if got := rewrite(p); got != nil {
			t.Errorf("%s: % x", name, got)
		}
	}
}

func TestOriginal(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if to, err := middlebox.Original(a); err == nil {
		t.Errorf("of a pipe: %v", to)
	}
}

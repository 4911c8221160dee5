package webrtc_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/webrtc"
)

// Servers that take or refuse credentials in their own way, on UDP and TCP.
// Some answers make turn/v4's own reader stop, spin or panic.
func TestHostileAllocation(t *testing.T) {
	var (
		silent   = brief{Outcome: agent.Silent, Reason: agent.Timeout, Code: 401}
		garbage  = brief{Outcome: agent.Tampered, Reason: agent.Garbage}
		garbage2 = brief{Outcome: agent.Tampered, Reason: agent.Garbage, Code: 401}
		got      = brief{Outcome: agent.Answered}
	)
	relayed := func(m *stun.Message) error {
		a := stun.XORMappedAddress{IP: net.IPv4(127, 0, 0, 1), Port: 9}
		return a.AddToAs(m, stun.AttrXORRelayedAddress)
	}
	granted := func(r []byte, attrs ...stun.Setter) []byte { return respond(r, stun.ClassSuccessResponse, attrs...) }
	life := func(seconds uint32) stun.Setter {
		return stun.RawAttribute{Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, seconds)}
	}
	again := func(code stun.ErrorCode) func([]byte) []byte {
		return func(r []byte) []byte { return refuse(r, code) }
	}
	tests := []struct {
		name          string
		first, second func(request []byte) []byte // answers to the two Allocates; nil: none
		udp, tcp      brief
	}{
		{"granted", again(401), func(r []byte) []byte { return granted(r, setter(relayed), life(600)) }, got, got},
		{"silent after the challenge", again(401), nil, silent, silent},
		{"wrong credentials", again(401), again(401), brief{agent.Answered, agent.AuthRefused, 401}, brief{agent.Answered, agent.AuthRefused, 401}},
		{"another's allocation", again(401), again(441), brief{agent.Answered, agent.AuthRefused, 441}, brief{agent.Answered, agent.AuthRefused, 441}},
		{"quota", again(401), again(486), brief{agent.Answered, "", 486}, brief{agent.Answered, "", 486}},
		{"no capacity", again(401), again(508), brief{agent.Answered, "", 508}, brief{agent.Answered, "", 508}},
		{"server elsewhere", func(r []byte) []byte {
			return respond(r, stun.ClassErrorResponse, stun.ErrorCodeAttribute{Code: 300})
		}, nil, brief{agent.Answered, "", 300}, brief{agent.Answered, "", 300}},
		{"open relay", func(r []byte) []byte { return granted(r, setter(relayed), life(600)) }, nil,
			brief{Outcome: agent.Answered, Reason: agent.OpenRelay}, brief{Outcome: agent.Answered, Reason: agent.OpenRelay}},
		{"HTTP", func([]byte) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, nil,
			garbage, brief{Outcome: agent.Tampered, Reason: agent.HTTPAnswer}},
		{"TLS alert", func([]byte) []byte { return []byte{21, 3, 3, 0, 2, 2, 10} }, nil,
			garbage, brief{Outcome: agent.Refused, Reason: agent.TLSAlert}},
		{"a request of its own first", func(r []byte) []byte {
			return append(respond(r, stun.ClassRequest), refuse(r, 401)...)
		}, again(486), brief{agent.Answered, "", 486}, garbage},
		{"length that makes a uint16 overflow to 0", func(r []byte) []byte {
			b := refuse(r, 401)
			binary.BigEndian.PutUint16(b[2:], 65516)
			return b
		}, nil, garbage, garbage},
		{"empty relayed address", again(401), func(r []byte) []byte {
			return granted(r, life(600), stun.RawAttribute{Type: stun.AttrXORRelayedAddress})
		}, garbage2, garbage2},
		{"lifetime of nothing", again(401), func(r []byte) []byte { return granted(r, setter(relayed), life(0)) }, garbage2, garbage2},
	}
	credentials := webrtc.Credentials{Username: username, Password: password}
	checker := newAuthority(t).checker
	var cases sync.WaitGroup // they wait more than they compute
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				answer := func(r []byte) []byte {
					var m stun.Message
					reply := tt.first
					switch err := stun.Decode(r, &m); {
					case err != nil || m.Type.Method != stun.MethodAllocate:
						return nil
					case m.Contains(stun.AttrMessageIntegrity):
						reply = tt.second
					}
					if reply == nil {
						return nil
					}
					return reply(r)
				}
				udp := datagrams(t, func(r []byte, reply, _ func([]byte)) {
					for b := answer(r); len(b) > 0; {
						n := len(b)
						if end := 20 + int(binary.BigEndian.Uint16(b[2:])); end < n { // two messages are two datagrams
							n = end
						}
						reply(b[:n])
						b = b[n:]
					}
				})
				check(t, webrtc.Allocate(t.Context(), at(udp, agent.UDP, agent.Plain), credentials, checker), tt.udp)
				tcp := streams(t, answer)
				check(t, webrtc.Allocate(t.Context(), at(tcp, agent.TCP, agent.Plain), credentials, checker), tt.tcp)
			})
		})
	}
	cases.Wait()
}

// setter is a function as an attribute.
type setter func(*stun.Message) error

func (s setter) AddTo(m *stun.Message) error { return s(m) }

// streams answers each message on each connection.
func streams(t *testing.T, answer func(request []byte) []byte) netip.AddrPort {
	t.Helper()
	return connections(t, func(c net.Conn) {
		for {
			head := make([]byte, 20)
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			r := append(head, make([]byte, binary.BigEndian.Uint16(head[2:]))...)
			if _, err := io.ReadFull(c, r[20:]); err != nil {
				return
			}
			_, _ = c.Write(answer(r))
		}
	})
}

package stamp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent/wire/stamp"
)

var from = netip.MustParseAddrPort("192.0.2.7:4711")

func TestThereAndBack(t *testing.T) {
	ask, id := stamp.Ask()
	const at = 3*time.Hour + 17*time.Microsecond
	answer := stamp.Answer(ask, from, at)
	got, when, ok := stamp.Read(answer)
	if !ok || got != id || when != at {
		t.Errorf("read %x at %v (%v), want %x at %v", got, when, ok, id, at)
	}
	var m stun.Message
	var seen stun.XORMappedAddress
	if err := stun.Decode(answer, &m); err != nil || seen.GetFrom(&m) != nil || seen.Port != 4711 || seen.IP.String() != "192.0.2.7" {
		t.Errorf("the answer says %v (%v), want %v", seen, err, from)
	}
	if len(answer) > 2*len(ask) {
		t.Errorf("%d bytes answered to %d", len(answer), len(ask))
	}
}

// Who asks for no stamp gets none here, and who gives none is not read.
func TestOthers(t *testing.T) {
	plain := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	ask, _ := stamp.Ask()
	for name, b := range map[string][]byte{"plain": plain, "nothing": nil, "an answer": stamp.Answer(ask, from, 1), "short": ask[:25]} {
		if stamp.Answer(b, from, 1) != nil {
			t.Errorf("%s: answered", name)
		}
	}
	for name, b := range map[string][]byte{"a request": ask, "without": stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw} {
		if _, _, ok := stamp.Read(b); ok {
			t.Errorf("%s: read", name)
		}
	}
}

// Whatever comes from the network, nothing breaks, and what is read was a stamp.
func FuzzRead(f *testing.F) {
	ask, _ := stamp.Ask()
	f.Add(ask)
	f.Add(stamp.Answer(ask, from, time.Second))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, at, ok := stamp.Read(b); ok && at < 0 {
			t.Errorf("stamped %v", at)
		}
		if a := stamp.Answer(b, from, time.Second); a != nil {
			if _, at, ok := stamp.Read(a); !ok || at != time.Second {
				t.Errorf("answered %x", a)
			}
		}
	})
}

package history

import (
	"math/rand/v2"
	"testing"
)

// Whatever order numbers come in, each is new once, and where it is not sure that is
// said. What is written is read back.
func FuzzSeen(f *testing.F) {
	f.Add(uint64(1), 200, 10)
	f.Add(uint64(2), 60, 1)
	f.Fuzz(func(t *testing.T, seed uint64, numbers, far int) {
		if numbers < 1 || numbers > 500 || far < 1 || far > 1000 {
			t.Skip()
		}
		r := rand.New(rand.NewPCG(seed, 0))
		s, there := none(), map[int64]bool{}
		for range 2 * numbers {
			n := r.Int64N(int64(numbers * far))
			fresh, sure := s.add(n)
			if sure && fresh == there[n] {
				t.Fatalf("%d: new %v, and it is there: %v; %+v", n, fresh, there[n], s)
			}
			if !sure && n >= s.unsure {
				t.Fatalf("%d is not sure: %+v", n, s)
			}
			there[n] = true
			if len(s.gaps) > mostGaps {
				t.Fatalf("%d gaps", len(s.gaps))
			}
			if again := parseSeen(s.top, s.text()); again.text() != s.text() || again.top != s.top {
				t.Fatalf("%+v is read as %+v", s, again)
			}
			s = parseSeen(s.top, s.text())
		}
	})
}

func TestDamagedSeenIsUnsure(t *testing.T) {
	for _, text := range []string{"x", "x;", "3;a", "3;1-b", "99999999999999999999;", "0;5-99999999999999999999"} {
		s := parseSeen(7, text)
		if fresh, sure := s.add(6); fresh || sure {
			t.Errorf("%q: 6 of 7 is new %v, sure %v", text, fresh, sure)
		}
		if fresh, sure := s.add(8); !fresh || !sure {
			t.Errorf("%q: 8 after 7 is new %v, sure %v", text, fresh, sure)
		}
	}
}

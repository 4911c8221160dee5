package fleet_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// The code of a key never changes: it stands on stickers and in mails.
const (
	knownKey  = "UBQRVYTO46TGVYZXANHPMNUJG3QZZUOEMZ3FUGMPSW5W7ZFYQBFNSIF7"
	knownCode = "WTAQ-W8AT-DREP"
)

const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

func TestCode(t *testing.T) {
	if got := fleet.Code(knownKey); got != knownCode {
		t.Errorf("Code = %q, want %q", got, knownCode)
	}
	if got, want := fleet.ShortID(knownKey), strings.ToLower(knownCode[:4]+knownCode[5:9]); got != want {
		t.Errorf("ShortID = %q, want %q", got, want)
	}
	seen := map[string]bool{}
	for range 50 {
		kp, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := kp.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		c := fleet.Code(public)
		if seen[c] {
			t.Errorf("two keys have the code %s", c)
		}
		seen[c] = true
		if got, err := fleet.ParseCode(c); err != nil || got != c {
			t.Errorf("ParseCode(%q) = %q, %v", c, got, err)
		}
	}
}

func TestParseCode(t *testing.T) {
	bare := strings.ReplaceAll(knownCode, "-", "")
	for _, in := range []string{knownCode, bare, strings.ToLower(bare), " " + strings.Join(strings.Split(bare, ""), " ") + "\n",
		strings.NewReplacer("0", "o", "1", "l").Replace(bare), strings.NewReplacer("0", "O", "1", "i").Replace(bare)} {
		in = strings.TrimSpace(in)
		if got, err := fleet.ParseCode(in); err != nil || got != knownCode {
			t.Errorf("ParseCode(%q) = %q, %v; want %q", in, got, err, knownCode)
		}
	}
	for in, want := range map[string]string{
		"": "has 0 letters", bare[:11]: "has 11 letters", bare + "0": "has 13 letters",
		strings.Repeat("0", 101): "too long", "U" + bare[1:]: "'U' is no letter", "\x00" + bare: "no letter", "ß" + bare[1:]: "no letter",
	} {
		if got, err := fleet.ParseCode(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCode(%q) = %q, %v; want an error with %q", in, got, err, want)
		}
	}
}

// Whoever hears one letter wrong, or two in the wrong order, claims no other box.
func TestMisheardCode(t *testing.T) {
	bare := strings.ReplaceAll(knownCode, "-", "")
	for i := range bare {
		for _, l := range letters {
			if wrong := bare[:i] + string(l) + bare[i+1:]; wrong != bare {
				if _, err := fleet.ParseCode(wrong); err == nil {
					t.Errorf("%s passes for %s", wrong, bare)
				}
			}
		}
		for j := i + 1; j < len(bare); j++ {
			b := []byte(bare)
			b[i], b[j] = b[j], b[i]
			if _, err := fleet.ParseCode(string(b)); err == nil && string(b) != bare {
				t.Errorf("%s passes for %s", b, bare)
			}
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add(knownCode)
	f.Fuzz(func(t *testing.T, in string) {
		c, err := fleet.ParseCode(in)
		if err != nil {
			return
		}
		if again, err := fleet.ParseCode(c); err != nil || again != c || len(c) != len(knownCode) {
			t.Errorf("%q became %q, and that %q, %v", in, c, again, err)
		}
	})
}

func BenchmarkCode(b *testing.B) {
	for b.Loop() {
		fleet.Code(knownKey)
	}
}

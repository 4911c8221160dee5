package desk

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// What a stranger says of himself is short and printable when it is kept, and is
// kept under his own key.
func FuzzReadClaim(f *testing.F) {
	const key = "UBQRVYTO46TGVYZXANHPMNUJG3QZZUOEMZ3FUGMPSW5W7ZFYQBFNSIF7"
	good, err := json.Marshal(fleet.Claim{Schema: fleet.ClaimSchema, Key: key, Box: agent.Box{Name: "x", Platform: "linux/arm"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"schema":"sprechprobe.claim/1","key":"` + key + `","box":{"name":"\u001b[2J"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := readClaim(in, key)
		if err != nil {
			return
		}
		text := c.Box.ID + c.Box.Name + c.Box.Version + c.Box.Board + c.Box.Platform
		if c.Key != key || len([]rune(text)) > 5*80 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Errorf("%q is kept as %+v", in, c)
		}
	})
}

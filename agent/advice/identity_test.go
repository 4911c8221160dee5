package advice_test

import (
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/advice"
)

func TestWhoIs(t *testing.T) {
	who := advice.Who{Key: "UABC", Code: "P10H-KJQ7-87M1"}
	claimed, refused, torn := who, who, who
	claimed.Tenant, claimed.Box = "acme", "nord"
	refused = claimed
	refused.Refused = true
	torn.Trouble = "grant.pem: torn\x1b[2J"
	tests := []struct {
		name string
		who  advice.Who
		lang advice.Lang
		want []string
	}{
		{"new", who, advice.German, []string{"P10H-KJQ7-87M1", "UABC", "noch bei keinem Videodienst"}},
		{"new", who, advice.English, []string{"P10H-KJQ7-87M1", "UABC", "belongs to no video service yet"}},
		{"claimed", claimed, advice.German, []string{"angemeldet als nord bei acme."}},
		{"claimed", claimed, advice.English, []string{"claimed as nord of acme."}},
		{"refused", refused, advice.German, []string{"war angemeldet als nord", "nimmt sie nicht mehr an", "Code der Box"}},
		{"torn", torn, advice.English, []string{"of no use: grant.pem: torn"}},
	}
	for _, tt := range tests {
		got := strings.Join(strings.Fields(advice.WhoIs(tt.who, tt.lang)), " ")
		for _, w := range tt.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s, %s: %q lacks %q", tt.name, tt.lang, got, w)
			}
		}
		if strings.Contains(got, "\x1b") {
			t.Errorf("%s: %q can move a terminal's cursor", tt.name, got)
		}
	}
}

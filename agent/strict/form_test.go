package strict_test

import (
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/strict"
)

func TestHost(t *testing.T) {
	tests := []struct{ in, wantErr string }{
		{in: "video.webprax.de"},
		{in: "localhost"},
		{in: "xn--mnchen-3ya.de"},
		{in: "3com.example"},
		{in: "5.75.182.248"},
		{in: "192.168.1.1"},
		{in: "127.0.0.1"},
		{in: "2001:db8::1"},
		{in: "fd00::1"},
		{in: strings.Repeat("a", 63) + ".de"},
		{in: "", wantErr: "want 1 to 253 characters"},
		{in: strings.Repeat("a.", 127), wantErr: "want 1 to 253 characters"},
		{in: strings.Repeat("a", 64) + ".de", wantErr: "parts of 1 to 63"},
		{in: "video.webprax.de.", wantErr: "parts of 1 to 63"},
		{in: "-a.de", wantErr: "without - at their ends"},
		{in: "a-.de", wantErr: "without - at their ends"},
		{in: "Video.webprax.de", wantErr: "'V': want a-z"},
		{in: "münchen.de", wantErr: "'ü': want a-z"},
		{in: "_stun.webprax.de", wantErr: "'_': want a-z"},
		{in: "video.webprax.de:443", wantErr: "':': want a-z"},
		{in: "https://video.webprax.de", wantErr: "want a-z"},
		{in: "*.webprax.de", wantErr: "'*': want a-z"},
		{in: "5.75.182.300", wantErr: "neither an address nor a name"},
		{in: "5.75.182", wantErr: "neither an address nor a name"},
		{in: "0.0.0.0", wantErr: "no address of a host"},
		{in: "0.1.2.3", wantErr: "reserved"},
		{in: "255.255.255.255", wantErr: "reserved"},
		{in: "224.0.0.1", wantErr: "multicast"},
		{in: "ff0e::1", wantErr: "multicast"},
		{in: "::", wantErr: "no address of a host"},
		{in: "::ffff:5.75.182.248", wantErr: "want plain IPv4"},
		{in: "fe80::1", wantErr: "no further than its cable"},
		{in: "2001:db8::1%eth0", wantErr: "no further than its cable"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) { checkForm(t, strict.Host(tt.in), tt.wantErr) })
	}
}

func TestLabel(t *testing.T) {
	tests := []struct{ in, wantErr string }{
		{in: ""},
		{in: "Praxis Müller, Empfang"},
		{in: strings.Repeat("ü", 40)},
		{in: strings.Repeat("ü", 41), wantErr: "want at most 40 characters"},
		{in: "a\nb", wantErr: "not printable"},
		{in: "a\x1b[31m", wantErr: "not printable"},
		{in: "a\u202eb", wantErr: "not printable"}, // turns the direction of writing
		{in: " a", wantErr: "blank at an end"},
		{in: "a ", wantErr: "blank at an end"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) { checkForm(t, strict.Label(tt.in, 40), tt.wantErr) })
	}
}

func checkForm(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
}

package button_test

import (
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/hal/button"
)

func TestHas(t *testing.T) {
	tests := []struct {
		bitmap string
		bit    uint16
		want   bool
	}{
		{bits(0x211), 0x211, true},
		{bits(0x211), 0x210, false},
		{bits(0x211), 0x11, false},
		{bits(3), 0x211, false},
		{"", 0, false},
		{"1\n", 0, true},
		{"zz 1", 64, false},
		{"ffffffffffffffffff", 1, false}, // more than a word
	}
	for _, tt := range tests {
		if got := button.Has(tt.bitmap, tt.bit); got != tt.want {
			t.Errorf("Has(%q, %#x) = %v, want %v", tt.bitmap, tt.bit, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("pressed@\x00HOME=/\x00SUBSYSTEM=button\x00ACTION=pressed\x00BUTTON=wps\x00SEEN=0\x00SEQNUM=500\x00"))
	f.Add([]byte("released@\x00SUBSYSTEM=button\x00ACTION=released\x00BUTTON=wps\x00TYPE=switch\x00"))
	f.Add([]byte("=\x00==\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		down, ok := button.Parse(b, "wps")
		if ok && !strings.Contains(string(b), "BUTTON=wps") || down && !strings.Contains(string(b), "=pressed") {
			t.Errorf("%q was taken for a press: %v, %v", b, down, ok)
		}
	})
}

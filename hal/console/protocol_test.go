package console_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/hal/console"
)

func TestFrame(t *testing.T) {
	tests := []struct {
		word    string
		seq     uint16
		want    string
		wantErr string
	}{
		// The checksums were worked out bit by bit, not by this program.
		{word: "ready", seq: 7, want: ">STATE ready 7*0e\n"},
		{word: "no-link+u", seq: 65535, want: ">STATE no-link+u 65535*34\n"},
		{word: "", wantErr: "want 1 to 32"},
		{word: "Ready", wantErr: "want 1 to 32"},
		{word: "a b", wantErr: "want 1 to 32"},
		{word: "a\nb", wantErr: "want 1 to 32"},
		{word: "a*b", wantErr: "want 1 to 32"},
		{word: strings.Repeat("x", 33), wantErr: "want 1 to 32"},
	}
	for _, tt := range tests {
		t.Run(tt.word, func(t *testing.T) {
			got, err := console.Frame(tt.word, tt.seq)
			if !matches(err, tt.wantErr) {
				t.Fatalf("Frame(%q): err = %v, want %q", tt.word, err, tt.wantErr)
			}
			if string(got) != tt.want {
				t.Errorf("Frame(%q, %d) = %q, want %q", tt.word, tt.seq, got, tt.want)
			}
		})
	}
	longest, err := console.Frame(strings.Repeat("x", 32), 65535)
	if err != nil || len(longest) > 64 {
		t.Errorf("the longest line has %d bytes, err %v; want at most 64", len(longest), err)
	}
}

func matches(err error, want string) bool {
	if want == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), want)
}

func TestParseFrame(t *testing.T) {
	tests := []struct{ line, wantErr string }{
		{">STATE ready 7*0e", ""},
		{">STATE ready 7*0E", "checksum is not 0e"},
		{">STATE ready 8*0e", "checksum is not"},
		{">STATE ready 7*0e\r", "checksum is not"},
		{"STATE ready 7*0e", "want >...*crc"},
		{">STATE ready 7", "want >...*crc"},
		{"", "want >...*crc"},
		{">*00", "want STATE"},
		{">" + strings.Repeat("x", 100) + "*00", "too long"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			word, seq, err := console.ParseFrame([]byte(tt.line))
			if !matches(err, tt.wantErr) {
				t.Fatalf("ParseFrame(%q): err = %v, want %q", tt.line, err, tt.wantErr)
			}
			if err == nil && (word != "ready" || seq != 7) {
				t.Errorf("ParseFrame(%q) = %q %d, want ready 7", tt.line, word, seq)
			}
		})
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add([]byte(">STATE ready 7*0e"))
	f.Add([]byte(">STATE no-link+u 65535*34"))
	f.Add([]byte(">STATE ready 007*0e"))
	f.Add([]byte(">*00"))
	f.Fuzz(func(t *testing.T, line []byte) {
		word, seq, err := console.ParseFrame(line)
		if err != nil {
			return
		}
		again, err := console.Frame(word, seq)
		if err != nil || !bytes.Equal(again, append(bytes.Clone(line), '\n')) {
			t.Errorf("%q was read as %q %d, which is written %q, err %v", line, word, seq, again, err)
		}
	})
}

func TestReplies(t *testing.T) {
	tests := []struct {
		name        string
		in          string
		want        []string
		wantGarbage int
	}{
		{"answers", "OK 1\nOK 65535\r\n", []string{"OK 1", "OK 65535"}, 0},
		{"hello", "HELLO\nHELLO panel 1.2\r\n", []string{"HELLO", "HELLO"}, 0},
		{"no answers", "ok 1\nOK\nOK -1\nOK 01\nOK 65536\nOK 1 \nHELLOX\n\n", nil, 43},
		{"starting noise", "\x00\xff\xfe rst:0x1\n\r\nHELLO\n", []string{"HELLO"}, 0},
		{"end of a line that is too long", strings.Repeat("x", 500) + "OK 5\nOK 6\n", []string{"OK 6"}, 0},
		{"answer in a line that is too long", strings.Repeat("OK 5", 200) + "\n", nil, 800},
		{"no end yet", "OK 12", nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, garbage, _ := console.Replies([]byte(tt.in))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("replies in %q (-want +got):\n%s", tt.in, diff)
			}
			if garbage != tt.wantGarbage {
				t.Errorf("garbage in %q: %d bytes, want %d", tt.in, garbage, tt.wantGarbage)
			}
		})
	}
}

// However the bytes arrive, the same replies are in them, and memory is
// bounded.
func FuzzReplies(f *testing.F) {
	f.Add([]byte("HELLO\r\nOK 1\nOK 2\n"), 3)
	f.Add([]byte("rst:0x1 \x00\xff\nHELLO v1\nOK 65535\n"), 9)
	f.Add([]byte(strings.Repeat("x", 200)+"\nOK 3\n"), 70)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		cut = min(max(cut, 0), len(b))
		whole, garbage, held := console.Replies(b)
		parts, garbage2, held2 := console.Replies(b[:cut], b[cut:])
		if diff := cmp.Diff(whole, parts); diff != "" || garbage != garbage2 {
			t.Errorf("cut at %d: garbage %d and %d, replies:\n%s", cut, garbage, garbage2, diff)
		}
		if held > 128 || held2 > 128 {
			t.Errorf("%d and %d bytes held", held, held2)
		}
	})
}

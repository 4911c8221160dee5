package nats_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/probe/nats"
)

// captured is what real servers said, see testdata/README.
func captured(f *testing.F) map[string][]byte {
	f.Helper()
	names, err := filepath.Glob("testdata/*[a-z]")
	if err != nil || len(names) < 10 {
		f.Fatalf("captures: %q, %v", names, err)
	}
	out := map[string][]byte{}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		out[filepath.Base(n)] = b
	}
	return out
}

// behind is what follows the header of an answer.
func behind(answer []byte) []byte {
	_, rest, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	return rest
}

// counting counts what is taken from a reader.
type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func FuzzGreeting(f *testing.F) {
	for _, b := range captured(f) {
		f.Add(b)
	}
	f.Add([]byte("INFO {\"server_id\":1}\r\n"))
	f.Add([]byte("INFO\t{\"server_id\":\"\\u001b[31m\",\"version\":\"\\u202e\"}\n"))
	f.Add([]byte("INFO {\"server_id\":\"N\",\"client_ip\":\"::ffff:203.0.113.7\"}\r\n"))
	f.Add([]byte("INFO {\"server_id\":\"N\",\"client_ip\":\"fe80::1%eth0\"}\r\n"))
	f.Add([]byte("-ERR 'maximum connections exceeded'\r\n"))
	f.Add([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		in := &counting{r: bytes.NewReader(answer)}
		g, err := nats.ReadGreeting(in)
		if in.n > nats.InfoLimit+8192 {
			t.Errorf("took %d bytes", in.n)
		}
		if err == nil && !bytes.HasPrefix(answer, []byte("INFO")) && !bytes.HasPrefix(answer, []byte("-ERR")) {
			t.Error("not a greeting")
		}
		if len([]rune(g.Version)) > 32 || len([]rune(g.Refusal)) > 80 {
			t.Errorf("words too long: %q %q", g.Version, g.Refusal)
		}
		if again, err := netip.ParseAddr(g.Client.String()); g.Client.IsValid() && (err != nil || again != g.Client || again.Is4In6() || again.Zone() != "") {
			t.Errorf("no plain address: %q", g.Client)
		}
		for _, r := range g.Version + g.Refusal {
			if r < ' ' || r == 0x202e {
				t.Errorf("unprintable: %q %q", g.Version, g.Refusal)
			}
		}
	})
}

// FuzzFrames: no data comes out that did not go in, and what is written as
// frames comes back as it was.
func FuzzFrames(f *testing.F) {
	real := captured(f)
	f.Add(behind(real["ws-upgrade"]), real["info-plain"], uint16(7))
	f.Add(behind(real["wss-upgrade"]), real["info-tls"], uint16(300))
	f.Add([]byte("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xffINFO {"), real["info-plain"], uint16(125))
	f.Add([]byte("\x89\x01x\x02\x03INF\x80\x01O\x88\x02\x03\xe8"), real["info-plain"], uint16(126))
	f.Add([]byte("\x82\x85abcd12345"), []byte(nil), uint16(0))
	f.Fuzz(func(t *testing.T, stream, data []byte, size uint16) {
		if got, _ := io.ReadAll(nats.Payload(bytes.NewReader(stream))); len(got) > len(stream) {
			t.Errorf("%d bytes out of %d", len(got), len(stream))
		}
		data = data[:min(len(data), 1<<16)]
		size = max(size, uint16(len(data)/200)+1)
		got, err := io.ReadAll(nats.Payload(strings.NewReader(framed(data, int(size)))))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("frames of %d: got %q, %v, want %q", size, got, err, data)
		}
	})
}

// framed writes data as one message in frames of a size, with a close behind it.
func framed(data []byte, size int) string {
	var b bytes.Buffer
	for first := true; first || len(data) > 0; first = false {
		part := data[:min(size, len(data))]
		data = data[len(part):]
		head := byte(0)
		if first {
			head = 2
		}
		if len(data) == 0 {
			head |= 0x80
		}
		b.WriteByte(head)
		switch n := len(part); {
		case n < 126:
			b.WriteByte(byte(n))
		case n < 1<<15:
			b.WriteByte(126)
			_ = binary.Write(&b, binary.BigEndian, uint16(n))
		default:
			b.WriteByte(127)
			_ = binary.Write(&b, binary.BigEndian, uint64(n))
		}
		b.Write(part)
	}
	b.WriteString("\x88\x00")
	return b.String()
}

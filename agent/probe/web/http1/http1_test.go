package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web/http1"
)

// canned is a connection on which answer is all that ever comes.
type canned struct {
	net.Conn
	asked  strings.Builder
	answer io.Reader
}

func (c *canned) Write(p []byte) (int, error) { return c.asked.Write(p) }
func (c *canned) Read(p []byte) (int, error)  { return c.answer.Read(p) }

func TestURL(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	tests := []struct {
		scheme string
		target agent.Target
		path   string
		want   string
	}{
		{"https", agent.Target{Host: "video.test", Addr: v4, Port: 443}, "/", "https://video.test/"},
		{"https", agent.Target{Host: "video.test.", Addr: v4, Port: 8443}, "ws", "https://video.test:8443/ws"},
		{"http", agent.Target{Host: "video.test", Addr: v4, Port: 80}, "/a?b=c", "http://video.test/a?b=c"},
		{"http", agent.Target{Addr: v4, Port: 443}, "", "http://192.0.2.7:443/"},
		{"https", agent.Target{Addr: v6, Port: 443}, "/", "https://[2001:db8::7]/"},
		{"https", agent.Target{Addr: v6.WithZone("eth0"), Port: 8443}, "/", "https://[2001:db8::7]:8443/"},
	}
	for _, tt := range tests {
		if got := http1.URL(tt.scheme, tt.target, tt.path); got != tt.want {
			t.Errorf("URL(%s, %v, %q) = %q, want %q", tt.scheme, tt.target, tt.path, got, tt.want)
		}
	}
}

// A path out of a profile cannot smuggle in a header.
func TestGetRefusesLineBreaks(t *testing.T) {
	c := &canned{answer: strings.NewReader("HTTP/1.1 200 OK\r\n\r\n")}
	if _, err := http1.Get(c, "http://video.test/\r\nX-Evil: 1"); err == nil {
		t.Error("got no error")
	}
	if c.asked.Len() > 0 {
		t.Errorf("sent %q", c.asked.String())
	}
}

func TestUpgradeWantsItsOwnKey(t *testing.T) {
	c := &canned{answer: strings.NewReader("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nrest")}
	a, accepted, err := http1.Upgrade(c, "http://video.test/ws")
	if err != nil || accepted || a.Status != 101 {
		t.Errorf("Upgrade = %d, %v, %v; want 101 but not accepted", a.Status, accepted, err)
	}
	if rest, _ := io.ReadAll(a.Stream(100)); string(rest) != "rest" {
		t.Errorf("Stream = %q, want what follows the header", rest)
	}
	if asked := c.asked.String(); strings.Contains(asked, "Origin") || !strings.Contains(asked, "Upgrade: websocket\r\n") {
		t.Errorf("request %q", asked)
	}
}

func TestStreamOfWhatIsNotHTTP(t *testing.T) {
	c := &canned{answer: strings.NewReader("INFO {}\r\n")}
	a, err := http1.Get(c, "http://video.test/")
	if !errors.Is(err, http1.ErrNotHTTP) {
		t.Fatalf("err = %v, want %v", err, http1.ErrNotHTTP)
	}
	if all, _ := io.ReadAll(a.Stream(100)); string(all) != "INFO {}\r\n" {
		t.Errorf("Stream = %q, want everything", all)
	}
}

func TestBindEndsReadsWithItsContext(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	ctx, cancel := context.WithCancel(t.Context())
	release := http1.Bind(ctx, here)
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v, want a deadline", err)
	}
	release()
}

// FuzzAnswer: no answer makes more of the connection than its limits, and an
// accepted upgrade cannot be guessed.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"wss-upgrade", "wss-get", "wss-in-the-clear", "wss-foreign-origin", "info-get"} {
		captured, err := os.ReadFile("../../nats/testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(captured)
	}
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nDate: Tue, 10 Feb 2026 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 302 Found\r\nLocation: http://192.168.179.1/login\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"INFO {\"server_id\":\"X\"}\r\n",
		"SSH-2.0-OpenSSH_9.2\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		a, accepted, err := http1.Upgrade(&canned{answer: strings.NewReader(string(answer))}, "https://video.test/ws")
		if accepted {
			t.Error("accepted without knowing the key")
		}
		if err == nil && (a.Status < 100 || a.Status > 999) {
			t.Errorf("status %d", a.Status)
		}
		if n := len(a.Body(64)); n > 64 {
			t.Errorf("body of %d bytes", n)
		}
	})
}

package idle_test

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/probe/idle"
)

// canned is a connection on which an answer has come already.
type canned struct {
	net.Conn
	answer *bytes.Reader
}

func (c canned) Read(p []byte) (int, error)  { return c.answer.Read(p) }
func (c canned) Write(p []byte) (int, error) { return len(p), nil }

// FuzzAnswers: what is taken for an answer is one, and it is bounded.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"INFO {\"server_id\":\"N\"}\r\n", "INFO {\"auth_required\":true}\r\n", "PONG\r\n", "PING\r\nPONG\r\n", "-ERR 'x'\r\n",
		"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", "220 mail\r\n\r\n", "\x01\x01\x00\x00\x21\x12\xa4\x42AAAAAAAAAAAA", "\x01\x01\xff\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for name, speak := range idle.Voices() {
			c := canned{answer: bytes.NewReader(answer)}
			err := speak(c)
			took := len(answer) - c.answer.Len()
			text := string(answer[:took])
			switch {
			case name != "ping" && took > idle.AnswerLimit:
				t.Errorf("%s took %d bytes", name, took)
			case err != nil:
			case name == "binding":
				t.Error("a transaction id was guessed")
			case name == "head" && !strings.HasPrefix(text, "HTTP/"), name == "greeted" && !strings.HasPrefix(text, "INFO "),
				name == "ping" && !strings.HasSuffix(text, "PONG\r\n"):
				t.Errorf("%s takes %q for an answer", name, text)
			}
		}
	})
}

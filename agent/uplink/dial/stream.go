package dial

import (
	"net"
	"strings"
	"sync/atomic"

	"github.com/sprechprobe/sprechprobe/agent"
)

// What a server may say at once, bytes.
const (
	mostInfo    = 64 << 10
	mostLine    = 4 << 10 // of anything but INFO
	mostMessage = 256 << 10

	// mostNotes is how many INFO and -ERR lines one connection may bring.
	mostNotes = 1000
)

// Stream is an open connection to a server. Reading fails as soon as the server
// says what none may say.
type Stream struct {
	net.Conn
	first []byte // the INFO; comes before the rest

	line  []byte // what is being read, as far as it is kept
	size  int    // of the line so far
	cr    bool   // the line has ended but for its \n
	body  int    // bytes of a message still to come, its \r\n included
	notes int
	ended bool

	welcome atomic.Bool
	refusal atomic.Pointer[string]
}

func newStream(conn net.Conn, in info) *Stream { return &Stream{Conn: conn, first: in.line()} }

// Welcome reports whether the server has let us in.
func (s *Stream) Welcome() bool { return s.welcome.Load() }

// Refusal is the server's last error, empty where it has sent none.
func (s *Stream) Refusal() string {
	if p := s.refusal.Load(); p != nil {
		return *p
	}
	return ""
}

// Read is for one goroutine at a time.
func (s *Stream) Read(b []byte) (int, error) {
	if len(s.first) > 0 {
		n := copy(b, s.first)
		s.first = s.first[n:]
		return n, nil
	}
	if s.ended {
		return 0, ErrTooMuch
	}
	n, err := s.Conn.Read(b)
	if !s.allow(b[:n]) {
		s.ended = true
		s.Conn.Close()
		return 0, ErrTooMuch
	}
	return n, err
}

// allow follows the protocol: lines that end with \r\n, of which MSG and HMSG
// announce a body that does too. The client reads more leniently; what is not
// written as servers write it does not pass, so that both agree on what is a
// line.
func (s *Stream) allow(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if s.body > 2 {
			n := min(s.body-2, len(b)-i)
			s.body -= n
			i += n - 1
			continue
		}
		ok := true
		switch c := b[i]; {
		case s.body > 0:
			s.body--
			ok = c == "\n\r"[s.body]
		case c == '\n':
			ok = s.cr && s.lineEnds()
		case s.cr:
			ok = false
		case c == '\r':
			s.cr = true
		default:
			ok = s.extend(c)
		}
		if !ok {
			return false
		}
	}
	return true
}

// operations are what a server's lines begin with.
var operations = []string{"MSG ", "HMSG ", "PING", "PONG", "+OK", "-ERR ", "INFO "}

// extend adds to the line.
func (s *Stream) extend(c byte) bool {
	if s.size++; len(s.line) < mostLine {
		s.line = append(s.line, c)
	}
	if s.size > mostLine && (s.line[0] != 'I' || s.size > mostInfo) {
		return false
	}
	return s.size > len("HMSG ") || s.isOperation()
}

func (s *Stream) isOperation() bool {
	line := string(s.line)
	for _, op := range operations {
		if strings.HasPrefix(op, line) || strings.HasPrefix(line, op) {
			return true
		}
	}
	return false
}

// lineEnds acts on a whole line.
func (s *Stream) lineEnds() bool {
	line := string(s.line)
	s.line, s.size, s.cr = s.line[:0], 0, false
	op, rest, _ := strings.Cut(line, " ")
	switch op {
	case "MSG", "HMSG":
		n, ok := size(rest)
		s.body = n + len("\r\n")
		return ok
	case "PING", "+OK":
	case "PONG":
		s.welcome.Store(true)
	case "-ERR":
		word := agent.Printable(strings.Trim(rest, "'"), 100)
		s.refusal.Store(&word)
		s.notes++
	case "INFO":
		s.notes++
	default:
		return false
	}
	return s.notes <= mostNotes
}

// size is the number that a message's line ends with.
func size(line string) (n int, ok bool) {
	word := line[strings.LastIndexAny(line, " \t")+1:]
	for _, c := range []byte(word) {
		if n = 10*n + int(c-'0'); c < '0' || c > '9' || n > mostMessage {
			return 0, false
		}
	}
	return n, word != ""
}

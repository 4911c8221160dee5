// Package iperf3 speaks the protocol of iperf3, versions 3.1 and later, at both
// ends: [Client] measures against any iperf3 server, [Server] serves any iperf3
// client, and many of them at once on one port. It also holds two things of our
// own that a foreign end never notices: a lease ([Slot]) that a client may ask
// the server for, and local drops in results.
//
// It runs on Linux only: it leaves copying to the kernel where that can do
// without (sendfile, MSG_TRUNC, UDP_SEGMENT), and copies where it cannot.
//
// It knows nothing of profiles, schedules and judgement. Who may test, how fast
// and how long is decided by the server's Admit.
//
// The protocol has no specification: its facts are those of stock iperf3's
// behaviour, as they stand beside the code that keeps them. Everything that
// arrives is taken for hostile: it is bounded in size and in time, and checked.
package iperf3

import (
	"errors"
	"fmt"
	"time"
)

// DefaultPort is where iperf3 servers listen, TCP and UDP.
const DefaultPort = 5201

// Version is the iperf3 version whose behaviour the wire shows.
const Version = "3.12"

// Direction says who sends.
type Direction uint8

// The directions.
const (
	Up   Direction = iota // the client sends
	Down                  // the server sends ("reverse")
	Both                  // both at once ("bidir")
)

func (d Direction) String() string { return [...]string{"up", "down", "both"}[min(d, Both)] }

// Limits of the protocol, as stock iperf3 sets them on its command line.
const (
	MaxStreams   = 128
	MaxDuration  = 86400 * time.Second
	MaxOmit      = 600 * time.Second
	MaxLength    = 1 << 20 // bytes of one TCP write
	MinUDPLength = 16
	MaxUDPLength = 65507
	MaxMSS       = 32767
	MaxWindow    = 512 << 20
	maxBurst     = 1000
)

// Test says what to measure. The zero value is one TCP stream up for 10 s.
type Test struct {
	UDP       bool
	Direction Direction
	Streams   int // in each direction, 1 to 128; 0: 1

	// The test ends after Duration, or when Bytes or Blocks have been sent or
	// received, if one of these is more than zero. On the wire durations are
	// whole seconds; the client's own clock ends the test.
	Duration time.Duration // up to a day; 0: 10 s, without limit with Bytes or Blocks
	Bytes    int64
	Blocks   int64         // writes of Length bytes, or datagrams
	Omit     time.Duration // at the start, left out of all results; whole seconds, up to 600

	Length int // bytes of a write or datagram; 0: 128 KiB, for UDP what fits the path
	// Rate paces each stream, bit/s, of whoever sends. 0: as fast as it goes,
	// for UDP 1 Mbit/s; Unlimited is for UDP too.
	Rate  int64
	Burst int // writes back to back when paced; 0: one

	MSS          int // bytes, TCP; 0: the system's
	Window       int // bytes, both socket buffers; 0: the system's
	TOS          int // 0 to 255, the whole byte
	NoDelay      bool
	DontFragment bool   // IPv4 UDP
	Congestion   string // TCP congestion control; a name that a system lacks is left out
	ServerOutput bool   // have the server send its own account
	Counters64   bool   // UDP sequence numbers of 64 bits
	Repeating    bool   // payload of repeated digits instead of random bytes

	Title, Extra string // passed through into results
	Slot         string // the lease this test uses, see [AskSlot]
}

// Unlimited as a Test's Rate sends as fast as it goes, UDP too.
const Unlimited = -1

// Defaults.
const (
	defaultDuration  = 10 * time.Second
	defaultLength    = 128 << 10
	defaultUDPLength = 1460
	defaultUDPRate   = 1 << 20
)

// normal is the test with its defaults filled in.
func (t Test) normal() Test {
	t.Streams = max(t.Streams, 1)
	if t.Duration == 0 && t.Bytes == 0 && t.Blocks == 0 {
		t.Duration = defaultDuration
	}
	if t.Length == 0 && !t.UDP {
		t.Length = defaultLength
	}
	if t.Rate == 0 && t.UDP {
		t.Rate = defaultUDPRate
	}
	t.Burst = max(t.Burst, 1)
	return t
}

// rate is the pace of one stream, bit/s; 0: none.
func (t Test) rate() int64 { return max(t.Rate, 0) }

// bounded reports whether an amount of data ends the test.
func (t Test) bounded() bool { return t.Bytes > 0 || t.Blocks > 0 }

// check says what is wrong with a normal test, as an [*Error] with the code that
// a server refuses it with.
func (t Test) check() error {
	switch {
	case t.Streams < 1 || t.Streams > MaxStreams:
		return &Error{Code: codeStreams}
	case t.Duration < 0 || t.Duration > MaxDuration || t.Omit < 0 || t.Omit > MaxOmit:
		return &Error{Code: codeDuration}
	case t.Duration == 0 && !t.bounded():
		return &Error{Code: codeDuration}
	case t.Bytes < 0 || t.Blocks < 0:
		return &Error{Code: codeEnd}
	case t.UDP && t.Length != 0 && (t.Length < MinUDPLength || t.Length > MaxUDPLength):
		return &Error{Code: codeUDPBlock}
	case !t.UDP && (t.Length < 1 || t.Length > MaxLength):
		return &Error{Code: codeBlock}
	case t.MSS < 0 || t.MSS > MaxMSS:
		return &Error{Code: codeMSS}
	case t.Window < 0 || t.Window > MaxWindow:
		return &Error{Code: codeWindow}
	case t.TOS < 0 || t.TOS > 255:
		return &Error{Code: codeTOS}
	case t.Burst > maxBurst:
		return &Error{Code: codeBurst}
	case t.Rate < Unlimited:
		return &Error{Code: codeRate}
	}
	return nil
}

// streams is how many connections the test has.
func (t Test) streams() int {
	if t.Direction == Both {
		return 2 * t.Streams
	}
	return t.Streams
}

// up reports whether the i-th connection, counted from 0, carries data from the
// client: of both directions, those of the client come first.
func (t Test) up(i int) bool {
	return t.Direction == Up || t.Direction == Both && i < t.Streams
}

// streamID is the number of the i-th connection: 1, 3, 4, 5 ... (2 has never
// been used).
func streamID(i int) int {
	if i == 0 {
		return 1
	}
	return i + 2
}

// The codes of refusals, those that we send and some that we understand.
const (
	codeDuration     = 5
	codeStreams      = 6
	codeBlock        = 7
	codeBurst        = 9
	codeMSS          = 10
	codeEnd          = 14 // of an end by time and by amount at once, or none
	codeUDPBlock     = 20
	codeTOS          = 21
	codeRate         = 27
	codeLong         = 37
	codeParams       = 114
	codeResults      = 117
	codeTerminated   = 120
	codeBusy         = 121
	codeWindow       = 141
	codeAuth         = 142
	codeExpired      = 160
	codeStreamsAwait = 203
)

var codeWords = map[int]string{
	codeDuration:     "test or omit duration out of range",
	codeStreams:      "number of streams out of range",
	codeBlock:        "block size out of range",
	codeBurst:        "burst count out of range",
	codeMSS:          "segment size out of range",
	codeEnd:          "amount of data out of range",
	codeUDPBlock:     "datagram size out of range",
	codeTOS:          "type of service out of range",
	codeRate:         "rate out of range, or above the server's limit",
	codeLong:         "test longer than the server allows",
	codeParams:       "parameters not understood",
	codeResults:      "results not understood",
	codeTerminated:   "the server was stopped",
	codeBusy:         "the server is busy",
	codeWindow:       "socket buffer out of range",
	codeAuth:         "not authorised",
	codeExpired:      "the server's time for the test is over",
	codeStreamsAwait: "the streams of the test did not come",
}

// Error is a refusal in iperf3's own terms, or a test's fault for which there is
// such a refusal.
type Error struct {
	Code  int // iperf3's number
	Errno int // the far end's errno; 0: none
}

func (e *Error) Error() string {
	if w := codeWords[e.Code]; w != "" {
		return fmt.Sprintf("%s (iperf3 error %d)", w, e.Code)
	}
	return fmt.Sprintf("iperf3 error %d", e.Code)
}

// Is makes the code for busy ErrBusy, and that for a failed login ErrDenied.
func (e *Error) Is(target error) bool {
	return e.Code == codeBusy && target == ErrBusy || e.Code == codeAuth && target == ErrDenied
}

// What a caller may want to tell apart.
var (
	ErrBusy       = errors.New("the server is busy with other tests")
	ErrDenied     = errors.New("the server takes no test from this user")
	ErrTooFast    = error(&Error{Code: codeRate}) // a test above the server's rate
	ErrTooLong    = error(&Error{Code: codeLong}) // a test above the server's time
	ErrTerminated = errors.New("the far end ended the test")
	ErrProtocol   = errors.New("this is no iperf3")
)

package webrtc

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/sprechprobe/sprechprobe/agent"
)

const (
	magicCookie = 0x2112A442 // RFC 8489 section 5
	// maxMessages is how many messages to somebody else are read before a
	// stream is given up.
	maxMessages = 8
)

// await reads STUN messages off r, framed by their length field (RFC 8489
// section 6.2.2), until one answers req. A reason says what came in its place;
// without one, err says how the stream ended before anything came.
func await(r io.Reader, req request) (a answer, stray agent.Reason, err error) {
	for range maxMessages {
		b, why, err := readMessage(r)
		switch {
		case why != "":
			return answer{}, why, nil
		case err != nil:
			return answer{}, stray, err
		}
		if a, stray = req.read(b); stray != agent.ForeignAnswer {
			return a, stray, nil
		}
	}
	return answer{}, stray, nil
}

// readMessage reads one STUN message. Bytes that cannot be one have a reason;
// err is only about a stream that ended between messages.
func readMessage(r io.Reader) ([]byte, agent.Reason, error) {
	b := make([]byte, 0, headerBytes)
	for len(b) < headerBytes {
		n, err := r.Read(b[len(b):headerBytes])
		b = b[:len(b)+n]
		if why := notSTUN(b); why != "" {
			return nil, why, nil
		}
		if err != nil && len(b) < headerBytes {
			return nil, cutShort(b), err
		}
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if headerBytes+length > maxMessage {
		return nil, agent.Garbage, nil
	}
	b = append(b, make([]byte, length)...)
	if _, err := io.ReadFull(r, b[headerBytes:]); err != nil {
		return nil, agent.Garbage, nil
	}
	return b, "", nil
}

// notSTUN recognises, as early as it can be known, bytes that do not begin a
// STUN message.
func notSTUN(b []byte) agent.Reason {
	http := []byte("HTTP/")
	switch {
	case bytes.HasPrefix(b, http):
		return agent.HTTPAnswer
	case len(b) > 0 && bytes.HasPrefix(http, b): // not known yet
		return ""
	case len(b) >= 7 && isAlert(b):
		return agent.TLSAlert
	case len(b) > 0 && b[0]&0xC0 != 0:
		return agent.Garbage
	case len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) != magicCookie:
		return agent.Garbage
	default:
		return ""
	}
}

// cutShort says what the beginning of a message is when no more of it comes.
func cutShort(b []byte) agent.Reason {
	switch {
	case len(b) == 0:
		return ""
	case isAlert(b):
		return agent.TLSAlert
	default:
		return agent.Garbage
	}
}

// isAlert recognises a TLS alert record: type 21, major version 3 (RFC 8446
// section 5.1), two bytes in clear.
func isAlert(b []byte) bool {
	return len(b) >= 5 && b[0] == 21 && b[1] == 3 && b[3] == 0 && b[4] == 2
}

// isChannelData recognises data on one of the first channels, which are those
// that a client of ours binds (RFC 8656 section 12.4).
func isChannelData(b []byte) bool {
	return len(b) >= 4 && b[0] == 0x40 && int(binary.BigEndian.Uint16(b[2:]))+4 <= len(b)
}

// readFrame reads one STUN message or the data of one channel, which is filled
// up to four bytes on a stream.
func readFrame(r io.Reader) ([]byte, agent.Reason, error) {
	head := make([]byte, 1, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, "", err
	}
	if head[0] != 0x40 {
		return readMessage(io.MultiReader(bytes.NewReader(head), r))
	}
	if _, err := io.ReadFull(r, head[1:4]); err != nil {
		return nil, agent.Garbage, nil
	}
	length := (int(binary.BigEndian.Uint16(head[2:4])) + 3) &^ 3
	b := make([]byte, 4+length)
	copy(b, head[:4])
	if _, err := io.ReadFull(r, b[4:]); err != nil || len(b) > maxMessage {
		return nil, agent.Garbage, nil
	}
	return b, "", nil
}

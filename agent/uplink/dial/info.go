package dial

import (
	"bufio"
	"bytes"
	"encoding/json"
)

// info is what we believe of a server's INFO. Before encryption anybody may have
// written it; the rest of it, such as other servers to turn to, is not for us.
type info struct {
	Version      string `json:"version"`
	Proto        int    `json:"proto"`
	Headers      bool   `json:"headers"`
	MaxPayload   int64  `json:"max_payload"`
	Nonce        string `json:"nonce,omitempty"`
	TLSRequired  bool   `json:"tls_required,omitempty"`
	TLSAvailable bool   `json:"tls_available,omitempty"`
}

// usualPayload is what servers take by default, bytes.
const usualPayload = 1 << 20

// readInfo reads the line with which a server begins.
func readInfo(r *bufio.Reader) (info, error) {
	const begin = "INFO "
	for n := 1; n <= len(begin); n++ { // byte by byte: what is no INFO needs no waiting
		got, err := r.Peek(n)
		if err != nil {
			return info{}, err
		}
		if got[n-1] != begin[n-1] {
			return info{}, ErrNotNATS
		}
	}
	line, err := readLine(r, mostInfo)
	if err != nil {
		return info{}, err
	}
	var in info
	if json.Unmarshal(bytes.TrimPrefix(line, []byte(begin)), &in) != nil {
		return info{}, ErrNotNATS
	}
	return in, nil
}

// line is the INFO for the client. Headers are what JetStream needs, so a server
// without them is none of ours; should it have none, it will say so.
func (in info) line() []byte {
	in.TLSRequired, in.TLSAvailable = false, false // done, if it was to be
	in.Proto, in.Headers = 1, true
	if in.MaxPayload <= 0 || in.MaxPayload > usualPayload {
		in.MaxPayload = usualPayload
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil // strings and numbers can be written
	}
	return append(append([]byte("INFO "), b...), "\r\n"...)
}

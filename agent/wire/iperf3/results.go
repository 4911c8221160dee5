package iperf3

import (
	"encoding/json"
	"errors"
	"fmt"
)

// results are what the ends tell each other after the test.
type results struct {
	CPUTotal    float64         `json:"cpu_util_total"`
	CPUUser     float64         `json:"cpu_util_user"`
	CPUSystem   float64         `json:"cpu_util_system"`
	Retransmits number          `json:"sender_has_retransmits"` // -1: I only receive; 0: not known; 1: known
	Congestion  string          `json:"congestion_used,omitempty"`
	OutputText  string          `json:"server_output_text,omitempty"`
	OutputJSON  json.RawMessage `json:"server_output_json,omitempty"`
	Streams     []streamResults `json:"streams"`
	RateCap     number          `json:"sprechprobe_rate_cap,omitempty"` // bit/s in all, of our server
}

// streamResults are those of one stream.
type streamResults struct {
	ID             int     `json:"id"`
	Bytes          number  `json:"bytes"`
	Retransmits    number  `json:"retransmits"`
	Jitter         float64 `json:"jitter"` // s
	Errors         number  `json:"errors"` // datagrams lost
	OmittedErrors  number  `json:"omitted_errors"`
	Packets        number  `json:"packets"` // sent, or the highest number seen
	OmittedPackets number  `json:"omitted_packets"`
	Start          float64 `json:"start_time"`
	End            float64 `json:"end_time"`
	LocalDrops     number  `json:"sprechprobe_local_drops,omitempty"` // of Errors, in the receiver's own socket
}

var errResults = errors.New("results make no sense")

// parseResults reads what the far end of test t says, and refuses what cannot
// be: streams that the test has not, negative counts, endless times.
func parseResults(b []byte, t Test) (results, error) {
	var r results
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: %v", errResults, err)
	}
	if len(r.Streams) != t.streams() {
		return r, fmt.Errorf("%w: %d streams, want %d", errResults, len(r.Streams), t.streams())
	}
	seen := map[int]bool{}
	for i := range r.Streams {
		s := &r.Streams[i]
		if s.ID < 1 || s.ID > 2*MaxStreams+1 || seen[s.ID] {
			return r, fmt.Errorf("%w: stream %d", errResults, s.ID)
		}
		seen[s.ID] = true
		if s.Bytes < 0 || s.Packets < 0 || s.End < s.Start || s.End-s.Start > 2*MaxDuration.Seconds() || s.Jitter < 0 {
			return r, fmt.Errorf("%w: stream %d counts below nothing", errResults, s.ID)
		}
		// Not above the packets: duplicates can make lost ones fewer than none.
		s.Errors = max(s.Errors-s.OmittedErrors, 0)
		s.Packets = max(s.Packets-s.OmittedPackets, 0)
		s.LocalDrops = max(min(s.LocalDrops, s.Errors), 0)
	}
	for i := range t.streams() {
		if !seen[streamID(i)] {
			return r, fmt.Errorf("%w: stream %d is missing", errResults, streamID(i))
		}
	}
	return r, nil
}

// of finds the results of a stream.
func (r results) of(id int) streamResults {
	for _, s := range r.Streams {
		if s.ID == id {
			return s
		}
	}
	return streamResults{ID: id}
}

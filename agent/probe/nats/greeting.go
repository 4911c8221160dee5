package nats

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"

	"github.com/sprechprobe/sprechprobe/agent"
)

// infoLimit bounds the line of a greeting, bytes. Those of large clusters, with
// all their addresses, have a few thousand.
const infoLimit = 32 << 10

// Errors about what came in place of a greeting.
var (
	errForeign = errors.New("answer is not NATS")
	errHTTP    = errors.New("answer is HTTP, not NATS")
	errTooMuch = errors.New("greeting is over its size limit")
)

// greeting is the first line of a NATS server.
type greeting struct {
	version   string
	client    netip.Addr // where the server sees us; invalid: it does not say
	needsAuth bool
	needsTLS  bool
	refusal   string // text of -ERR in place of INFO
}

// The beginnings that are told apart.
const (
	infoOp = "INFO "
	errOp  = "-ERR "
	httpOp = "HTTP/"
)

// readGreeting reads and parses one line. What cannot become a greeting is
// refused at its first wrong byte, so that a talkative stranger costs nothing.
func readGreeting(r *bufio.Reader) (greeting, error) {
	var op string
	for n := 1; n <= len(infoOp); n++ {
		got, err := r.Peek(n)
		if err != nil {
			return greeting{}, cut(err, n > 1)
		}
		op = strings.Replace(string(got), "\t", " ", 1)
		if !strings.HasPrefix(infoOp, op) && !strings.HasPrefix(errOp, op) && !strings.HasPrefix(httpOp, op) {
			return greeting{}, errForeign
		}
	}
	if op == httpOp {
		return greeting{}, errHTTP
	}
	line, err := readLine(r)
	if err != nil {
		return greeting{}, err
	}
	if op == errOp {
		return greeting{refusal: refusal(line[len(errOp):])}, nil
	}
	return parseInfo(line[len(infoOp):])
}

// readLine reads up to a line feed, at most infoLimit bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > infoLimit {
			return nil, errTooMuch
		}
		line = append(line, part...)
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, cut(err, len(line) > 0)
		}
	}
}

// cut tells an end in the middle from an end before anything came.
func cut(err error, begun bool) error {
	if begun && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseInfo reads the JSON of INFO. Every server names itself in it.
func parseInfo(text []byte) (greeting, error) {
	var info struct {
		ServerID     string `json:"server_id"`
		Version      string `json:"version"`
		ClientIP     string `json:"client_ip"`
		AuthRequired bool   `json:"auth_required"`
		TLSRequired  bool   `json:"tls_required"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(text), &info); err != nil || info.ServerID == "" {
		return greeting{}, errForeign
	}
	client, _ := netip.ParseAddr(info.ClientIP) // invalid if it is none
	return greeting{
		version:   agent.Printable(info.Version, 32),
		client:    client.Unmap().WithZone(""),
		needsAuth: info.AuthRequired,
		needsTLS:  info.TLSRequired,
	}, nil
}

// refusal is the text of -ERR, without its quotes.
func refusal(text []byte) string {
	s := strings.Trim(agent.Printable(string(text[:min(len(text), 256)]), 80), "'")
	if s == "" {
		return "-ERR"
	}
	return s
}

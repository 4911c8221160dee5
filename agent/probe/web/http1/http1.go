// Package http1 makes one bounded HTTP/1.1 exchange over a connection that is
// already there: a GET, the upgrade to WebSocket (RFC 6455 section 4), or the
// question for a tunnel.
//
// It does not connect, follow redirects, keep connections, decode contents or
// judge: it says what came back, and errors of the connection stay what they
// are so that package reach can grade them.
package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
)

// Errors about an answer that came.
var (
	ErrNotHTTP = errors.New("answer is not HTTP")
	ErrTooMuch = errors.New("answer is over its size limit")
)

// agentName is how we introduce ourselves.
const agentName = "sprechprobe"

// Limits of what is read.
const (
	HeaderLimit = 64 << 10 // bytes of status line and header, interim answers included
	interims    = 5        // 1xx answers that are passed over
)

// Answer is what came back. Even with [ErrNotHTTP] its Stream can be read.
type Answer struct {
	Status int
	Header http.Header
	RTT    time.Duration // from the request to the answer's first byte

	r    *bufio.Reader
	in   *source
	body io.Reader
}

// source is the connection up to a limit, and whether it has ended.
type source struct {
	io.LimitedReader
	ended bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.LimitedReader.Read(p)
	s.ended = s.ended || errors.Is(err, io.EOF) && s.N > 0
	return n, err
}

// Host is the name by which a narrowed target is asked, and for which its
// certificate must be made out: its host, or its address where it has none.
func Host(t agent.Target) string {
	if t.Host != "" {
		return strings.TrimSuffix(t.Host, ".")
	}
	return t.Addr.WithZone("").String()
}

// URL is the URL of a path at a target, for scheme http or https.
func URL(scheme string, t agent.Target, path string) string {
	host := Host(t)
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + a.WithZone("").String() + "]"
	}
	if scheme == "http" && t.Port != 80 || scheme == "https" && t.Port != 443 {
		host += ":" + strconv.Itoa(int(t.Port))
	}
	return scheme + "://" + host + "/" + strings.TrimPrefix(path, "/")
}

// Get asks for url, an absolute http or https URL, over conn.
func Get(conn net.Conn, url string) (Answer, error) {
	req, err := request(url)
	if err != nil {
		return Answer{}, err
	}
	req.Close = true
	return ask(conn, req)
}

// Body reads the first bytes of the body, at most limit, and gives what came
// before the body ended or the connection failed.
func (a Answer) Body(limit int64) []byte {
	if a.body == nil {
		return nil
	}
	a.in.N = 2*limit + 4096 // chunks cost a little more than what is in them
	b, _ := io.ReadAll(io.LimitReader(a.body, limit))
	return b
}

// Stream is what follows an upgrade, or all that came instead of HTTP, up to
// limit bytes beyond those already here.
func (a Answer) Stream(limit int64) io.Reader {
	if a.r == nil {
		return http.NoBody
	}
	a.in.N = limit
	return a.r
}

func request(url string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", agentName)
	req.Header.Set("Accept", "*/*")
	return req, nil
}

func ask(conn net.Conn, req *http.Request) (Answer, error) {
	in := &source{LimitedReader: io.LimitedReader{R: conn, N: HeaderLimit}}
	a := Answer{in: in, r: bufio.NewReader(in)}
	began := time.Now()
	if err := req.Write(conn); err != nil {
		return a, err
	}
	_, err := a.r.Peek(1)
	a.RTT = time.Since(began)
	if err != nil {
		return a, err
	}
	for range 1 + interims {
		resp, err := a.read(req)
		if err != nil {
			return a, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			a.Status, a.Header, a.body = resp.StatusCode, resp.Header, resp.Body
			return a, nil
		}
	}
	return a, ErrTooMuch
}

// read reads one answer, its body excepted.
func (a Answer) read(req *http.Request) (*http.Response, error) {
	const begin = "HTTP/"
	for n := 1; n <= len(begin); n++ { // byte by byte: what cannot be HTTP needs no waiting
		got, err := a.r.Peek(n)
		if err != nil {
			return nil, a.broken(err)
		}
		if got[n-1] != begin[n-1] {
			return nil, ErrNotHTTP
		}
	}
	resp, err := http.ReadResponse(a.r, req)
	if err != nil {
		return nil, a.broken(err)
	}
	return resp, nil
}

// broken tells an answer that is too long or no HTTP from a connection that
// failed on the way.
func (a Answer) broken(err error) error {
	var failed net.Error
	switch {
	case a.in.N <= 0:
		return ErrTooMuch
	case a.in.ended: // whatever the parser says about the half that came
		return io.ErrUnexpectedEOF
	case errors.As(err, &failed):
		return err
	}
	return ErrNotHTTP
}

// Bind makes the end of ctx interrupt every read and write of conn, until
// release is called.
func Bind(ctx context.Context, conn net.Conn) (release func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

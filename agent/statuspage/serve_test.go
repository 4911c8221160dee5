package statuspage_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/statuspage"
)

// serve runs a page on the loopback until the test ends, and then checks that
// nothing of it is left.
func serve(t *testing.T, h statuspage.Handler) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- statuspage.Serve(ctx, ln, h) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("Serve does not end")
		}
	})
	return ln.Addr().String()
}

// from connects from an address of the loopback: each is another peer.
func from(t *testing.T, addr, source string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 30 * time.Second}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	return c
}

// exchange writes a request and reads all that comes back.
func exchange(t *testing.T, addr, request string) string {
	t.Helper()
	c := from(t, addr, "127.0.0.1")
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%.60q: %v", request, err)
	}
	return string(b)
}

func TestServe(t *testing.T) {
	addr := serve(t, showing(healthy(t)))
	const host = "Host: 127.0.0.1\r\n"
	tests := []struct{ name, request, want string }{
		{"page", "GET / HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 200 OK"},
		{"old browser", "GET / HTTP/1.0\r\n" + host + "\r\n", "HTTP/1.1 200 OK"},
		{"through a proxy", "GET http://127.0.0.1/ HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 200 OK"},
		{"two at once", "GET / HTTP/1.1\r\n" + host + "\r\nGET /request HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 200 OK"},
		{"form", "POST / HTTP/1.1\r\n" + host + "Content-Length: 30000\r\n\r\n" + strings.Repeat("x", 30000), "HTTP/1.1 405 Method Not Allowed"},
		{"for another host", "GET http://attacker.example/ HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 421 Misdirected Request"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 421 Misdirected Request"},
		{"two hosts", "GET / HTTP/1.1\r\n" + host + "Host: attacker.example\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"odd path", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 400 Bad Request"},
		{"tunnel", "CONNECT attacker.example:443 HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 421 Misdirected Request"},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 421 Misdirected Request"},
		{"long line", "GET /" + strings.Repeat("x", 2*statuspage.MaxRequest) + " HTTP/1.1\r\n" + host + "\r\n", "HTTP/1.1 400 Bad Request"},
		{"long header", "GET / HTTP/1.1\r\nCookie: " + strings.Repeat("x", 2*statuspage.MaxRequest) + "\r\n" + host + "\r\n", "HTTP/1.1 400 Bad Request"},
		{"many headers", "GET / HTTP/1.1\r\n" + strings.Repeat("a:b\r\n", statuspage.MaxRequest/5+1) + host + "\r\n", "HTTP/1.1 400 Bad Request"},
		{"cookies that fit", "GET / HTTP/1.1\r\nCookie: " + strings.Repeat("x", statuspage.MaxRequest/2) + "\r\n" + host + "\r\n", "HTTP/1.1 200 OK"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := exchange(t, addr, tt.request)
			status, rest, _ := strings.Cut(got, "\r\n")
			if status != tt.want {
				t.Fatalf("%q, want %q", status, tt.want)
			}
			head, body, _ := strings.Cut(rest, "\r\n\r\n")
			headers(t, head)
			if want := fmt.Sprintf("Content-Length: %d\r\n", len(body)); !strings.Contains(head, want) {
				t.Errorf("%d bytes of body for\n%s", len(body), head)
			}
		})
	}
	if got := exchange(t, addr, "HEAD / HTTP/1.1\r\n"+host+"\r\n"); !strings.HasSuffix(got, "\r\n\r\n") || strings.Contains(got, "<html") {
		t.Errorf("HEAD has a body: %.200q", got)
	}
	if got := exchange(t, addr, "PATCH / HTTP/1.1\r\n"+host+"\r\n"); !strings.Contains(got, "Allow: GET, HEAD\r\n") {
		t.Errorf("405 does not say what is allowed: %.200q", got)
	}
}

// headers fails where an answer lacks what every answer has.
func headers(t *testing.T, head string) {
	t.Helper()
	for _, want := range []string{
		"Content-Security-Policy: default-src 'none'; ", "frame-ancestors 'none'", "X-Frame-Options: DENY", "X-Content-Type-Options: nosniff",
		"Referrer-Policy: no-referrer", "Cross-Origin-Resource-Policy: same-origin", "Cache-Control: no-store", "Connection: close", "Content-Type: text/",
	} {
		if !strings.Contains(head, want) {
			t.Errorf("%q is missing in\n%s", want, head)
		}
	}
	for _, no := range []string{"Set-Cookie", "Access-Control", "Server:", "unsafe", "Location"} {
		if strings.Contains(head, no) {
			t.Errorf("%q does not belong in\n%s", no, head)
		}
	}
}

// A real client gets the page.
func TestNetHTTPReadsIt(t *testing.T) {
	addr := serve(t, showing(healthy(t)))
	r, err := http.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 || !strings.HasSuffix(string(b), "</html>\n") {
		t.Errorf("%d, %v: ...%.20q", r.StatusCode, err, b[max(0, len(b)-20):])
	}
}

// One that holds connections open and sends little or nothing takes its own
// share and no more, and keeps nobody else out.
func TestSlowClients(t *testing.T) {
	addr := serve(t, showing(healthy(t)))
	before := runtime.NumGoroutine()
	for i := range statuspage.MaxPerPeer {
		c := from(t, addr, "127.0.0.2")
		if i%2 == 0 {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: 127")
		}
	}
	more := from(t, addr, "127.0.0.2")
	if b, _ := io.ReadAll(more); len(b) > 0 {
		t.Errorf("one address has %d connections: %.40q", statuspage.MaxPerPeer+1, b)
	}
	if got := exchange(t, addr, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
		t.Errorf("somebody else gets %.40q", got)
	}
	if n := runtime.NumGoroutine() - before; n > statuspage.MaxConns+2 {
		t.Errorf("%d goroutines", n)
	}
}

// A request that does not come to its end is given up.
func TestHalfARequest(t *testing.T) {
	for in, want := range map[string]string{"": "", "GET / HTTP/1.1\r\nHost: 127": "HTTP/1.1 400 Bad Request"} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			start := time.Now()
			go func() {
				defer server.Close()
				statuspage.Exchange(server, showing(healthy(t)))
			}()
			go func() { // a byte a second
				for i := range in {
					_, _ = client.Write([]byte(in[i : i+1]))
					time.Sleep(time.Second)
				}
			}()
			got, _ := bufio.NewReader(client).ReadString('\r')
			if strings.TrimSpace(got) != want || time.Since(start) != 5*time.Second {
				t.Errorf("%q is answered by %q after %v", in, got, time.Since(start))
			}
			client.Close()
			synctest.Wait()
			time.Sleep(time.Minute) // for the writer to notice
		})
	}
}

// One that does not take its answer is given up too.
func TestDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		go func() { _, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") }()
		start := time.Now()
		statuspage.Exchange(server, showing(healthy(t)))
		if d := time.Since(start); d > time.Minute || d == 0 {
			t.Errorf("given up after %v", d)
		}
	})
}

// Connections in a crowd are taken as places become free; all places and the
// goroutines behind them are bounded.
func TestManyConnections(t *testing.T) {
	addr := serve(t, showing(healthy(t)))
	before := runtime.NumGoroutine()
	var all []net.Conn
	for i := range 4 * statuspage.MaxConns {
		all = append(all, from(t, addr, fmt.Sprintf("127.0.1.%d", i%100+1)))
	}
	if n := runtime.NumGoroutine() - before; n > statuspage.MaxConns+2 {
		t.Errorf("%d goroutines", n)
	}
	var wg sync.WaitGroup
	var served sync.Map
	for i, c := range all {
		wg.Go(func() {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
			if line, err := bufio.NewReader(c).ReadString('\n'); err == nil && strings.HasPrefix(line, "HTTP/1.1 200") {
				served.Store(i, true)
			}
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		})
	}
	wg.Wait()
	n := 0
	served.Range(func(any, any) bool { n++; return true })
	if n != len(all) {
		t.Errorf("%d of %d were served", n, len(all))
	}
}

// Nobody from beyond the local networks is served.
func TestStrangersFromAfar(t *testing.T) {
	for addr, want := range map[string]bool{
		"192.168.1.20": true, "10.1.2.3": true, "172.31.0.1": true, "127.0.0.1": true, "169.254.1.1": true,
		"fd00::20": true, "fe80::20": true, "::1": true, "::ffff:192.168.1.20": true,
		"203.0.113.7": false, "100.64.0.7": false, "2001:db8::7": false, "::": false, "224.0.0.1": false,
	} {
		if got := statuspage.Local(&net.TCPAddr{IP: net.ParseIP(addr)}); got != want {
			t.Errorf("%s is served: %v, want %v", addr, got, want)
		}
	}
	if statuspage.Local(&net.UnixAddr{Name: "x"}) {
		t.Error("a peer without an address is served")
	}
}

// Whatever is written to the page, what comes back is nothing or one whole
// answer.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n",
		"HEAD /request?lang=de HTTP/1.0\r\nHost: sprechprobe.local\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"GET /\x00 HTTP/1.1\r\n\r\n", "", "\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	p := showing(blocked(f))
	f.Fuzz(func(t *testing.T, in []byte) {
		client, server := net.Pipe()
		out := make(chan []byte, 1)
		go func() {
			b, _ := io.ReadAll(client)
			out <- b
		}()
		go func() {
			_, _ = client.Write(in)
			if len(in) < statuspage.MaxRequest {
				// What is short of a request must not keep the place.
				_ = server.SetReadDeadline(time.Now())
			}
		}()
		statuspage.Exchange(server, p)
		server.Close()
		got := <-out
		client.Close()
		if len(got) == 0 {
			return
		}
		r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(got))), nil)
		if err != nil {
			t.Fatalf("%q is answered by %.80q: %v", in, got, err)
		}
		if r.Header.Get("Content-Security-Policy") == "" || r.StatusCode < 200 || len(got) > 100_000 {
			t.Errorf("%q is answered by %d with %v", in, r.StatusCode, r.Header)
		}
	})
}

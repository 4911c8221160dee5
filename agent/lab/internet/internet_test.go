package internet_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/pion/logging"
	"github.com/pion/stun/v2"
	"github.com/pion/turn/v4"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
)

// start is an internet at the other end of this process's only cable; nil outside.
func start(t *testing.T, p internet.Plan) *internet.Internet {
	t.Helper()
	lab.Program(t, "ip", "iproute2")
	t.Parallel() // they mostly wait
	if !lab.Inside(t) {
		return nil
	}
	lab.Batch(t, "", `netns add inet
link set lo up
link add eth0 type veth peer name core0 netns inet
address add 198.18.2.1/24 dev eth0
address add 2001:2:0:2::1/64 dev eth0 nodad`)
	lab.Batch(t, "inet", `link set core0 up
address add 198.18.2.2/24 dev core0
address add 2001:2:0:2::2/64 dev core0 nodad`)
	lab.Batch(t, "", `link set eth0 up
route add default via 198.18.2.2
route add default via 2001:2:0:2::2`)
	return internet.Start(t, lab.Open(t, "inet"), p)
}

func fate(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return "cut off"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "silent"
	}
	return err.Error()
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// How long to wait for an answer, and to believe in silence.
const (
	long  = 20 * time.Second
	short = 500 * time.Millisecond
)

// dial makes a connection on which nothing takes longer.
func dial(t *testing.T, patience time.Duration, network, to string) (net.Conn, error) {
	t.Helper()
	c, err := net.DialTimeout(network, to, long)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

// ask sends one STUN request and reads its answer; nil where there is none.
func ask(t *testing.T, patience time.Duration, network, to string, kind stun.MessageType) *stun.Message {
	t.Helper()
	c, err := dial(t, patience, network, to)
	if err != nil {
		return nil
	}
	m := stun.MustBuild(stun.TransactionID, kind)
	if _, err := c.Write(m.Raw); err != nil {
		return nil
	}
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	answer := &stun.Message{Raw: buf[:n]}
	if err != nil || answer.Decode() != nil || answer.TransactionID != m.TransactionID {
		return nil
	}
	return answer
}

// handshake is who signed for a server, or how it failed.
func handshake(t *testing.T, patience time.Duration, to, name string) (issuer string, until time.Time) {
	t.Helper()
	raw, err := dial(t, patience, "tcp", to)
	if err != nil {
		return fate(err), time.Time{}
	}
	c := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		return "no TLS", time.Time{}
	}
	leaf := c.ConnectionState().PeerCertificates[0]
	return leaf.Issuer.CommonName, leaf.NotAfter
}

const (
	turnPlain = "198.18.7.20:3478"
	turnTLS   = "198.18.7.20:5349"
)

// client talks to the relay as long as the test lasts.
func client(t *testing.T, user, password string) *turn.Client {
	t.Helper()
	c, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: turnPlain, TURNServerAddr: turnPlain, Conn: c, Username: user, Password: password, Realm: "webprax.de",
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); c.Close() })
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	return client
}

// allocate is the error code of an Allocate, 0 for success; the allocation lives
// as long as the test.
func allocate(t *testing.T, user, password string) int {
	t.Helper()
	relay, err := client(t, user, password).Allocate()
	if err != nil {
		return code(err)
	}
	t.Cleanup(func() { relay.Close() })
	return 0
}

// code finds what pion writes only into words.
func code(err error) int {
	for _, c := range []int{401, 403, 486} {
		if strings.Contains(err.Error(), fmt.Sprint(c)) {
			return c
		}
	}
	return -1
}

func TestCoturn(t *testing.T) {
	i := start(t, internet.Plan{})
	if i == nil {
		return
	}
	expect(t, "TLS", first(handshake(t, long, turnTLS, "coturn.webprax.de")), "Lab Root")
	m := ask(t, long, "udp", turnPlain, stun.BindingRequest)
	if m == nil || !m.Contains(stun.AttrOtherAddress) {
		t.Errorf("a Binding gave %v, want another address in it", m)
	}
	if got := allocate(t, internet.User, internet.Password); got != 0 {
		t.Errorf("Allocate: %d", got)
	}

	i.TURN.Restart(internet.Relay{NoTLS: true, NoDTLS: true, NoRFC5780: true})
	expect(t, "TLS where there is none", first(handshake(t, short, turnTLS, "coturn.webprax.de")), "no TLS")
	if m := ask(t, long, "tcp", turnTLS, stun.BindingRequest); m == nil {
		t.Error("plain TCP is gone with TLS")
	}
	if m := ask(t, long, "udp", turnPlain, stun.BindingRequest); m == nil || m.Contains(stun.AttrOtherAddress) {
		t.Errorf("a Binding gave %v, want no other address in it", m)
	}

	i.TURN.Restart(internet.Relay{NoTCP: true, Expired: true})
	issuer, until := handshake(t, long, turnTLS, "coturn.webprax.de")
	if issuer != "Lab Root" || until.After(time.Now()) {
		t.Errorf("a certificate of %s until %v, want one of the past", issuer, until)
	}
	if m := ask(t, short, "tcp", turnTLS, stun.BindingRequest); m != nil {
		t.Errorf("plain TCP where there is none: %v", m)
	}

	i.TURN.Restart(internet.Relay{Quota: 1})
	if first, second := allocate(t, internet.User, internet.Password), allocate(t, internet.User, internet.Password); first != 0 || second != 486 {
		t.Errorf("two Allocates by a quota of one: %d, %d", first, second)
	}

	i.TURN.Restart(internet.Relay{Secret: "secret"})
	user, password, err := turn.GenerateLongTermTURNRESTCredentials("secret", "box", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got := allocate(t, user, password); got != 0 {
		t.Errorf("Allocate with REST credentials: %d", got)
	}
	if got := allocate(t, internet.User, internet.Password); got == 0 {
		t.Error("Allocate with credentials of before: ok")
	}

	i.TURN.Restart(internet.Relay{STUNOnly: true})
	if m := ask(t, short, "udp", turnPlain, stun.NewType(stun.MethodAllocate, stun.ClassRequest)); m != nil {
		t.Errorf("Allocate where there is only STUN: %v", m)
	}

	i.TURN.Stop()
	c, err := dial(t, long, "udp", turnPlain)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("hello"))
	_, err = c.Read(make([]byte, 10))
	expect(t, "UDP without a server", fate(err), "refused")
	_, err = dial(t, long, "tcp", turnTLS)
	expect(t, "TCP without a server", fate(err), "refused")
}

// What a relay loses shows only in what it relays.
func TestLoseRelayed(t *testing.T) {
	i := start(t, internet.Plan{})
	if i == nil {
		return
	}
	i.Range(internet.Echoed, internet.Echoed)
	relayed := func() string {
		t.Helper()
		relay := allocation(t)
		to := &net.UDPAddr{IP: internet.STUNAddr.AsSlice(), Port: 12000}
		buf := make([]byte, 10)
		for range 3 {
			if _, err := relay.WriteTo([]byte("hello"), to); err != nil {
				return err.Error()
			}
			_ = relay.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			if n, _, err := relay.ReadFrom(buf); err == nil {
				return string(buf[:n])
			}
		}
		return "nothing"
	}
	expect(t, "relayed", relayed(), "hello")
	undo := i.LoseRelayed()
	expect(t, "relayed and lost", relayed(), "nothing")
	undo()
	expect(t, "relayed again", relayed(), "hello")
}

// allocation is a relayed socket.
func allocation(t *testing.T) net.PacketConn {
	t.Helper()
	relay, err := client(t, internet.User, internet.Password).Allocate()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	return relay
}

func first[A, B any](a A, _ B) A { return a }

func TestNATS(t *testing.T) {
	i := start(t, internet.Plan{Report: internet.Bus{Speech: internet.TLS, User: "box", Password: "secret", JetStream: true, Fallback: 443}})
	if i == nil {
		return
	}
	secure := nats.Secure(&tls.Config{RootCAs: i.CA.Pool(), ServerName: "nats2.webprax.de"})
	connect := func(url string, more ...nats.Option) error {
		c, err := nats.Connect(url, append(more, nats.Timeout(20*time.Second))...)
		if err == nil {
			c.Close()
		}
		return err
	}
	for speech, one := range map[internet.Speech]struct {
		url  string
		more []nats.Option
	}{
		internet.WebSocket: {"wss://128.140.77.77:8443", []nats.Option{secure}},
		internet.TLS:       {"nats://128.140.77.77:8443", []nats.Option{secure}},
		internet.TLSFirst:  {"nats://128.140.77.77:8443", []nats.Option{secure, nats.TLSHandshakeFirst()}},
		internet.Plain:     {"nats://128.140.77.77:8443", nil},
	} {
		i.NATS[1].Restart(internet.Bus{Speech: speech})
		expect(t, string(speech), fate(connect(one.url, one.more...)), "ok")
		i.NATS[1].Restart(internet.Bus{Speech: speech, User: "vendor", Password: "secret"})
		if connect(one.url, one.more...) == nil {
			t.Errorf("%s lets in whoever comes", speech)
		}
		expect(t, string(speech)+" with credentials", fate(connect(one.url, append(one.more, nats.UserInfo("vendor", "secret"))...)), "ok")
	}
	i.NATS[1].Stop()
	_, err := dial(t, long, "tcp", "128.140.77.77:8443")
	expect(t, "stopped", fate(err), "refused")

	fleet := nats.Secure(&tls.Config{RootCAs: i.CA.Pool(), ServerName: "report.fleet.example"})
	creds := nats.UserInfo("box", "secret")
	for _, url := range []string{"nats://198.18.7.60:8443", "wss://198.18.7.60:443"} {
		expect(t, url, fate(connect(url, fleet, creds)), "ok")
	}
	if !i.Report.Server.JetStreamEnabled() {
		t.Error("the report server has no JetStream")
	}
}

func TestWeb(t *testing.T) {
	i := start(t, internet.Plan{})
	if i == nil {
		return
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: i.CA.Pool(), ServerName: "video.webprax.de"}, DisableKeepAlives: true}}
	get := func(want int, when string) {
		t.Helper()
		r, err := client.Get("https://198.18.7.10/")
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %d, want %d", when, r.StatusCode, want)
		}
	}
	get(200, "healthy")
	i.Web.Show(internet.Page{Status: 503})
	get(503, "down")
	soon := time.Now().AddDate(0, 0, 5)
	i.Web.Show(internet.Page{Cert: i.Leaf(soon)})
	get(200, "soon to expire")
	if _, until := handshake(t, long, "198.18.7.10:443", "video.webprax.de"); until.Sub(soon).Abs() > time.Minute {
		t.Errorf("good until %v, want %v", until, soon)
	}
	i.Web.Show(internet.Page{Cert: i.Leaf(time.Now().AddDate(0, 0, -1))})
	if _, err := client.Get("https://198.18.7.10/"); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
	i.Web.Show(internet.Page{})
	get(200, "healthy again")
	i.Web.Stop()
	_, err := dial(t, long, "tcp", "198.18.7.10:443")
	expect(t, "stopped", fate(err), "refused")
}

func TestRange(t *testing.T) {
	i := start(t, internet.Plan{})
	if i == nil {
		return
	}
	echo := func(patience time.Duration, network string) string {
		c, err := dial(t, patience, network, "198.18.7.40:17000")
		if err != nil {
			return fate(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			return fate(err)
		}
		_, err = io.ReadFull(c, make([]byte, 5))
		return fate(err)
	}
	for fate, want := range map[internet.Fate]string{internet.Closed: "refused", internet.Echoed: "ok"} {
		i.Range(fate, internet.Closed)
		expect(t, "UDP "+string(fate), echo(long, "udp"), want)
		i.Range(internet.Closed, fate)
		expect(t, "TCP "+string(fate), echo(long, "tcp"), want)
	}
	i.Range(internet.Dropped, internet.Closed)
	expect(t, "UDP dropped", echo(short, "udp"), "silent")
}

func TestClock(t *testing.T) {
	i := start(t, internet.Plan{})
	if i == nil {
		return
	}
	// now is what the server tells (RFC 5905, figure 8).
	now := func() time.Time {
		c, err := dial(t, long, "udp", "198.18.7.123:123")
		if err != nil {
			t.Fatal(err)
		}
		q := make([]byte, 48)
		q[0] = 4<<3 | 3
		copy(q[40:], "originat")
		if _, err := c.Write(q); err != nil {
			t.Fatal(err)
		}
		a := make([]byte, 48)
		if _, err := io.ReadFull(c, a); err != nil {
			t.Fatal(err)
		}
		if a[0] != 4<<3|4 || string(a[24:32]) != "originat" {
			t.Errorf("the answer is % x", a)
		}
		return time.Unix(int64(binary.BigEndian.Uint32(a[40:]))-2208988800, 0)
	}
	if d := time.Since(now()).Abs(); d > time.Minute {
		t.Errorf("it is %v off", d)
	}
	i.Time.SetAhead(48 * time.Hour)
	if d := time.Until(now()); d < 47*time.Hour {
		t.Errorf("it is %v ahead, want two days", d)
	}
}

func TestNames(t *testing.T) {
	i := start(t, internet.Plan{IPv6: true})
	if i == nil {
		return
	}
	lookup := func(ctx context.Context, network, name string) string {
		t.Helper()
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "198.18.7.53:53")
		}}
		addrs, err := r.LookupNetIP(ctx, "ip", name)
		if err != nil {
			return fate(err)
		}
		slices.SortFunc(addrs, netip.Addr.Compare)
		var out []string
		for _, a := range addrs {
			out = append(out, a.Unmap().String())
		}
		return strings.Join(out, " ")
	}
	const name = "coturn.webprax.de."
	expect(t, "over UDP", lookup(t.Context(), "udp", name), "198.18.7.20")
	expect(t, "over TCP", lookup(t.Context(), "tcp", name), "198.18.7.20")
	undo := i.Names.Change((*internet.Zone).Dual)
	expect(t, "of both families", lookup(t.Context(), "udp", name), "198.18.7.20 2001:2:0:7::c612:714")
	if _, err := dial(t, long, "tcp", "[2001:2:0:7::c612:714]:5349"); err != nil {
		t.Errorf("its other address: %v", err)
	}
	for _, a := range internet.NATSAddrs {
		if _, err := dial(t, long, "tcp", netip.AddrPortFrom(internet.V6(a), internet.NATSPort).String()); err != nil {
			t.Errorf("the other address of %v: %v", a, err)
		}
	}
	undo()
	undo = i.Names.Change(func(z *internet.Zone) { z.DNS64 = netip.MustParsePrefix("64:ff9b::/96") })
	expect(t, "by DNS64", lookup(t.Context(), "udp", name), "198.18.7.20 64:ff9b::c612:714")
	undo()
	undo = i.Names.Change(func(z *internet.Zone) { z.Delay = 300 * time.Millisecond })
	began := time.Now()
	expect(t, "late", lookup(t.Context(), "udp", name), "198.18.7.20")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("late by %v, want 300 ms", took)
	}
	undo()
	i.Names.Change(func(z *internet.Zone) { z.Drop = 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if got := lookup(ctx, "udp", name); got == "198.18.7.20" {
		t.Error("an answer that should be dropped")
	}
}

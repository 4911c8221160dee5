package uplink_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
)

// All boxes lose their server at one moment, and all come back, by TLS and with
// their keys, none of them left out.
//
// SPRECHPROBE_HERD sets how many there are; then they keep to the product's own
// windows. By default a few come back at about the same rate in shorter ones.
func TestHerd(t *testing.T) {
	t.Parallel()
	n, loss := 150, 500*time.Millisecond
	if s := os.Getenv("SPRECHPROBE_HERD"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
		loss = 0
	}
	h := newHerd(t, n, loss)
	h.all(t)
	h.end()
	began := time.Now()
	h.start(t)
	peak := h.rate()
	h.all(t)
	t.Logf("%d boxes: all back after %v, at most %d connections/s, %d connections in all",
		n, time.Since(began).Round(100*time.Millisecond), peak(), h.connections())
}

// herdVar makes this program many boxes: server, authority, key, how many, and the
// first window after a loss, 0 for the product's own.
const herdVar = "SPRECHPROBE_UPLINK_HERD"

// perProcess is how many boxes one process has files for.
const perProcess = 5000

// boxes runs many boxes until its input ends, and says when all have connected.
func boxes(server, ca, seed, count, loss string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	window, err := time.ParseDuration(loss)
	if err != nil {
		return err
	}
	var all []*uplink.Uplink
	for len(all) < n {
		u, err := uplink.New(uplink.Options{Servers: []string{server}, CA: ca, NKeySeed: seed, Now: trusttest.At(trusttest.Today),
			Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		if window > 0 {
			u.Pace(window, window, 10*window)
		}
		all = append(all, u)
		go func() { _ = u.Run(context.Background()) }()
		if len(all)%50 == 0 || len(all) == n { // they do not start together
			tick := time.NewTicker(10 * time.Millisecond)
			for slices.ContainsFunc(all[len(all)-min(50, len(all)):], func(u *uplink.Uplink) bool { return u.Evidence().Outcome != agent.Answered }) {
				<-tick.C
			}
			tick.Stop()
		}
	}
	fmt.Println("connected")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

type herd struct {
	opts   server.Options
	server *server.Server
	n      int
}

func newHerd(t *testing.T, n int, loss time.Duration) *herd {
	t.Helper()
	ca := trusttest.Named(t, "Vendor CA")
	dir := t.TempDir()
	caFile, seedFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "box.nk")
	writeFile(t, caFile, ca.PEM())
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := key.Seed()
	public, _ := key.PublicKey()
	writeFile(t, seedFile, seed)
	h := &herd{n: n, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		TLS: true, TLSConfig: &tls.Config{Certificates: []tls.Certificate{ca.Leaf("127.0.0.1")}}, TLSTimeout: 10, AuthTimeout: 10,
		Nkeys: []*server.NkeyUser{{Nkey: public}}}}
	h.start(t)
	h.opts.Port = h.server.Addr().(*net.TCPAddr).Port
	t.Cleanup(h.end)
	for left := n; left > 0; left -= perProcess {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=tls://%s %s %s %d %v", herdVar, h.server.Addr(), caFile, seedFile, min(left, perProcess), loss))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("the boxes said %q: %v", line, err)
		}
	}
	return h
}

func (h *herd) start(t *testing.T) {
	t.Helper()
	opts := h.opts
	s, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("server not ready")
	}
	h.server = s
}

func (h *herd) end() {
	h.server.Shutdown()
	h.server.WaitForShutdown()
}

// connections is how many there have been since the server started.
func (h *herd) connections() uint64 {
	v, err := h.server.Varz(nil)
	if err != nil {
		return 0
	}
	return v.TotalConnections
}

// all waits until every box is connected, however long it takes.
func (h *herd) all(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for h.server.NumClients() < h.n {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%d of %d boxes are connected", h.server.NumClients(), h.n)
		}
	}
}

// rate watches until it is asked for the highest rate over a second or more.
func (h *herd) rate() (peak func() int) {
	stop, most := make(chan struct{}), make(chan float64)
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		since, before, top := time.Now(), uint64(0), 0.0
		for {
			select {
			case <-stop:
				most <- top
				return
			case <-tick.C:
			}
			if took := time.Since(since); took >= time.Second { // a busy machine ticks late
				n := h.connections()
				top = max(top, float64(n-before)/took.Seconds())
				since, before = time.Now(), n
			}
		}
	}()
	return func() int { close(stop); return int(<-most) }
}

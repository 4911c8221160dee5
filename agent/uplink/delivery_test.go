package uplink_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// quick makes a box that comes back at once, and runs it.
func quick(t *testing.T, o uplink.Options) (u *uplink.Uplink, stop func()) {
	t.Helper()
	o.Tenant, o.Box = "acme", "box-1"
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	u, err := uplink.New(o)
	if err != nil {
		t.Fatal(err)
	}
	u.Pace(10*time.Millisecond, 10*time.Millisecond, 300*time.Millisecond)
	return u, running(t, u)
}

// running runs an uplink until the test ends or stop is called.
func running(t *testing.T, u *uplink.Uplink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func waiting(u *uplink.Uplink) int {
	n, _ := u.Evidence().Values.Num(agent.Queued)
	return int(n)
}

func seqs(all []agent.Report) string {
	var s []uint64
	for _, r := range all {
		s = append(s, r.Seq)
	}
	return fmt.Sprint(s)
}

// forgetful gives the vendor's stream a memory for message ids of a tenth of a
// second.
func forgetful(t *testing.T, st jetstream.Stream, s *server.Server) jetstream.Stream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := st.CachedInfo().Config
	c.Duplicates = 100 * time.Millisecond
	if st, err = js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return st
}

// A report whose acknowledgement is lost is in the stream once, however late the
// box asks again: after the stream has forgotten the message id, and after the
// program was started anew.
func TestAnswerLost(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restart), func(t *testing.T) {
			s := bus(t, nil)
			st := forgetful(t, stream(t, s), s)
			w := newWire(t, s.Addr().String())
			o := spool.Options{Dir: t.TempDir(), Journal: t.TempDir()}
			kept, _ := spool.Open(o)
			u, stop := quick(t, uplink.Options{Servers: []string{w.url()}, Spool: kept})
			u.Offer(report(1))
			until(t, "the first report is acknowledged", func() bool { return waiting(u) == 0 && len(stored(t, st)) == 1 })
			w.setDeaf(true)
			u.Offer(report(2))
			until(t, "the second is stored", func() bool { return len(stored(t, st)) == 2 })
			w.setDown(true)
			u.Offer(report(3))
			if restart {
				stop()
				kept.Close()
				if kept, _ = spool.Open(o); kept.Status().Waiting != 2 {
					t.Fatalf("%+v, want two waiting", kept.Status())
				}
				u, _ = quick(t, uplink.Options{Servers: []string{w.url()}, Spool: kept})
			}
			forgotten := time.NewTimer(300 * time.Millisecond)
			<-forgotten.C
			w.setDeaf(false)
			w.setDown(false)
			until(t, "nothing waits", func() bool { return waiting(u) == 0 })
			if got := seqs(stored(t, st)); got != "[1 2 3]" {
				t.Errorf("in the stream %s, want each once and in order", got)
			}
		})
	}
}

// One that was not stored is stored, although the stream no longer has what the
// box last heard of: the server lost its power before its disk had that, or the
// stream was emptied.
func TestStreamForgets(t *testing.T) {
	for name, from := range map[string]uint64{"the end": 3, "everything": 1} {
		t.Run(name, func(t *testing.T) {
			s := bus(t, nil)
			st := forgetful(t, stream(t, s), s)
			w := newWire(t, s.Addr().String())
			u, _ := quick(t, uplink.Options{Servers: []string{w.url()}})
			for i := range uint64(3) {
				u.Offer(report(i + 1))
			}
			until(t, "three reports are stored", func() bool { return waiting(u) == 0 && len(stored(t, st)) == 3 })
			w.setDeaf(true)
			u.Offer(report(4))
			until(t, "the report is stored, and nobody says so", func() bool { return len(stored(t, st)) == 4 })
			w.setDown(true)
			for i := from; i <= 4; i++ {
				if err := st.DeleteMsg(t.Context(), i); err != nil {
					t.Fatal(err)
				}
			}
			forgotten := time.NewTimer(300 * time.Millisecond) // the message id, by the stream
			<-forgotten.C
			w.setDeaf(false)
			w.setDown(false)
			until(t, "nothing waits", func() bool { return waiting(u) == 0 })
			if m, err := st.GetLastMsgForSubject(t.Context(), fleet.Reports); err != nil || m.Sequence != 5 {
				t.Errorf("the report is not in the stream again: %+v, %v", m, err)
			}
		})
	}
}

// A report that is too long for the stream, or for the server, holds up nothing,
// and is counted.
func TestTooLong(t *testing.T) {
	long := report(2)
	for i := range 40 {
		long.Findings = append(long.Findings, agent.Finding{Code: agent.DNSFail, Severity: agent.Major, Target: strings.Repeat("x", 50) + fmt.Sprint(i)})
	}
	for name, edit := range map[string]func(*server.Options, *jetstream.StreamConfig){
		"stream": func(_ *server.Options, c *jetstream.StreamConfig) { c.MaxMsgSize = 2000 },
		"server": func(o *server.Options, _ *jetstream.StreamConfig) { o.MaxPayload = 2000 },
	} {
		t.Run(name, func(t *testing.T) {
			var c jetstream.StreamConfig
			s := bus(t, func(o *server.Options) { edit(o, &c) })
			edit(&server.Options{}, &c)
			st := streamOf(t, s, c)
			u, _ := quick(t, uplink.Options{Servers: []string{s.ClientURL()}})
			u.Offer(report(1))
			u.Offer(long)
			u.Offer(report(3))
			until(t, "the others arrive", func() bool { return seqs(stored(t, st)) == "[1 3]" && waiting(u) == 0 })
			if n, _ := u.Evidence().Values.Num(agent.Dropped); n != 1 {
				t.Errorf("%v dropped, want 1", n)
			}
		})
	}
}

// streamOf makes the vendor's stream.
func streamOf(t *testing.T, s *server.Server, c jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.Subjects = fleet.Stream, []string{fleet.Reports}
	st, err := js.CreateStream(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// What a server says in clear before encryption may come from anybody: it cannot
// make the box throw a report away.
func TestForgedLimit(t *testing.T) {
	ca := trusttest.Named(t, "Vendor CA")
	file := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, file, ca.PEM())
	s := bus(t, func(o *server.Options) {
		o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{ca.Leaf("127.0.0.1")}}
	})
	st := stream(t, s, nats.Secure(&tls.Config{RootCAs: ca.Pool(), Time: trusttest.At(trusttest.Today)}))
	w := newWire(t, s.Addr().String())
	w.alter(func(info string) string {
		return strings.NewReplacer(`"max_payload":1048576`, `"max_payload":1`, `"headers":true`, `"headers":false`).Replace(info)
	})
	u, _ := quick(t, uplink.Options{CA: file, Now: trusttest.At(trusttest.Today), Servers: []string{"tls://" + strings.TrimPrefix(w.url(), "nats://")}})
	u.Offer(report(1))
	until(t, "the report arrives", func() bool { return len(stored(t, st)) == 1 && waiting(u) == 0 })
}

// A vendor who is refused, who stops, who sends what no client knows: nothing of
// it is for ever.
func TestNothingIsFinal(t *testing.T) {
	s := bus(t, nil)
	st := stream(t, s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, _ := quick(t, uplink.Options{Servers: []string{"nats://" + l.Addr().String()}})
	u.Offer(report(1))
	for i, words := range []string{
		"", "", "SSH-2.0\r\n", "INFO {}\r\n-ERR 'Authorization Violation'\r\n", "INFO {}\r\n-ERR 'Authorization Violation'\r\n",
		"INFO {}\r\n-ERR 'Authorization Violation'\r\n", "INFO {}\r\nPONG\r\n-ERR 'Authentication Expired'\r\n",
		"INFO {}\r\nPONG\r\n-ERR 'User Authentication Revoked'\r\n", "INFO {}\r\nPONG\r\n-ERR 'Something New'\r\n",
		"INFO {}\r\nPONG\r\n-ERR 'Something New'\r\n", "INFO {}\r\nPONG\r\n-ERR 'maximum connections exceeded'\r\n",
		"INFO {}\r\nPONG\r\nNONSENSE\r\n", "INFO {}\r\nPONG\r\nMSG a 1 9999999999999999\r\n",
	} {
		c, err := l.Accept()
		if err != nil {
			t.Fatalf("after %d servers: %v", i, err)
		}
		_, _ = io.WriteString(c, words)
		if strings.Contains(words, "INFO") {
			_, _ = c.Read(make([]byte, 1)) // what the box says to it
		}
		c.Close()
	}
	go func() { // and at last the real one
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(far, c); far.Close() }()
			go func() { _, _ = io.Copy(c, far); c.Close() }()
		}
	}()
	until(t, "the report arrives", func() bool { return len(stored(t, st)) == 1 && waiting(u) == 0 })
}

// A server that takes connections and reads nothing holds up neither what is
// offered nor the end.
func TestServerReadsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, stop := quick(t, uplink.Options{Servers: []string{"nats://" + l.Addr().String()}})
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "INFO {}\r\nPONG\r\n"); err != nil {
		t.Fatal(err)
	}
	until(t, "the connection is up", func() bool { return u.Evidence().Outcome == agent.Answered })
	for i := range uint64(2000) {
		u.Offer(report(i))
	}
	u.Evidence()
	stop()
}

// A server that keeps nothing and says nothing is not one that hears the box; a
// stream behind it that keeps what it is sent keeps it once.
func TestServerAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	s := bus(t, nil)
	st := forgetful(t, stream(t, s), s)
	w := newWire(t, s.Addr().String())
	u, err := uplink.New(uplink.Options{Servers: []string{w.url()}, Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	u.AckLimit(time.Second)
	running(t, u)
	u.Offer(report(1))
	until(t, "the first report is acknowledged", func() bool { return waiting(u) == 0 && len(stored(t, st)) == 1 })
	w.setDeaf(true)
	u.Offer(report(2))
	until(t, "the missing acknowledgement shows", func() bool {
		e := u.Evidence()
		return e.Outcome == agent.Silent && e.Values.Text(agent.Detail) == "no acknowledgement"
	})
	until(t, "it is sent again", func() bool { return w.reports() >= 3 })
	if got := seqs(stored(t, st)); got != "[1 2]" {
		t.Errorf("in the stream %s, want each once", got)
	}
	w.setDeaf(false)
	until(t, "nothing waits", func() bool { return waiting(u) == 0 })
	if got := seqs(stored(t, st)); got != "[1 2]" {
		t.Errorf("in the stream %s, want each once", got)
	}
}

// stats is how many messages of the box a server has taken in.
func stats(t *testing.T, s *server.Server) (n int64) {
	t.Helper()
	z, err := s.Connz(&server.ConnzOptions{State: server.ConnAll, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range z.Conns {
		if strings.HasPrefix(c.Name, "sprechprobe ") {
			n += c.InMsgs
		}
	}
	return n
}

// Where the port of NATS is barred the web port serves; where it is not, it is not
// asked.
func TestFallback(t *testing.T) {
	ca := trusttest.Named(t, "Vendor CA")
	leaf := ca.Leaf("127.0.0.1")
	encrypted := &tls.Config{Certificates: []tls.Certificate{leaf}}
	file := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, file, ca.PEM())
	s := bus(t, func(o *server.Options) {
		o.TLS, o.TLSConfig = true, encrypted
		o.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, TLSConfig: encrypted}
	})
	st := stream(t, s, nats.RootCAs(file), nats.Secure(&tls.Config{RootCAs: ca.Pool(), Time: trusttest.At(trusttest.Today)}))
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, as a firewall that inspects them may
	if err != nil {
		t.Fatal(err)
	}
	closed := mute.Addr().String()
	mute.Close()
	tests := []struct {
		name    string
		servers []string
		want    string
	}{
		{"both", []string{s.WebsocketURL(), "tls://" + s.Addr().String()}, "nats"},
		{"web only", []string{s.WebsocketURL(), "tls://" + closed}, "websocket"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, stop := quick(t, uplink.Options{Servers: tt.servers, CA: file, Now: trusttest.At(trusttest.Today)})
			u.Offer(report(uint64(i)))
			until(t, "the report arrives", func() bool { return len(stored(t, st)) == i+1 })
			z, err := s.Connz(&server.ConnzOptions{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range z.Conns {
				if strings.HasPrefix(c.Name, "sprechprobe ") && c.Type != tt.want && (c.Type != "" || tt.want != "nats") {
					t.Errorf("connected by %s, want %s", c.Type, tt.want)
				}
			}
			stop()
		})
	}
}

// A server that says a byte now and then is not waited for.
func TestSlowServer(t *testing.T) {
	s := bus(t, func(o *server.Options) {
		o.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoTLS: true}
	})
	st := stream(t, s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for _, b := range []byte("INFO {\"server_id\":\"" + strings.Repeat("N", 60000)) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					<-tick.C
				}
			}()
		}
	}()
	u, err := uplink.New(uplink.Options{Servers: []string{"nats://" + l.Addr().String(), s.WebsocketURL()}, Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	u.DialLimit(200 * time.Millisecond)
	running(t, u)
	u.Offer(report(1))
	until(t, "the report arrives by the other server", func() bool { return len(stored(t, st)) == 1 })
}

// An interceptor gets nothing, and what was to be sent waits for the vendor, over
// a restart of the program.
func TestIntercepted(t *testing.T) {
	ca := trusttest.Named(t, "Vendor CA")
	file := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, file, ca.PEM())
	serve := func(by *trusttest.Authority) *server.Server {
		return bus(t, func(o *server.Options) {
			o.TLS, o.TLSConfig = true, &tls.Config{Certificates: []tls.Certificate{by.Leaf("127.0.0.1")}}
		})
	}
	wrong, right := serve(trusttest.Named(t, "Firewall CA")), serve(ca)
	st := stream(t, right, nats.Secure(&tls.Config{RootCAs: ca.Pool(), Time: trusttest.At(trusttest.Today)}))
	at := spool.Options{Dir: t.TempDir(), Journal: t.TempDir()}
	kept, _ := spool.Open(at)
	o := uplink.Options{CA: file, Now: trusttest.At(trusttest.Today), Spool: kept, Servers: []string{"tls://" + wrong.Addr().String()}}
	u, stop := quick(t, o)
	for i := range uint64(3) {
		u.Offer(report(i + 1))
	}
	until(t, "the interception shows", func() bool {
		e := u.Evidence()
		return e.Outcome == agent.Tampered && e.Reason == agent.TLSUnknownCA
	})
	stop()
	kept.Close()
	if stats(t, wrong) != 0 {
		t.Error("the interceptor got something")
	}
	kept, found := spool.Open(at)
	if found.Waiting != 3 {
		t.Fatalf("%+v, want three waiting", found)
	}
	o.Spool, o.Servers = kept, []string{"tls://" + right.Addr().String()}
	quick(t, o)
	until(t, "the vendor gets them", func() bool { return seqs(stored(t, st)) == "[1 2 3]" })
}

// A day without the vendor: what fits is delivered in its order when he is back,
// the rest is counted to the last one, over restarts and in the next report's own
// evidence.
func TestDayWithoutVendor(t *testing.T) {
	at := spool.Options{Dir: t.TempDir(), Journal: t.TempDir(), Max: spool.LeastMax}
	made := day(t, at)
	s := bus(t, nil)
	st := stream(t, s)
	kept, found := spool.Open(at)
	status := kept.Status()
	if found.Lost != 0 || status.Dropped == 0 || status.Waiting+int(status.Dropped) != made {
		t.Fatalf("%+v, %+v of %d", found, status, made)
	}
	u, _ := quick(t, uplink.Options{Servers: []string{s.ClientURL()}, Spool: kept})
	until(t, "everything arrives", func() bool { return waiting(u) == 0 })
	all := stored(t, st)
	if len(all) != status.Waiting {
		t.Errorf("%d reports arrived, %d waited", len(all), status.Waiting)
	}
	for i, r := range all {
		if want := uint64(made - len(all) + i + 1); r.Seq != want {
			t.Fatalf("report %d in the stream is number %d, want %d: the newest ones, in order", i, r.Seq, want)
		}
	}
	if n, _ := u.Evidence().Values.Num(agent.Dropped); n != float64(status.Dropped) {
		t.Errorf("the next report says that %v were dropped, want %d", n, status.Dropped)
	}
	t.Logf("%d reports of a day, %d dropped, %d arrived", made, status.Dropped, len(all))
}

// day is one without a vendor by a fast clock, with the program started anew
// twice. It returns how many reports were made.
func day(t *testing.T, at spool.Options) (made int) {
	synctest.Test(t, func(t *testing.T) {
		for made < 288 {
			kept, _ := spool.Open(at)
			u, err := uplink.New(uplink.Options{Servers: []string{"nats://127.0.0.1:1"}, Spool: kept, Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- u.Run(ctx) }()
			for range 96 {
				made++
				r := report(uint64(made))
				r.Box.Name = strings.Repeat("x", 2000)
				u.Offer(r)
				time.Sleep(5 * time.Minute)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			kept.Close()
		}
	})
	return made
}

// State changes and beats tell how the box stands, ahead of what waits.
func TestBeats(t *testing.T) {
	s := bus(t, nil)
	stream(t, s)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	words := make(chan *nats.Msg, 1000)
	for _, subject := range []string{fleet.States, fleet.Beats} {
		if _, err := nc.ChanSubscribe(subject, words); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	u, err := uplink.New(uplink.Options{Servers: []string{s.ClientURL()}, Tenant: "acme", Box: "box-1", Boot: "BOOT1", Log: slog.New(slog.DiscardHandler),
		Stamp: func() agent.Stamp { return agent.Stamp{Clock: agent.ClockSet, UptimeS: 77} }})
	if err != nil {
		t.Fatal(err)
	}
	u.BeatEvery(20 * time.Millisecond)
	next := func(change bool) fleet.Beat {
		t.Helper()
		for {
			select {
			case m := <-words:
				_, box, isChange, err := fleet.ParseBeatSubject(m.Subject)
				if err != nil || box != "box-1" || m.Header.Get(fleet.HeaderBoot) != "BOOT1" {
					t.Fatalf("%s, %v: %v", m.Subject, m.Header, err)
				}
				b, err := fleet.DecodeBeat(m.Data)
				if err != nil {
					t.Fatal(err)
				}
				if isChange == change {
					return b
				}
			case <-time.After(patience):
				t.Fatal("nothing comes")
			}
		}
	}
	for i := range uint64(5) {
		u.Offer(report(i + 1))
	}
	running(t, u)
	if b := next(true); b.Seq != 5 || b.Verdict != agent.Ready || b.Queued != 5 || b.Stamp.UptimeS != 77 || b.EveryS <= 0 {
		t.Errorf("at first: %+v", b)
	}
	if b := next(false); b.Seq != 5 {
		t.Errorf("later: %+v", b)
	}
	same := report(6)
	u.Offer(same)
	worse := report(7)
	worse.Verdict = agent.Blocked
	u.Offer(worse)
	if b := next(true); b.Seq != 7 || b.Verdict != agent.Blocked {
		t.Errorf("after a change: %+v", b)
	}
	until(t, "a beat after all was sent", func() bool { return next(false).Queued == 0 })
}

// The disk cannot be written: reports leave all the same, and say so.
func TestReadOnlyDisk(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	lab.IP(t, "link set lo up")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		lab.LeaveOut(t, "this system does not let namespaces mount: "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	kept, _ := spool.Open(spool.Options{Dir: filepath.Join(dir, "spool"), Journal: t.TempDir()})
	defer kept.Close()
	s := bus(t, nil)
	st := stream(t, s)
	u, _ := quick(t, uplink.Options{Servers: []string{s.ClientURL()}, Spool: kept})
	if yes, _ := u.Evidence().Values.Flag(agent.InMemory); !yes {
		t.Errorf("evidence %v does not say that the disk takes nothing", u.Evidence().Values)
	}
	u.Offer(report(1))
	until(t, "the report arrives", func() bool { return len(stored(t, st)) == 1 })
}

// What lies in the spool may be anything: it becomes neither a header nor a
// message, and holds up nothing.
func TestForeignRecords(t *testing.T) {
	s := bus(t, nil)
	st := stream(t, s)
	kept, _ := spool.Open(spool.Options{})
	const of = " acme/box-1\n"
	for _, b := range []string{"x", "\n{}", "A B" + of[:11], "A B" + of, "A\r\nNats-Rollup:all B" + of + "{}", "A B C" + of + "{}", "A B\n{}",
		strings.Repeat("A", 65) + " B" + of + "{}", "A B acme/box-2\n{}", "A B other/box-1\n{}"} {
		if err := kept.Put([]byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	u, _ := quick(t, uplink.Options{Servers: []string{s.ClientURL()}, Spool: kept})
	u.Offer(report(1))
	until(t, "the report arrives", func() bool { return waiting(u) == 0 })
	if got := seqs(stored(t, st)); got != "[1]" {
		t.Errorf("in the stream %s", got)
	}
	if n, _ := u.Evidence().Values.Num(agent.Dropped); n != 10 {
		t.Errorf("%v dropped, want 10", n)
	}
}

// What a box saw in one practice does not go to the next one that it comes to; it
// is counted as dropped.
func TestBoxOfSomebodyElse(t *testing.T) {
	s := bus(t, nil)
	st := stream(t, s)
	at := spool.Options{Dir: t.TempDir(), Journal: t.TempDir()}
	kept, _ := spool.Open(at)
	before, err := uplink.New(uplink.Options{Servers: []string{"nats://127.0.0.1:1"}, Spool: kept, Tenant: "before", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	before.Offer(report(1))
	before.Offer(report(2))
	kept.Close()
	kept, _ = spool.Open(at)
	u, _ := quick(t, uplink.Options{Servers: []string{s.ClientURL()}, Spool: kept})
	u.Offer(report(3))
	until(t, "nothing waits", func() bool { return waiting(u) == 0 })
	if got := seqs(stored(t, st)); got != "[3]" {
		t.Errorf("in the stream %s, want only what is of this practice", got)
	}
	if n, _ := u.Evidence().Values.Num(agent.Dropped); n != 2 {
		t.Errorf("%v dropped, want 2", n)
	}
}

// Forbidden beats are left out; the report's way is not said to be barred.
func TestBeatsForbidden(t *testing.T) {
	subject, err := fleet.ReportSubject("acme", "box-1")
	if err != nil {
		t.Fatal(err)
	}
	s := bus(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "vendor", Password: "secret"},
			{Username: "box", Password: "secret", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{subject}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_acme_box-1.>"}}}},
		}
		o.NoAuthUser = "box"
	})
	st := stream(t, s, nats.UserInfo("vendor", "secret"))
	u, err := uplink.New(uplink.Options{Servers: []string{"nats://" + s.Addr().String()}, Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	u.BeatEvery(time.Millisecond)
	running(t, u)
	u.Offer(report(1))
	until(t, "the report arrives", func() bool { return len(stored(t, st)) == 1 && waiting(u) == 0 })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 200 { // moments at which a beat may have been refused
		<-tick.C
		if e := u.Evidence(); e.Outcome != agent.Answered {
			t.Fatalf("evidence %s %s %v, want answered", e.Outcome, e.Reason, e.Values)
		}
	}
	if n := stats(t, s); n > 10 {
		t.Errorf("%d messages, although beats are forbidden", n)
	}
}

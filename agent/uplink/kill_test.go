package uplink_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/uplink"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// boxVar makes this program a box that reports as fast as it can, until it is
// killed: directory, journal, server, run, and whether it makes reports.
const boxVar = "SPRECHPROBE_UPLINK_BOX"

func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(boxVar)); len(words) == 5 {
		if err := box(words[0], words[1], words[2], words[3], words[4] == "true"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if words := strings.Fields(os.Getenv(herdVar)); len(words) == 5 {
		if err := boxes(words[0], words[1], words[2], words[3], words[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// box says of each report that it was taken. Without making any it ends when none
// waits.
func box(dir, journal, server, run string, makes bool) error {
	kept, _ := spool.Open(spool.Options{Dir: dir, Journal: journal, Max: 64 << 20})
	u, err := uplink.New(uplink.Options{Servers: []string{server}, Spool: kept, Boot: run, Tenant: "acme", Box: "box-1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	u.Pace(10*time.Millisecond, 10*time.Millisecond, 100*time.Millisecond)
	u.AckLimit(500 * time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	tick := time.NewTicker(2 * time.Millisecond)
	for seq := uint64(1); makes || kept.Status().Waiting > 0; <-tick.C {
		if makes {
			r := report(seq)
			r.Box.Name = strings.Repeat("x", rand.IntN(2000))
			u.Offer(r)
			if _, err := fmt.Println(run, seq); err != nil {
				return err
			}
			seq++
		}
	}
	cancel()
	err = <-done
	if st := kept.Status(); st.Dropped > 0 || st.Damaged > 0 {
		err = fmt.Errorf("%d reports were dropped, %d damaged", st.Dropped, st.Damaged)
	}
	kept.Close()
	return err
}

// A box that is killed again and again, behind a line that comes and goes and
// swallows answers, to a server that is started anew: each report that was taken
// is in the stream, once, and in its order.
//
// SPRECHPROBE_KILLS sets how often it is killed.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	kills := 25
	if s := os.Getenv("SPRECHPROBE_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	v := newFlapping(t)
	dir, journal := t.TempDir(), t.TempDir()
	var lives []life
	for n := range kills {
		l := life{run: fmt.Sprint("RUN", n)}
		l.live(t, dir, journal, v.wire.url(), time.Duration(rand.IntN(400))*time.Millisecond)
		lives = append(lives, l)
		if n%10 == 9 {
			v.restart(t)
		}
	}
	v.calm()
	end := life{run: "END"}
	cmd := end.command(dir, journal, v.wire.url(), false)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the last run: %v\n%s", err, out)
	}
	n := v.check(t, lives)
	last, err := filepath.Glob(filepath.Join(dir, "*")) // they are numbered
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d runs were killed; %d reports are in the stream, each once and in order; the last of the files is %s", kills, n, filepath.Base(strings.Join(last[max(0, len(last)-1):], "")))
}

// life is one run of the program.
type life struct {
	run   string
	taken uint64 // the last report that it said was taken
}

func (l *life) command(dir, journal, server string, makes bool) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %s %v", boxVar, dir, journal, server, l.run, makes))
	return cmd
}

// live runs the program, kills it after a while from its first report on, and
// hears what it has said.
func (l *life) live(t *testing.T, dir, journal, server string, after time.Duration) {
	t.Helper()
	cmd := l.command(dir, journal, server, true)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	dies := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	for first := true; ; first = false {
		line, err := said.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if first {
			dies.Reset(after)
		}
		if _, err := fmt.Sscanf(line, l.run+" %d\n", &l.taken); err != nil {
			t.Fatalf("%s said %q", l.run, line)
		}
	}
	_ = cmd.Wait()
	if l.taken == 0 {
		t.Fatalf("%s took nothing", l.run)
	}
}

// flapping is a vendor behind a bad line.
type flapping struct {
	wire   *wire
	opts   server.Options
	server *server.Server
	stop   chan struct{}
	wg     sync.WaitGroup
}

func newFlapping(t *testing.T) *flapping {
	t.Helper()
	v := &flapping{stop: make(chan struct{})}
	v.opts = server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	v.start(t)
	v.opts.Port = v.server.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() { v.calm(); v.end() })
	js := v.jetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: fleet.Stream, Subjects: []string{fleet.Reports}, Storage: jetstream.FileStorage})
	if err != nil {
		t.Fatal(err)
	}
	v.wire = newWire(t, v.server.Addr().String())
	v.wg.Go(v.flap)
	return v
}

func (v *flapping) start(t *testing.T) {
	t.Helper()
	opts := v.opts
	s, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		t.Fatal("server not ready")
	}
	v.server = s
}

func (v *flapping) end() {
	v.server.Shutdown()
	v.server.WaitForShutdown()
}

func (v *flapping) restart(t *testing.T) {
	t.Helper()
	v.end()
	v.start(t)
}

// flap makes the line come and go, and swallow answers.
func (v *flapping) flap() {
	for {
		v.wire.setDeaf(rand.IntN(3) == 0)
		select {
		case <-v.stop:
			return
		case <-time.After(time.Duration(rand.IntN(150)) * time.Millisecond):
		}
		switch rand.IntN(3) {
		case 0:
			v.wire.cut()
		case 1:
			v.wire.setDown(true)
			<-time.After(time.Duration(rand.IntN(100)) * time.Millisecond)
			v.wire.setDown(false)
		}
	}
}

// calm ends that.
func (v *flapping) calm() {
	select {
	case <-v.stop:
	default:
		close(v.stop)
	}
	v.wg.Wait()
	v.wire.setDeaf(false)
	v.wire.setDown(false)
}

func (v *flapping) jetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(v.server.ClientURL(), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// check reads the stream: of each run, in the order of the runs, the reports from
// the first to the last that was taken. One more may have been taken before the
// run could say so.
func (v *flapping) check(t *testing.T, lives []life) (total uint64) {
	t.Helper()
	st, err := v.jetStream(t).Stream(t.Context(), fleet.Stream)
	if err != nil {
		t.Fatal(err)
	}
	info, err := st.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at, have := 0, uint64(0)
	total = info.State.Msgs
	for i := range total {
		m, err := st.GetMsg(t.Context(), i+1)
		if err != nil {
			t.Fatal(err)
		}
		r, err := fleet.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		for run := m.Header.Get(fleet.HeaderBoot); at < len(lives) && lives[at].run != run; at++ {
			if have < lives[at].taken || have > lives[at].taken+1 {
				t.Fatalf("message %d is of %s; %s took %d reports, but %d are in the stream", i+1, run, lives[at].run, lives[at].taken, have)
			}
			have = 0
		}
		if have++; at == len(lives) || r.Seq != have {
			t.Fatalf("message %d is report %d of %s, want report %d of the runs from %d on", i+1, r.Seq, m.Header.Get(fleet.HeaderBoot), have, at)
		}
	}
	if last := lives[len(lives)-1]; at != len(lives)-1 || have < last.taken {
		t.Fatalf("the stream ends with report %d of run %d; the last one took %d", have, at, last.taken)
	}
	return total
}

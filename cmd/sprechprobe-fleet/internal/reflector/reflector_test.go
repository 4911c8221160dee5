package reflector

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

const mbit = 1_000_000

// clockDesk is a desk whose clock the test sets.
func clockDesk(l Limits) (*desk, *time.Time) {
	d, now := newDesk(l), time.Unix(1_000_000, 0)
	d.now = func() time.Time { return now }
	return d, &now
}

func from(last byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, last}), 40000)
}

func ask(d *desk, last byte, t iperf3.Test) (iperf3.Grant, error) {
	t.Streams = max(t.Streams, 1)
	return d.Admit(context.Background(), iperf3.Request{From: from(last), Test: t})
}

func TestAdmission(t *testing.T) {
	second := iperf3.Test{Duration: time.Second}
	at := func(rate int64) iperf3.Test { return iperf3.Test{Duration: time.Second, Rate: rate} }
	limits := Limits{Rate: 100 * mbit, TestRate: 40 * mbit, TestTime: 10 * time.Second, Tests: 4, Source: 2}
	for _, tt := range []struct {
		name   string
		before []iperf3.Test // of other sources
		test   iperf3.Test
		rate   int64 // granted
		want   error
	}{
		{name: "without a word on the rate", test: second, rate: 40 * mbit},
		{name: "less than it may", test: at(5 * mbit), rate: 5 * mbit},
		{name: "more than it may", test: at(90 * mbit), rate: 40 * mbit},
		{name: "streams count", test: iperf3.Test{Duration: time.Second, Rate: 10 * mbit, Streams: 3}, rate: 30 * mbit},
		{name: "more streams than a number holds", test: iperf3.Test{Duration: time.Second, Rate: 1 << 62, Streams: 128}, rate: 40 * mbit},
		{name: "datagrams up, too fast", test: iperf3.Test{UDP: true, Duration: time.Second, Rate: 50 * mbit}, want: iperf3.ErrTooFast},
		{name: "datagrams up, as fast as it goes", test: iperf3.Test{UDP: true, Duration: time.Second, Rate: iperf3.Unlimited}, want: iperf3.ErrTooFast},
		{name: "datagrams down", test: iperf3.Test{UDP: true, Direction: iperf3.Down, Duration: time.Second, Rate: 50 * mbit}, rate: 40 * mbit},
		{name: "a few small datagrams", test: iperf3.Test{UDP: true, Length: 160, Duration: time.Second, Rate: 64_000}, rate: 64_000},
		{name: "very many small datagrams up", test: iperf3.Test{UDP: true, Length: 20, Duration: time.Second, Rate: 2 * mbit}, want: iperf3.ErrTooFast},
		{name: "very many small datagrams down", test: iperf3.Test{UDP: true, Direction: iperf3.Down, Length: 20, Duration: time.Second, Rate: 50 * mbit}, rate: 1_600_000},
		{name: "small datagrams beside others", before: []iperf3.Test{second, second}, test: iperf3.Test{UDP: true, Length: 20, Duration: time.Second, Rate: mbit}, want: iperf3.ErrBusy},
		{name: "too long", test: iperf3.Test{Duration: 8 * time.Second, Omit: 3 * time.Second}, want: iperf3.ErrTooLong},
		{name: "an amount, however long it takes", test: iperf3.Test{Bytes: 1 << 40}, rate: 40 * mbit},
		{name: "no rate left", before: []iperf3.Test{second, second}, test: second, want: iperf3.ErrBusy},
		{name: "enough left for a small one", before: []iperf3.Test{second, second}, test: at(20 * mbit), rate: 20 * mbit},
		{name: "too many", before: []iperf3.Test{at(1), at(1), at(1), at(1)}, test: at(1), want: iperf3.ErrBusy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := clockDesk(limits)
			for i, b := range tt.before {
				if _, err := ask(d, byte(10+i), b); err != nil {
					t.Fatal(err)
				}
			}
			g, err := ask(d, 1, tt.test)
			if !errors.Is(err, tt.want) || g.Rate != tt.rate {
				t.Errorf("granted %d, %v; want %d, %v", g.Rate, err, tt.rate, tt.want)
			}
		})
	}
}

// What a test has taken is there again when it has ended, and not before.
func TestAdmissionEnds(t *testing.T) {
	d, now := clockDesk(Limits{Rate: 10 * mbit, Tests: 1})
	g, err := ask(d, 1, iperf3.Test{Duration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Hour)
	if _, err := ask(d, 2, iperf3.Test{Duration: time.Second}); !errors.Is(err, iperf3.ErrBusy) {
		t.Errorf("beside a test that does not end: %v", err)
	}
	g.Done()
	if _, err := ask(d, 2, iperf3.Test{Duration: time.Second}); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// One address does not starve the others.
func TestAdmissionPerSource(t *testing.T) {
	d, _ := clockDesk(Limits{Rate: 100 * mbit, TestRate: mbit, Tests: 10, Source: 2})
	for i, want := range []error{nil, nil, iperf3.ErrBusy, iperf3.ErrBusy} {
		if _, err := ask(d, 1, iperf3.Test{Duration: time.Second}); !errors.Is(err, want) {
			t.Errorf("test %d of one address: %v, want %v", i, err, want)
		}
	}
	if _, err := ask(d, 2, iperf3.Test{Duration: time.Second}); err != nil {
		t.Errorf("another address: %v", err)
	}
}

// A fleet that asks at once gets times that do not overlap, and each is served
// when it comes in its time.
func TestLeases(t *testing.T) {
	d, now := clockDesk(Limits{Rate: 20 * mbit, TestRate: 10 * mbit, TestTime: 10 * time.Second, Tests: 2, Source: 2})
	question := func(i byte) iperf3.SlotRequest {
		return iperf3.SlotRequest{From: from(i), Box: string('a' + rune(i)), Rate: 8 * mbit, TakesMS: 5000}
	}
	var in []int64
	var slots []string
	for i := range byte(6) {
		a := d.Slot(question(i))
		in, slots = append(in, a.InMS), append(slots, a.Slot)
		if a.Slot == "" || a.Rate != 8*mbit {
			t.Errorf("box %d: %+v", i, a)
		}
	}
	for i, want := range []int64{0, 0, 5000, 5000, 10000, 10000} {
		if in[i] != want {
			t.Errorf("box %d waits %d ms, want %d", i, in[i], want)
		}
	}
	if again := d.Slot(question(5)); again.Slot != slots[5] || again.InMS != 10000 {
		t.Errorf("a box that asks again gets %+v", again)
	}
	test := iperf3.Test{Duration: time.Second, Streams: 1, Rate: 8 * mbit}
	with := func(i byte, slot string) error {
		test.Slot = slot
		g, err := d.Admit(context.Background(), iperf3.Request{From: from(i), Test: test})
		if err == nil {
			g.Done()
		}
		return err
	}
	if err := with(9, ""); !errors.Is(err, iperf3.ErrBusy) {
		t.Errorf("without a lease, into the time of others: %v", err)
	}
	if err := with(2, slots[2]); !errors.Is(err, iperf3.ErrBusy) {
		t.Errorf("with a lease, but 5 s early: %v", err)
	}
	if err := with(9, slots[0]); !errors.Is(err, iperf3.ErrBusy) {
		t.Errorf("with the lease of somebody else: %v", err)
	}
	for range 3 {
		if err := with(0, slots[0]); err != nil {
			t.Errorf("test after test within a lease: %v", err)
		}
	}
	*now = now.Add(5 * time.Second)
	if err := with(2, slots[2]); err != nil {
		t.Errorf("in time: %v", err)
	}
	*now = now.Add(tardy + 6*time.Second)
	if err := with(3, slots[3]); err != nil && !errors.Is(err, iperf3.ErrBusy) {
		t.Errorf("long after its time: %v", err)
	}
	*now = now.Add(time.Hour)
	if err := with(9, ""); err != nil || len(d.books) != 0 {
		t.Errorf("when all is over: %v, %d bookings kept", err, len(d.books))
	}
}

// Nobody can book the server for himself.
func TestLeasesAreBounded(t *testing.T) {
	d, _ := clockDesk(Limits{Rate: mbit, TestRate: mbit, TestTime: time.Minute, Tests: 1, Source: 2})
	got := 0
	for i := range 10 {
		a := d.Slot(iperf3.SlotRequest{From: from(1), Box: string('a' + rune(i)), TakesMS: 1000})
		if a.Slot != "" {
			got++
		} else if a.InMS <= 0 {
			t.Error("who gets none is not told when to ask again")
		}
	}
	if got != 2 {
		t.Errorf("%d leases for one address, want 2", got)
	}
	for i := range 200 {
		d.Slot(iperf3.SlotRequest{From: from(byte(i)), TakesMS: 60_000})
	}
	if last := d.books[len(d.books)-1].from; last.After(d.now().Add(horizon)) {
		t.Errorf("a lease %v ahead", last.Sub(d.now()))
	}
}

func TestEcho(t *testing.T) {
	e := &echo{}
	q := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	a := stun.Message{Raw: e.answer(q.Raw, from(7))}
	var mapped stun.XORMappedAddress
	if a.Decode() != nil || a.TransactionID != q.TransactionID || mapped.GetFrom(&a) != nil || !mapped.IP.Equal(net.IPv4(192, 0, 2, 7)) {
		t.Errorf("answer %v with %v", a, mapped)
	}
	for name, b := range map[string][]byte{
		"an answer": a.Raw, "nothing": nil, "half": q.Raw[:10], "noise": []byte(strings.Repeat("x", 40)),
		"an indication": stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw,
	} {
		if got := e.answer(b, from(7)); got != nil {
			t.Errorf("%s is answered", name)
		}
	}
	n := 0
	for range 10 * perSource {
		if e.admits(from(8).Addr(), 5) {
			n++
		}
	}
	if n != perSource || !e.admits(from(9).Addr(), 5) || !e.admits(from(8).Addr(), 6) {
		t.Errorf("%d answers a second to one address, want %d; others must not suffer", n, perSource)
	}
}

// crowd is how many clients come at once.
const crowd = 200

// All are served or refused cleanly, and nothing of them is left.
func TestCrowd(t *testing.T) {
	before := runtime.NumGoroutine()
	tcp, udp, err := iperf3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := Config{Limits: Limits{Rate: 50 * mbit, TestRate: mbit, Tests: 40, Source: 1000}, Log: slog.New(slog.DiscardHandler)}
	go func() { done <- Serve(ctx, c, tcp, udp) }()

	var served, busy atomic.Int32
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() {
			test := iperf3.Test{UDP: i%10 == 0, Direction: iperf3.Direction(i % 2), Bytes: 50_000, Rate: mbit, Length: 1000}
			var client iperf3.Client
			res, err := client.Run(ctx, tcp.Addr().String(), test)
			switch {
			case err == nil && (res.Sum(true).Received.Bytes+res.Sum(false).Received.Bytes) > 0:
				served.Add(1)
			case errors.Is(err, iperf3.ErrBusy):
				busy.Add(1)
			default:
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d served, %d told that the server is busy", served.Load(), busy.Load())
	if served.Load() < 40 || served.Load()+busy.Load() != crowd {
		t.Errorf("%d served, %d busy", served.Load(), busy.Load())
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.Sys > 256<<20 {
		t.Errorf("%d MB taken for %d clients", m.Sys>>20, crowd)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(end) {
			b := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
		}
		runtime.Gosched()
	}
}

// While idle and hostile clients hold all that they may, others are served.
func TestIdleClientsStarveNobody(t *testing.T) {
	tcp, udp, err := iperf3.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := Config{Log: slog.New(slog.DiscardHandler)}
	go func() { done <- Serve(ctx, c, tcp, udp) }()
	defer func() { cancel(); <-done }()
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for range 100 { // of another address of the loopback
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		conn, err := d.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	var client iperf3.Client
	if _, err := client.Run(ctx, tcp.Addr().String(), iperf3.Test{Bytes: 1000}); err != nil {
		t.Errorf("beside 100 idle connections: %v", err)
	}
}

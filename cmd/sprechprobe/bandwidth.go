package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/iperf3"
)

const bandwidthArgs = `HOST[:PORT] [--direction each|down|up|both] [--time 10s] [--bytes N] [--omit 0s]
           [--rate R] [--streams N] [--udp] [--length N] [--window N] [--mss N] [--tos N]
           [--ipv4|--ipv6] [--server-output] [--every 1s] [--user U --key FILE, IPERF3_PASSWORD]
           [--format text|json] [--lang de|en]`

// measuring is what the flags of bandwidth say.
type measuring struct {
	test       iperf3.Test
	client     iperf3.Client
	addr       string
	directions []iperf3.Direction
	json       bool
	say        *speech
}

// bandwidth measures against an iperf3 server.
func bandwidth(ctx context.Context, e env, args []string) (int, error) {
	m, err := parseBandwidth(args)
	if err != nil {
		return exitUsage, err
	}
	for i, d := range m.directions {
		m.test.Direction = d
		res, err := m.run(ctx, e)
		// A stock server takes nobody for a moment after a test: it refuses,
		// resets, or takes itself to be busy.
		for tries := 0; i > 0 && tries < 20 && err != nil && res == nil && pause(ctx); tries++ {
			res, err = m.run(ctx, e)
		}
		if err == nil || res != nil && len(res.Intervals) > 0 {
			m.tell(e, res, err)
		}
		if err != nil {
			return exitFailed, m.say.trouble(err)
		}
	}
	return 0, nil
}

// pause waits a moment; it is false if ctx ended first.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

func (m measuring) run(ctx context.Context, e env) (*iperf3.Result, error) {
	if m.json {
		return m.client.Run(ctx, m.addr, m.test)
	}
	m.client.Began = func(r *iperf3.Result) { m.say.heading(e.out, m.addr, r) }
	m.client.Progress = func(i iperf3.Interval) bool {
		m.say.interval(e.out, m.test, i)
		return false
	}
	return m.client.Run(ctx, m.addr, m.test)
}

// tell prints a result, that of a test that broke off too.
func (m measuring) tell(e env, res *iperf3.Result, err error) {
	if !m.json {
		m.say.result(e.out, res)
		return
	}
	doc := res.Document()
	if err != nil {
		doc.Error = err.Error()
	}
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "\t")
	_ = enc.Encode(doc)
}

// bandwidthFlags are flags before they are understood.
type bandwidthFlags struct {
	direction, rate, bytes, length, window string
	time, omit                             time.Duration
	four, six                              bool
	user, key, format, lang                string
}

func parseBandwidth(args []string) (m measuring, err error) {
	var b bandwidthFlags
	f := flags("bandwidth")
	f.StringVar(&b.direction, "direction", "each", "")
	f.DurationVar(&b.time, "time", 0, "")
	f.DurationVar(&b.omit, "omit", 0, "")
	f.StringVar(&b.bytes, "bytes", "0", "")
	f.StringVar(&b.rate, "rate", "0", "")
	f.StringVar(&b.length, "length", "0", "")
	f.StringVar(&b.window, "window", "0", "")
	f.IntVar(&m.test.Streams, "streams", 1, "")
	f.BoolVar(&m.test.UDP, "udp", false, "")
	f.IntVar(&m.test.MSS, "mss", 0, "")
	f.IntVar(&m.test.TOS, "tos", 0, "")
	f.BoolVar(&b.four, "ipv4", false, "")
	f.BoolVar(&b.six, "ipv6", false, "")
	f.BoolVar(&m.test.ServerOutput, "server-output", false, "")
	f.DurationVar(&m.client.Every, "every", time.Second, "")
	f.StringVar(&b.user, "user", "", "")
	f.StringVar(&b.key, "key", "", "")
	f.StringVar(&b.format, "format", "text", "")
	f.StringVar(&b.lang, "lang", "de", "")
	host, err := parseWithHost(f, args)
	if err != nil {
		return m, err
	}
	if m.addr, err = hostPort(host); err != nil {
		return m, err
	}
	return m, b.understand(&m)
}

// parseWithHost reads flags before and after the one argument.
func parseWithHost(f *flag.FlagSet, args []string) (host string, err error) {
	if err = f.Parse(args); err != nil {
		return "", err
	}
	if f.NArg() == 0 {
		return "", errors.New("measure against which iperf3 server? (HOST or HOST:PORT)")
	}
	return f.Arg(0), parse(f, f.Args()[1:])
}

// hostPort gives an address iperf3's port if it has none.
func hostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if a, notAddr := netip.ParseAddr(strings.Trim(s, "[]")); notAddr == nil {
		host, port, err = a.String(), strconv.Itoa(iperf3.DefaultPort), nil
	} else if err != nil && !strings.Contains(s, ":") {
		host, port, err = s, strconv.Itoa(iperf3.DefaultPort), nil
	}
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
		return "", fmt.Errorf("server %.80q: want HOST or HOST:PORT", s)
	}
	return net.JoinHostPort(host, port), nil
}

func (b bandwidthFlags) understand(m *measuring) error {
	t := &m.test
	t.Duration, t.Omit = b.time, b.omit
	var length, window int64
	for _, x := range []struct {
		name, text string
		read       func(string) (int64, error)
		into       *int64
	}{
		{"rate", b.rate, iperf3.ParseRate, &t.Rate},
		{"bytes", b.bytes, iperf3.ParseSize, &t.Bytes},
		{"length", b.length, iperf3.ParseSize, &length},
		{"window", b.window, iperf3.ParseSize, &window},
	} {
		var err error
		if *x.into, err = x.read(x.text); err != nil {
			return fmt.Errorf("--%s: %w", x.name, err)
		}
	}
	if length > iperf3.MaxLength || window > iperf3.MaxWindow {
		return fmt.Errorf("--length takes up to %d, --window up to %d", iperf3.MaxLength, iperf3.MaxWindow)
	}
	t.Length, t.Window = int(length), int(window)
	switch b.direction {
	case "each":
		m.directions = []iperf3.Direction{iperf3.Down, iperf3.Up}
	case "down":
		m.directions = []iperf3.Direction{iperf3.Down}
	case "up":
		m.directions = []iperf3.Direction{iperf3.Up}
	case "both":
		m.directions = []iperf3.Direction{iperf3.Both}
	default:
		return fmt.Errorf("direction %.20q: want each, down, up or both", b.direction)
	}
	if b.format != "text" && b.format != "json" {
		return fmt.Errorf("format %q: want text or json", b.format)
	}
	if m.json = b.format == "json"; m.client.Every < 100*time.Millisecond {
		return errors.New("--every wants at least 100ms")
	}
	return b.rest(m)
}

// rest are the flags about who speaks to whom, and how.
func (b bandwidthFlags) rest(m *measuring) (err error) {
	switch {
	case b.four && b.six:
		return errors.New("--ipv4 and --ipv6 exclude each other")
	case b.four:
		m.client.Network = "tcp4"
	case b.six:
		m.client.Network = "tcp6"
	}
	if m.say, err = speechOf(b.lang); err != nil {
		return err
	}
	if (b.user == "") != (b.key == "") {
		return errors.New("--user and --key belong together")
	}
	if b.user == "" {
		return nil
	}
	text, err := os.ReadFile(b.key)
	if err != nil {
		return err
	}
	key, err := iperf3.ParsePublicKey(text)
	if err != nil {
		return fmt.Errorf("%s: %w", b.key, err)
	}
	m.client.Login = &iperf3.Login{User: b.user, Password: os.Getenv("IPERF3_PASSWORD"), Key: key}
	return nil
}

// foreign is text of a far end made fit for a terminal.
func foreign(s string) string { return agent.Printable(s, 300) }

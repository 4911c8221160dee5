package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

const simulateArgs = `BOXES [flags]
  --nats URL       the bus (default nats://127.0.0.1:4222); it must let one user report for all
  --creds FILE     credentials for it
  --ca FILE        certificates to trust for it (default: the system's)
  --every D        between two reports of a box (default 5m)
  --for D          how long (default: until stopped)
  --past D         first send the reports of this long before now, as fast as the bus takes them
  --burst N        only send N reports, as fast as the bus takes them
  --rate N         at most so many of them a second
  --skip N         without the first N reports of each box, which were sent before
  --settle         wait at the end until all reports are in the history
  --seed N         another fleet, with other faults (default 1)
  --tenants N      default 3
  --isps N         default 40
  --networks FILE  write whose public addresses are whose, for serve --networks`

type simulateFlags struct {
	fleet           simulate.Config
	nats, creds, ca string
	length, past    time.Duration
	burst, skip     int
	rate            float64
	settle          bool
	networks        string
	connect         func() (*nats.Conn, error)
}

func parseSimulate(args []string) (s simulateFlags, err error) {
	f := flags("simulate")
	f.StringVar(&s.nats, "nats", nats.DefaultURL, "")
	f.StringVar(&s.creds, "creds", "", "")
	f.StringVar(&s.ca, "ca", "", "")
	f.DurationVar(&s.fleet.Every, "every", 5*time.Minute, "")
	f.DurationVar(&s.length, "for", 0, "")
	f.DurationVar(&s.past, "past", 0, "")
	f.IntVar(&s.burst, "burst", 0, "")
	f.IntVar(&s.skip, "skip", 0, "")
	f.Float64Var(&s.rate, "rate", 0, "")
	f.BoolVar(&s.settle, "settle", false, "")
	f.Uint64Var(&s.fleet.Seed, "seed", 1, "")
	f.IntVar(&s.fleet.Tenants, "tenants", 3, "")
	f.IntVar(&s.fleet.ISPs, "isps", 40, "")
	f.StringVar(&s.networks, "networks", "", "")
	pos, err := parseWith(f, args, "BOXES")
	if err != nil {
		return s, err
	}
	s.fleet.Boxes, err = strconv.Atoi(pos[0])
	switch {
	case err != nil || s.fleet.Boxes < 1 || s.fleet.Boxes > 1e6:
		return s, errUsage{fmt.Errorf("BOXES %.40q: want 1 to 1000000", pos[0])}
	case s.fleet.Every < time.Second || s.past < 0 || s.length < 0 || s.burst < 0:
		return s, errUsage{errors.New("--every wants at least 1s, --for, --past and --burst nothing below 0")}
	case s.skip < 0 || s.skip > 1e6 || s.rate < 0 || s.rate > 0 && s.burst == 0 || s.skip > 0 && s.past > 0:
		return s, errUsage{errors.New("--skip wants 0 to 1000000 and no --past, --rate nothing below 0 and a --burst")}
	case s.fleet.ISPs < 1 || s.fleet.ISPs > 500 || s.fleet.Tenants < 1:
		return s, errUsage{errors.New("--isps wants 1 to 500, --tenants at least 1")}
	}
	opts := []nats.Option{nats.Name("sprechprobe-simulate"), nats.Timeout(patience)}
	if s.ca != "" {
		opts = append(opts, nats.RootCAs(s.ca))
	}
	if s.creds != "" {
		who, err := hub.Credentials(s.creds)
		if err != nil {
			return s, err
		}
		opts = append(opts, who)
	}
	s.connect = func() (*nats.Conn, error) {
		nc, err := nats.Connect(s.nats, opts...)
		if err != nil {
			return nil, fmt.Errorf("bus %s: %w", s.nats, err)
		}
		return nc, nil
	}
	return s, nil
}

// runSimulate sends the reports of a fleet that there is not.
func runSimulate(ctx context.Context, e env, args []string) error {
	s, err := parseSimulate(args)
	if err != nil {
		return err
	}
	f := simulate.New(s.fleet)
	if s.networks != "" {
		if err := os.WriteFile(s.networks, []byte(f.Networks()), 0o644); err != nil {
			return err
		}
	}
	now := time.Now()
	if s.burst > 0 {
		first := s.skip * s.fleet.Boxes
		return s.send(ctx, e, f, simulate.Sending{From: now.Add(-time.Duration((first+s.burst)/s.fleet.Boxes) * s.fleet.Every),
			First: first, Reports: first + s.burst, Rate: s.rate})
	}
	past := s.skip + int(s.past/s.fleet.Every)
	from := now.Add(-time.Duration(past) * s.fleet.Every)
	if s.past > 0 {
		if err := s.send(ctx, e, f, simulate.Sending{From: from, Reports: past * s.fleet.Boxes}); err != nil {
			return err
		}
	}
	paced := simulate.Sending{From: from, First: past * s.fleet.Boxes, Paced: true}
	if s.length > 0 {
		paced.Reports = paced.First + int(int64(s.fleet.Boxes)*int64(s.length)/int64(s.fleet.Every))
	}
	return s.send(ctx, e, f, paced)
}

// send sends, and says what came of it.
func (s *simulateFlags) send(ctx context.Context, e env, f *simulate.Fleet, how simulate.Sending) error {
	how.Connect = s.connect
	began := time.Now()
	sent, err := f.Send(ctx, how)
	if err != nil && sent.Acknowledged == 0 {
		return err
	}
	fmt.Fprintf(e.out, "%d reports acknowledged by the bus, %d not, in %.1f s: %.0f/s\n",
		sent.Acknowledged, sent.Failed, sent.Took.Seconds(), float64(sent.Acknowledged)/sent.Took.Seconds())
	if err != nil || !s.settle {
		return err
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	all := time.Since(began)
	fmt.Fprintf(e.out, "all in the history after %.1f s: %.0f/s\n", all.Seconds(), float64(sent.Acknowledged)/all.Seconds())
	return nil
}

// settled waits until no report waits for the history.
func (s *simulateFlags) settled(ctx context.Context) error {
	nc, err := s.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for {
		c, err := js.Consumer(ctx, fleet.Stream, hub.Ingester)
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		if i := c.CachedInfo(); i.NumPending == 0 && i.NumAckPending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

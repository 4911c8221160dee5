package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/daemon"
)

// check makes one round and prints it.
func check(ctx context.Context, e env, args []string) (int, error) {
	f := flags("check")
	src := sourceFlags(f)
	format := f.String("format", "text", "")
	var more daemon.More
	f.BoolVar(&more.Bandwidth, "bandwidth", false, "")
	f.BoolVar(&more.Rehearsal, "rehearse", false, "")
	if err := parse(f, args); err != nil {
		return exitUsage, err
	}
	if *format != "text" && *format != "json" {
		return exitUsage, fmt.Errorf("format %q: want text or json", *format)
	}
	s, lang, err := src.speaking()
	if err != nil {
		return exitUsage, err
	}
	if more.Bandwidth && s.Config.Bandwidth.Server == "" {
		return exitUsage, errors.New("--bandwidth: the configuration names no server to measure against ([bandwidth] server)")
	}
	if c := s.Config; more.Rehearsal && c.Relay.Username == "" && len(c.Central.Servers) == 0 {
		return exitUsage, errors.New("--rehearse: the configuration names no credentials ([relay] username) and no vendor to ask for some ([central] servers)")
	}
	r := daemon.Check(ctx, s, more)
	if *format == "json" {
		err = writeJSON(e, r)
	} else {
		_, err = fmt.Fprint(e.out, advice.Check(r, lang))
	}
	return exitOf(r.Verdict), err
}

func exitOf(v agent.Verdict) int {
	switch v {
	case agent.Ready:
		return exitReady
	case agent.VerdictLimited:
		return exitLimited
	case agent.Blocked, agent.Offline:
		return exitBlocked
	default:
		return exitUnknown
	}
}

func writeJSON(e env, r agent.Report) error {
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// request prints the release request, from the newest report that run has kept
// or, where there is none, from a round of its own.
func request(ctx context.Context, e env, args []string) (int, error) {
	f := flags("request")
	src := sourceFlags(f)
	file := f.String("report", "", "")
	if err := parse(f, args); err != nil {
		return exitUsage, err
	}
	s, lang, err := src.speaking()
	if err != nil {
		return exitUsage, err
	}
	r, err := newestReport(ctx, e, s, *file)
	if err != nil {
		return exitFailed, err
	}
	_, err = fmt.Fprint(e.out, advice.Request(r, s.Profiles, advice.Site{Practice: s.Config.Box.Name}, lang))
	return 0, err
}

// newestReport reads the report that run keeps. One that is older than three
// rounds is not today's truth.
func newestReport(ctx context.Context, e env, s daemon.Setup, file string) (agent.Report, error) {
	named := file != ""
	if !named {
		file = daemon.ReportFile()
	}
	r, err := daemon.ReadReport(file)
	age := time.Since(r.Stamp.At)
	switch {
	case named:
		return r, err
	case err == nil && age > -time.Minute && age < 3*s.Config.Schedule.Every:
		return r, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(e.err, "sprechprobe request: the running box's report is of no use: %v\n", err)
	}
	fmt.Fprintln(e.err, "sprechprobe request: no fresh report of a running box, so this makes a round of its own")
	return daemon.Check(ctx, s, daemon.More{}), nil
}

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
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/daemon"
	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/cmd/internal/buildinfo"
)

// statusJSON is what status prints as JSON. Its fields are a contract.
type statusJSON struct {
	Schema   string            `json:"schema"`
	Running  bool              `json:"running"`
	Version  string            `json:"version"`
	Built    time.Time         `json:"version_at,omitzero"` // when its source was committed
	Verdict  agent.Verdict     `json:"verdict"`
	Sentence string            `json:"sentence"`
	State    string            `json:"state"` // of the lights, a word of "lights list"
	Means    string            `json:"means"`
	Lamps    map[string]string `json:"lamps"`            // by role: a letter each quarter of a second, - is dark
	At       time.Time         `json:"at,omitzero"`      // of the newest round
	AgeS     int64             `json:"age_s"`            // of the newest round
	Overdue  bool              `json:"overdue"`          // that round says nothing about now
	Code     string            `json:"code,omitempty"`   // to claim the box by
	Tenant   string            `json:"tenant,omitempty"` // whose it is
	Changes  []changeJSON      `json:"changes"`          // what is to be changed, the worst first
}

type changeJSON struct {
	Code  agent.Code `json:"code"`
	Title string     `json:"title"`
	Staff string     `json:"staff"`
	IT    string     `json:"it"`
}

// status says what the running box says. Its exit codes are those of check.
func status(_ context.Context, e env, args []string) (int, error) {
	f := flags("status")
	src := sourceFlags(f)
	format := f.String("format", "text", "")
	if err := parse(f, args); err != nil {
		return exitUsage, err
	}
	if *format != "text" && *format != "json" {
		return exitUsage, fmt.Errorf("format %q: want text or json", *format)
	}
	c, err := src.load()
	if err != nil {
		return exitUsage, err
	}
	lang, err := src.language(c)
	if err != nil {
		return exitUsage, err
	}
	r, err := daemon.ReadReport(daemon.ReportFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return exitUnknown, err
	}
	s := statusOf(c, r, daemon.Running(), daemon.Age(r), lang)
	if *format == "json" {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return exitOf(s.Verdict), enc.Encode(s)
	}
	_, err = fmt.Fprintf(e.out, "%s\n\n%s: %s\n\nsprechprobe %s\n", s.Sentence, s.State, s.Means, s.version())
	return exitOf(s.Verdict), err
}

// version says which it is, and of which day: an old one has missed its updates.
func (s statusJSON) version() string {
	if s.Built.IsZero() {
		return s.Version
	}
	return s.Version + " " + s.Built.Format(time.DateOnly)
}

// late is how many rounds may be left out before the newest is none of now.
const late = 3

// statusOf puts together what is known. Nothing that is old is told as the truth
// of now, and neither is anything of a box that does not run.
func statusOf(c config.Config, r agent.Report, running bool, age time.Duration, lang advice.Lang) statusJSON {
	s := statusJSON{Schema: "sprechprobe.status/1", Running: running, Version: buildinfo.Version(), Built: buildinfo.Time(), Changes: []changeJSON{}}
	if id, err := identity.Read(c.StateDir, c.Central.VendorKeys); err == nil && len(c.Central.Servers) > 0 && c.Box.Tenant == "" {
		s.Code = id.Code()
		if g, ok := id.Claimed(); ok {
			s.Tenant = g.Tenant
		}
	}
	known := r.Schema != ""
	if known {
		s.At, s.AgeS = r.Stamp.At, int64(age.Seconds())
		s.Overdue = !running || age < 0 || age > late*c.Schedule.Every+time.Minute
	}
	var show light.Show
	switch {
	case !running:
		show.State = light.Stopped
	case !known:
		show.State = light.Starting
	case s.Overdue:
		show.State = light.Unknown
	default:
		show = light.Of(r)
	}
	if s.Code != "" {
		show = show.Unclaimed()
	}
	s.State, s.Means = show.String(), advice.LampMeans(show.String(), lang)
	s.Lamps = map[string]string{}
	for _, role := range light.Roles() {
		s.Lamps[role.String()] = show.Pattern(role, light.Color).String()
	}
	if known && !s.Overdue {
		s.Verdict = r.Verdict
		s.Sentence = advice.Sentence(r, lang)
		for _, f := range advice.Order(r.Findings) {
			t := advice.For(f, lang)
			s.Changes = append(s.Changes, changeJSON{f.Code, t.Title, t.Staff, t.IT})
		}
		return s
	}
	s.Sentence = s.Means
	return s
}

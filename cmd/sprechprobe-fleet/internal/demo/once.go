package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/farends"
)

// How long things may take: everything, for each fault; and one wait for the
// box. Its slowest finding takes two rounds of silence, 15 s each at most.
const (
	deadline = 90 * time.Second
	patience = 45 * time.Second
)

// Once breaks things one after another, each named by its key or name: it waits
// until the box says so, prints what the light and the dashboard say, heals it,
// and waits until all is well again.
func Once(ctx context.Context, c Config, faults ...string) (err error) {
	var all []farends.Fault
	for _, name := range faults {
		f, err := farends.FaultOf(name)
		if err != nil {
			return err
		}
		all = append(all, f)
	}
	limit := deadline * time.Duration(max(1, len(all)))
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	s, err := build(ctx, c)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	if s.moved != "" {
		fmt.Fprintf(c.Out, "%s, so the dashboard is on %s\n", s.moved, s.url)
	}
	if err := s.act(ctx, "at first", nil, ready); err != nil {
		return err
	}
	for _, f := range all {
		if err := s.breakAndHeal(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) breakAndHeal(ctx context.Context, f farends.Fault) error {
	what := f.German
	if s.conf.Lang == advice.English {
		what = f.English
	}
	found := func(r agent.Report) bool { return finds(r, f.Codes[0]) }
	err := s.act(ctx, fmt.Sprintf("%s (%s)", f.Name, what), func() error { return s.ends.Break(f) }, found)
	if err != nil {
		return err
	}
	return s.act(ctx, "healed", s.ends.Heal, ready)
}

// act does something, waits until the box reports as wanted, and prints what
// everybody sees of it.
func (s *stage) act(ctx context.Context, title string, do func() error, want func(agent.Report) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %v", patience))
	defer cancel()
	began := time.Now()
	if do != nil {
		if err := do(); err != nil {
			return err
		}
		s.box.check()
	}
	r, err := s.waitFor(ctx, title, want)
	if err != nil {
		return err
	}
	took := time.Since(began)
	said := advice.Sentence(r, s.conf.Lang)
	seen, err := s.shows(ctx, said)
	if err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	fmt.Fprintf(s.conf.Out, "== %s: seen after %.1f s\nlight: %s\nsentence: %s\ndashboard: %s\n",
		title, took.Seconds(), s.light(ctx, r), said, seen)
	return nil
}

// shows waits until the dashboard says something of the box, and returns all that it
// says: a report is on the bus a little earlier than in the history.
func (s *stage) shows(ctx context.Context, said string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for t := time.NewTicker(100 * time.Millisecond); ; {
		page, err := s.fetch(ctx)
		if err != nil {
			return "", err
		}
		seen := rowText(page, "box."+tenant+"."+boxID)
		if strings.Contains(seen, fold(said)) {
			return seen, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the dashboard does not say %q, but %q", said, seen)
		case <-t.C:
		}
	}
}

// light is what the lights show for a report. They are set before the report
// leaves, but come here by another way.
func (s *stage) light(ctx context.Context, r agent.Report) string {
	wait := time.NewTimer(3 * time.Second)
	defer wait.Stop()
	for {
		l := s.box.now()
		if strings.HasPrefix(l.word, r.Verdict.String()) || r.Verdict == agent.Offline && strings.HasPrefix(l.word, "no-") {
			return l.String()
		}
		select {
		case <-s.box.changed:
		case <-wait.C:
			return l.String()
		case <-ctx.Done():
			return l.String()
		}
	}
}

func ready(r agent.Report) bool {
	return r.Verdict == agent.Ready && !slices.ContainsFunc(r.Findings, func(f agent.Finding) bool { return f.Severity > agent.Info })
}

// finds reports whether a code is found, and does harm: a round that was under
// way when the fault came may have seen the half of it.
func finds(r agent.Report, c agent.Code) bool {
	return slices.ContainsFunc(r.Findings, func(f agent.Finding) bool { return f.Code == c && f.Severity > agent.Info })
}

// rowText is what a reader sees of the element with an id, without what is
// folded away.
func rowText(page, id string) string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return ""
	}
	var out strings.Builder
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && inside(n, func(p *html.Node) bool { return attr(p, "id") == id }) &&
			!inside(n, func(p *html.Node) bool { return p.Data == "details" }) {
			out.WriteString(n.Data + " ")
		}
	}
	return fold(out.String())
}

func inside(n *html.Node, is func(*html.Node) bool) bool {
	for p := range n.Ancestors() {
		if is(p) {
			return true
		}
	}
	return false
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func fold(s string) string { return strings.Join(strings.Fields(s), " ") }

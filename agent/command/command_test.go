package command_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/command"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet/fleettest"
)

var nord = fleet.Address{Tenant: "acme", Box: "nord"}

const reply = "_INBOX.vendor.1"

// box is a guard with a clock that the test moves.
type box struct {
	*command.Guard
	now    time.Time
	unset  bool
	vendor *fleettest.Vendor
	n      int
}

func newBox(t *testing.T) *box {
	b := &box{now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), vendor: fleettest.NewVendor(t)}
	b.Guard = command.NewGuard(nord, []string{b.vendor.Key()}, func() time.Time { return b.now }, func() bool { return !b.unset })
	return b
}

// cmd signs a command of a fresh id, issued now.
func (b *box) cmd(name string) fleet.Command {
	b.n++
	return fleet.Command{Tenant: "acme", Box: "nord", Name: name, ID: fmt.Sprintf("%016d", b.n), IssuedAt: b.now}
}

func (b *box) send(c fleet.Command) string {
	return b.raw(nord.Command(c.Name), reply, b.vendor.Seal(fleet.CommandSchema, c))
}

// raw says what becomes of a message.
func (b *box) raw(subject, reply string, sealed []byte) string {
	c, no := b.Admit(subject, reply, sealed)
	switch {
	case no != nil && c == nil:
		return no.Text
	case no == nil && c == nil:
		return "dropped"
	default:
		return "accepted"
	}
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestEachCommand(t *testing.T) {
	b := newBox(t)
	for _, name := range fleet.CommandNames {
		want(t, name, b.send(b.cmd(name)), "accepted")
	}
}

// Without a reply subject or a signature there is not even an answer: it may be the
// bus itself that was made to write to the box.
func TestDropped(t *testing.T) {
	b := newBox(t)
	good := b.vendor.Seal(fleet.CommandSchema, b.cmd(fleet.Check))
	other := b.cmd(fleet.Check)
	other.Box = "sued"
	elsewhere := b.cmd(fleet.Check)
	elsewhere.Tenant = "other"
	subject := nord.Command(fleet.Check)
	for name, m := range map[string]struct {
		subject, reply string
		sealed         []byte
	}{
		"no reply subject":       {subject, "", good},
		"nothing":                {subject, reply, nil},
		"an acknowledgement":     {subject, reply, []byte(`{"stream":"S","seq":7}`)},
		"another vendor":         {subject, reply, fleettest.NewVendor(t).Seal(fleet.CommandSchema, b.cmd(fleet.Check))},
		"another box's":          {subject, reply, b.vendor.Seal(fleet.CommandSchema, other)},
		"another tenant's":       {subject, reply, b.vendor.Seal(fleet.CommandSchema, elsewhere)},
		"sent as something else": {nord.Command(fleet.Bandwidth), reply, good},
		"an assignment":          {subject, reply, b.vendor.Seal(fleet.AssignmentSchema, fleet.Assignment{Tenant: "acme", Box: "nord", Version: 1})},
		"endless":                {subject, reply, bytes.Repeat(good, 1000)},
	} {
		want(t, name, b.raw(m.subject, m.reply, m.sealed), "dropped")
	}
	want(t, "the good one", b.raw(subject, reply, good), "accepted")
	got := b.Notes()
	diff := cmp.Diff([]agent.CommandNote{{Name: fleet.Check, ID: "0000000000000001", Answer: "accepted", Count: 1}, {Answer: "no-reply-subject", Count: 1}, {Answer: "unsigned", Count: 8}},
		got, cmp.Transformer("sorted", sorted))
	if diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if again := b.Notes(); len(again) != 0 {
		t.Errorf("notes come twice: %+v", again)
	}
}

func sorted(n []agent.CommandNote) map[string]agent.CommandNote {
	m := map[string]agent.CommandNote{}
	for _, n := range n {
		m[n.Answer+n.ID] = n
	}
	return m
}

// A recorded command does nothing when it is played back.
func TestReplay(t *testing.T) {
	b := newBox(t)
	c := b.cmd(fleet.Identify)
	want(t, "first", b.send(c), "accepted")
	b.now = b.now.Add(time.Minute)
	want(t, "again", b.send(c), "twice")
	b.now = b.now.Add(time.Hour)
	want(t, "after an hour", b.send(c), "too-old")
	c.IssuedAt = b.now.Add(time.Hour)
	want(t, "from the future", b.send(c), "too-old")
}

// A clock that was never set cannot judge age; order still counts.
func TestReplayWithoutClock(t *testing.T) {
	b := newBox(t)
	b.unset = true
	vendor := b.now.AddDate(50, 0, 0)
	c := b.cmd(fleet.Identify)
	c.IssuedAt = vendor
	want(t, "first", b.send(c), "accepted")
	want(t, "again", b.send(c), "twice")
	old := b.cmd(fleet.Identify)
	old.IssuedAt = vendor.Add(-time.Hour)
	want(t, "one from before", b.send(old), "too-old")
	later := b.cmd(fleet.Identify)
	later.IssuedAt = vendor.Add(time.Hour)
	b.now = b.now.Add(time.Minute)
	want(t, "a later one", b.send(later), "accepted")
	want(t, "the first, when its id is forgotten", b.send(c), "too-old")
}

func TestRates(t *testing.T) {
	b := newBox(t)
	want(t, "first", b.send(b.cmd(fleet.Bandwidth)), "accepted")
	want(t, "second", b.send(b.cmd(fleet.Bandwidth)), "too-often")
	want(t, "another kind", b.send(b.cmd(fleet.Check)), "accepted")
	b.now = b.now.Add(10*time.Minute - time.Second)
	want(t, "a moment too early", b.send(b.cmd(fleet.Bandwidth)), "too-often")
	b.now = b.now.Add(time.Second)
	want(t, "in time", b.send(b.cmd(fleet.Bandwidth)), "accepted")
	b.now = b.now.AddDate(-3, 0, 0) // the clock was set back
	b.send(b.cmd(fleet.Last))
	b.now = b.now.AddDate(3, 0, 1)
	want(t, "after the clock was wrong", b.send(b.cmd(fleet.Bandwidth)), "accepted")
}

// However many come, signed or not, few signatures are checked, few commands are
// obeyed, and the notes stay short.
func TestFlood(t *testing.T) {
	b := newBox(t)
	bad := bytes.Replace(b.vendor.Seal(fleet.CommandSchema, b.cmd(fleet.Last)), []byte("acme"), []byte("emca"), 1)
	for range 100_000 {
		want(t, "unsigned", b.raw(nord.Command(fleet.Last), reply, bad), "dropped")
	}
	notes := sorted(b.Notes())
	if n := notes["unsigned"].Count; n == 0 || n > 50 || notes["flood"].Count+n != 100_000 {
		t.Errorf("notes %+v: want few signatures checked, and all 100000 counted", notes)
	}
	b.now = b.now.Add(time.Minute)
	accepted := 0
	const second = 600 // a flood of ten minutes
	for range second {
		for range 20 {
			if b.send(b.cmd(fleet.Check)) == "accepted" {
				accepted++
			}
		}
		b.now = b.now.Add(time.Second)
	}
	if accepted < 15 || accepted > 25 {
		t.Errorf("%d rounds in 10 minutes, want about 20", accepted)
	}
	got := b.Notes()
	total := 0
	for _, n := range got {
		total += n.Count
	}
	if len(got) > 20 || total != 20*second {
		t.Errorf("%d notes about %d commands, want few about all %d", len(got), total, 20*second)
	}
}

// One line of notes per command says how it went.
func TestFailed(t *testing.T) {
	b := newBox(t)
	c := b.cmd(fleet.Bandwidth)
	want(t, "bandwidth", b.send(c), "accepted")
	b.Failed(c, command.Unsupported)
	if diff := cmp.Diff([]agent.CommandNote{{Name: fleet.Bandwidth, ID: c.ID, Answer: "unsupported", Count: 1}}, b.Notes()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

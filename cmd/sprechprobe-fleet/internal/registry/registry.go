// Package registry keeps, in memory, what each box of the fleet said last and
// when. It knows neither the bus nor the page; what came before it starts it gets
// from the history.
package registry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// Key is a box as the bus vouches for it.
type Key struct {
	Tenant, Box string
}

// Box is what is known of one box. It is a value; its Report must not be
// changed.
type Box struct {
	Key
	Report    agent.Report  // the newest one; Schema empty: none could be read
	Boot      string        // the run of the box's program that sent it
	EventAt   time.Time     // when the box made it, by the better of two clocks
	ArrivedAt time.Time     // when the box was last heard of
	FirstSeen time.Time     // of what the bus still holds
	Interval  time.Duration // between its reports; 0: not known yet
	Silent    bool          // not heard of for too long, which is not a verdict
	Call      Call          // its newest call for help; zero: none

	Reports    uint64 // read and taken, late ones included
	Duplicates uint64 // dropped, for they had come before
	Late       uint64 // older than what was known of the box when they came
	Unreadable uint64 // hostile, broken, or of a schema that we do not know

	Beat     fleet.Beat // the newest one; Schema empty: none, or none for long
	BeatBoot string     // the run that sent it
	BeatAt   time.Time  // when it came
	TwinAt   time.Time  // when two boxes last spoke in turn as this one; zero: never

	Revision uint64 // changes with everything above
}

// Call is a call for help: by a name that a box looks up when nothing else gets
// out.
type Call struct {
	Reason agent.Reason // why it cannot report
	At     time.Time
}

// Blocked reports whether the box is alive and cannot get through: it has called
// since it last reported.
func (b Box) Blocked() bool { return b.Call.At.After(b.ArrivedAt) }

// Twin reports whether two machines speak as this box: somebody has copied its card,
// and with it its key.
func (b Box) Twin() bool { return b.ArrivedAt.Sub(b.TwinAt) < twins }

// Behind reports whether the box has made a newer report than the one shown,
// which waits behind others.
func (b Box) Behind() bool {
	return b.Beat.Seq > 0 && (b.BeatBoot != b.Boot || b.Beat.Seq > b.Report.Seq)
}

// Verdict is the newest one known, which is not that of a report of the past.
func (b Box) Verdict() agent.Verdict {
	if b.Behind() {
		return b.Beat.Verdict
	}
	return b.Report.Verdict
}

// Stats counts what concerns no single box.
type Stats struct {
	Boxes   int
	Foreign uint64 // messages on subjects that are no report's
	Refused uint64 // messages of boxes beyond the limit
}

// Config bounds a registry. Zero fields take defaults.
type Config struct {
	MaxBoxes int              // default 10000
	Now      func() time.Time // default time.Now
	Log      *slog.Logger     // default: discard
}

// Registry is safe for concurrent use.
type Registry struct {
	conf Config

	mu       sync.Mutex
	boxes    map[Key]*entry
	trouble  map[Key]*entry // those of Troubled
	stats    Stats
	full     bool          // said once
	view     func(Box) Box // how others see a box; nil: as it is
	revision uint64
	watchers map[chan struct{}]struct{}
}

// New makes an empty registry.
func New(c Config) *Registry {
	if c.MaxBoxes == 0 {
		c.MaxBoxes = 10000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Registry{conf: c, boxes: map[Key]*entry{}, trouble: map[Key]*entry{}, watchers: map[chan struct{}]struct{}{}}
}

// Take reads one message from the bus. Who speaks is taken from the subject,
// which the bus has checked, never from the payload. arrived is when the bus
// got it.
func (r *Registry) Take(subject, boot string, payload []byte, arrived time.Time) {
	tenant, box, err := fleet.ParseReportSubject(subject)
	if err != nil {
		r.mu.Lock()
		r.stats.Foreign++
		r.mu.Unlock()
		return
	}
	key := Key{tenant, box}
	report, err := decode(payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(key, arrived)
	if e == nil {
		return
	}
	if err != nil {
		r.unreadable(e, err, arrived)
	} else {
		r.take(e, report, boot, arrived)
	}
	r.changed(e)
}

// Restore enters a box as the history knows it, before anything is taken.
func (r *Registry) Restore(b history.Box, report agent.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(Key{b.Tenant, b.Box}, b.FirstAt)
	if e == nil || e.Reports > 0 {
		return
	}
	if report.Schema == "" { // its time is over; the verdict stays
		report.Verdict = b.Verdict
		report.Box.Name, report.Box.Version = b.Name, b.Version
	}
	report.Box.ID, report.Tenant = b.Box, b.Tenant
	e.known(report, b.Boot)
	e.Report, e.Boot, e.EventAt, e.ArrivedAt = proven(report), b.Boot, b.EventAt, b.ArrivedAt
	e.Interval, e.Reports = b.Interval, b.Reports
	r.changed(e)
}

// Forget drops a box, until it reports again.
func (r *Registry) Forget(k Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.boxes, k)
	delete(r.trouble, k)
	r.revision++
	r.tell()
}

// Call notes that a box has called for help. Who has called is for the caller to
// have found out.
func (r *Registry) Call(k Key, c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entry(k, c.At); e != nil {
		e.Box.Call = c
		r.changed(e)
	}
}

// Hear reads one beat from the bus, in the way of Take.
func (r *Registry) Hear(subject, boot string, payload []byte, arrived time.Time) {
	tenant, box, _, err := fleet.ParseBeatSubject(subject)
	if err != nil {
		r.mu.Lock()
		r.stats.Foreign++
		r.mu.Unlock()
		return
	}
	beat, err := fleet.DecodeBeat(payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(Key{tenant, box}, arrived)
	if e == nil {
		return
	}
	if err != nil {
		r.unreadable(e, err, arrived)
	} else {
		e.hear(beat, boot, arrived)
	}
	r.changed(e)
}

// entry finds or makes the entry of a box; nil beyond the limit.
func (r *Registry) entry(k Key, arrived time.Time) *entry {
	if e := r.boxes[k]; e != nil {
		return e
	}
	if len(r.boxes) >= r.conf.MaxBoxes {
		r.stats.Refused++
		if !r.full {
			r.full = true
			r.conf.Log.Warn("more boxes than allowed, new ones are not shown", "max", r.conf.MaxBoxes)
		}
		return nil
	}
	e := &entry{Box: Box{Key: k, FirstSeen: arrived}}
	r.boxes[k] = e
	return e
}

func (r *Registry) unreadable(e *entry, err error, arrived time.Time) {
	if e.Unreadable == 0 {
		r.conf.Log.Warn("report cannot be read", "tenant", e.Tenant, "box", e.Key.Box, "err", err)
	}
	e.Unreadable++
	e.heard(arrived)
}

func (r *Registry) take(e *entry, report agent.Report, boot string, arrived time.Time) {
	if report.Box.ID != e.Key.Box || report.Tenant != e.Tenant {
		if !e.misnamed {
			e.misnamed = true
			r.conf.Log.Warn("report bears another name", "tenant", e.Tenant, "box", e.Key.Box,
				"named", clip(report.Tenant+"/"+report.Box.ID))
		}
		report.Box.ID, report.Tenant = e.Key.Box, e.Tenant
	}
	e.take(report, boot, arrived)
}

// changed gives e a new revision and tells who watches.
func (r *Registry) changed(e *entry) {
	r.revision++
	e.Revision = r.revision
	e.Silent = e.silent(r.conf.Now())
	if e.Blocked() || e.Report.Schema == "" && e.Reports == 0 {
		r.trouble[e.Key] = e
	} else {
		delete(r.trouble, e.Key)
	}
	r.tell()
}

func (r *Registry) tell() {
	for c := range r.watchers {
		select {
		case c <- struct{}{}:
		default: // it has not yet seen the last change
		}
	}
}

// Revision changes whenever a box does.
func (r *Registry) Revision() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revision
}

// Boxes returns every box, in no order.
func (r *Registry) Boxes() []Box {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Box, 0, len(r.boxes))
	for _, e := range r.boxes {
		all = append(all, r.seen(e))
	}
	return all
}

// View sets how all boxes are seen from now on: what a fleet knows can give a
// finding another cause than the box did. nil: as they are. how must not change a
// report, but may return another.
func (r *Registry) View(how func(Box) Box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.view = how
	for _, e := range r.boxes {
		r.revision++
		e.Revision = r.revision
	}
	r.tell()
}

// Raw returns every box as it spoke, in no order.
func (r *Registry) Raw() []Box {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Box, 0, len(r.boxes))
	for _, e := range r.boxes {
		all = append(all, e.Box)
	}
	return all
}

func (r *Registry) seen(e *entry) Box {
	if r.view == nil {
		return e.Box
	}
	return r.view(e.Box)
}

// Box returns one box, and whether it is known.
func (r *Registry) Box(k Key) (Box, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.boxes[k]
	if e == nil {
		return Box{}, false
	}
	return r.seen(e), true
}

// Stats returns the counters.
func (r *Registry) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Boxes = len(r.boxes)
	return s
}

// Watch returns a channel that gets a value after changes; several changes may
// come as one. stop ends it.
func (r *Registry) Watch() (changes <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	r.mu.Lock()
	r.watchers[c] = struct{}{}
	r.mu.Unlock()
	return c, func() {
		r.mu.Lock()
		delete(r.watchers, c)
		r.mu.Unlock()
	}
}

// Run notices who fell silent, until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			r.listen()
		}
	}
}

func (r *Registry) listen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.conf.Now()
	for _, e := range r.boxes {
		if e.silent(now) != e.Silent {
			r.changed(e)
		}
	}
}

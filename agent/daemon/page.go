package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/light"
	"github.com/sprechprobe/sprechprobe/agent/localname"
	"github.com/sprechprobe/sprechprobe/agent/statuspage"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// unclaimed reports whether the box belongs to nobody yet: it can be claimed, or
// neither its configuration nor a grant names an owner.
func (l *loop) unclaimed() bool {
	return l.identity().Code != "" || l.setup.Config.Box.Tenant == ""
}

// showsPage reports whether the box is to show its page now.
func (l *loop) showsPage() bool {
	c := l.setup.Config.Page
	return c.Show == config.Always || c.Show == config.Unclaimed && l.unclaimed()
}

// newPage makes the page, with what a program before this one has seen.
func (s Setup) newPage(log *slog.Logger) *statuspage.Page {
	p := statuspage.New(statuspage.Config{
		Name: s.Config.Page.Name, Lang: advice.Lang(s.Config.Language),
		Overdue: max(3*s.Config.Schedule.Every, time.Minute) + overdue,
	})
	b, err := strict.ReadFile(historyFile())
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	var h statuspage.History
	if err == nil {
		err = h.UnmarshalText(b)
	}
	if err != nil {
		log.Warn("history of the page begins anew", "err", err)
		return p
	}
	p.Remember(h)
	return p
}

// historyFile is where the page's history outlives the program, but not the boot:
// its times count from there.
func historyFile() string { return filepath.Join(filepath.Dir(ReportFile()), "history") }

// listenAgain is how long to wait for an address or port that is not to be had.
const listenAgain = 30 * time.Second

// servePage answers at the door that the service manager holds open, or at one
// of our own. One that cannot be had is waited for: the box works without.
func servePage(ctx context.Context, at netip.AddrPort, door net.Listener, h statuspage.Handler, log *slog.Logger) error {
	said := ""
	for {
		ln, err := doorOf(at, door)
		if err == nil {
			log.Info("page is shown", "addr", ln.Addr().String())
			return statuspage.Serve(ctx, ln, h)
		}
		if err.Error() != said {
			log.Warn("page is not shown", "err", err)
			said = err.Error()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenAgain):
		}
	}
}

// doorOf opens a listener that may be closed without taking the service
// manager's away.
func doorOf(at netip.AddrPort, door net.Listener) (net.Listener, error) {
	if t, ok := door.(*net.TCPListener); ok {
		f, err := t.File()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return net.FileListener(f)
	}
	if at.Addr().IsUnspecified() {
		return net.ListenTCP("tcp", &net.TCPAddr{Port: int(at.Port())}) // both families
	}
	return net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
}

// notice is the box's presence on its own network: a page, and a name for it.
type notice struct {
	page *statuspage.Page
	name *localname.Responder // nil: none
	addr string
}

// place takes from a look at the local side where the box is.
func (n *notice) place(e agent.Evidence) {
	if e.Probe != agent.ProbeLink || e.Outcome == agent.NotLooked {
		return
	}
	p := localname.Place{Interface: e.Values.Text(agent.Interface)}
	n.addr = ""
	if local, err := netip.ParsePrefix(e.Values.Text(agent.LocalAddr)); err == nil {
		p.Addr, n.addr = local, local.Addr().String()
	}
	if n.name != nil {
		n.name.Move(p)
	}
}

// openPage starts what the configuration and the service manager ask for.
func (l *loop) openPage(start func(name string, task func(context.Context) error)) {
	c, door, log := l.setup.Config.Page, l.opts.Door, l.opts.Log
	if !l.showsPage() {
		if door != nil { // somebody may knock, and should not be left standing
			start("page", func(ctx context.Context) error { return servePage(ctx, c.Listen, door, statuspage.Off{}, log) })
		}
		return
	}
	l.notice = &notice{page: l.setup.newPage(log)}
	start("page", func(ctx context.Context) error { return servePage(ctx, c.Listen, door, l.notice.page, log) })
	if c.Name != "" {
		l.notice.name = localname.New(c.Name, log)
		start("name", l.notice.name.Run)
	}
}

// post puts the newest state of things on the page.
func (l *loop) post(now light.Show) {
	if l.notice == nil {
		return
	}
	l.notice.page.Show(statuspage.State{
		Box: l.setup.box(), Addr: l.notice.addr, Code: l.identity().Code, Report: l.shown(), Profiles: l.setup.Profiles,
		Show: now, Steps: l.arrival.steps, Looking: l.arrival.looking(), Took: l.arrival.took,
	})
}

// keepHistory leaves the page's history to a program after this one.
func (l *loop) keepHistory() {
	h := l.notice.page.History()
	b, err := h.MarshalText()
	if err == nil {
		err = keepFile(historyFile(), b)
	}
	if err != nil {
		l.opts.Log.Debug("history of the page not kept", "err", err)
	}
}

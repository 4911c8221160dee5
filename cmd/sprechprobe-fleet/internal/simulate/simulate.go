// Package simulate makes up the reports of a fleet: practices with days and nights,
// providers, faults of their own and outages of others. The same seed makes the same
// fleet. Its names and addresses belong to nobody (RFC 2544, RFC 2606, RFC 5398).
package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// Config says which fleet. Zero fields take defaults.
type Config struct {
	Boxes   int
	Seed    uint64
	Every   time.Duration // between two reports of a box; default 5 min
	Tenants int           // default 3
	ISPs    int           // 1 to 500; default 40
	Outages []Outage      // nil: one in each hour, of the service or of a provider
	// Faulty is the share of practices that have a fault of their own on any day, 0
	// to 1; 0: 0.06.
	Faulty float64
}

// Outage is a fault that is no practice's own.
type Outage struct {
	Cause       agent.Cause // CauseVendor or CauseISP
	ISP         int         // whose, of an ISP's
	Service     int         // index of the service that cannot be reached
	From, Until time.Time
}

// Services are what the fleet looks at.
var Services = [...]string{"turn.video.example:3478/udp", "group.video.example:8443/tcp", "www.video.example:443/tcp"}

// codes are what a box says of a service that it does not reach.
var codes = [...]agent.Code{agent.TURNAllBlock, agent.GroupBlockAll, agent.HTTPSBlock}

// Fleet is a simulated fleet. It is safe for concurrent use: it holds no state but
// its configuration.
type Fleet struct{ conf Config }

// New makes a fleet.
func New(c Config) *Fleet {
	if c.Every == 0 {
		c.Every = 5 * time.Minute
	}
	if c.Tenants == 0 {
		c.Tenants = 3
	}
	if c.ISPs == 0 {
		c.ISPs = 40
	}
	if c.Faulty == 0 {
		c.Faulty = 0.06
	}
	return &Fleet{c}
}

// random is a source of its own for one purpose.
func (f *Fleet) random(what, i, j uint64) *rand.Rand {
	return rand.New(rand.NewPCG(f.conf.Seed^what<<56, i<<32^j))
}

const (
	ofBox = iota + 1
	ofDay
	ofLook
	ofHour
)

// practice is what of a box does not change.
type practice struct {
	isp     int
	base    float64 // round trip, milliseconds
	line    float64 // bit/s, down
	evening float64 // how much the line suffers when all are at home
	boot    uint64
}

func (f *Fleet) practice(i int) practice {
	r := f.random(ofBox, uint64(i), 0)
	p := practice{boot: r.Uint64()}
	// A few providers have most practices.
	p.isp = int(math.Pow(r.Float64(), 2.5) * float64(f.conf.ISPs))
	kind := (uint64(p.isp)*7 + f.conf.Seed) % 4
	p.base = []float64{9, 17, 22, 48}[kind] * (0.8 + 0.5*r.Float64())
	p.line = []float64{250e6, 100e6, 50e6, 30e6}[kind] * (0.6 + 0.5*r.Float64())
	p.evening = []float64{0.1, 0.9, 0.3, 0.8}[kind] * r.Float64()
	return p
}

// Address is where box i stands on the bus.
func (f *Fleet) Address(i int) fleet.Address {
	return fleet.Address{Tenant: fmt.Sprintf("tenant-%d", i%f.conf.Tenants+1), Box: fmt.Sprintf("box-%06d", i+1)}
}

// ISP is the number of the provider of box i, from 0.
func (f *Fleet) ISP(i int) int { return f.practice(i).isp }

// Networks is the table of providers, as package networks reads it.
func (f *Fleet) Networks() string {
	var b strings.Builder
	for isp := range f.conf.ISPs {
		fmt.Fprintf(&b, "%s/24,AS%d Provider %d\n", address(isp, 0), 64496+isp%16+isp/16*65536, isp+1)
	}
	return b.String()
}

// address is a public address of a provider, in the range for benchmarks.
func address(isp, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, byte(18 + isp/256), byte(isp), byte(host)})
}

// At is when box i makes its report number n after a moment: the boxes of a fleet
// are spread over the interval.
func (f *Fleet) At(i int, n uint64, from time.Time) time.Time {
	phase := time.Duration(float64(f.conf.Every) * float64(i) / float64(f.conf.Boxes))
	return from.Add(time.Duration(n)*f.conf.Every + phase)
}

// Own is the fault that practice i has of its own at a moment, and whether it has
// one.
func (f *Fleet) Own(i int, at time.Time) (agent.Finding, bool) {
	day := uint64(at.Unix() / 86400)
	r := f.random(ofDay, uint64(i), day)
	if r.Float64() >= f.conf.Faulty {
		return agent.Finding{}, false
	}
	begins, lasts := r.IntN(86400), 1800+r.IntN(86400)
	which := r.IntN(5)
	if now := int(at.Unix() % 86400); now < begins || now > begins+lasts {
		return agent.Finding{}, false
	}
	fault := agent.Finding{Severity: agent.Major, Cause: agent.CausePractice, SinceAt: time.Unix(int64(day)*86400+int64(begins), 0).UTC()}
	switch which {
	case 0: // the firewall of the practice is between it and the service
		fault.Code, fault.Target, fault.Severity = agent.TURNAllBlock, Services[0], agent.Critical
	case 1:
		fault.Code, fault.Target = agent.GroupBlockAll, Services[1]
	case 2:
		fault.Code, fault.Target = agent.TURNUDPBlock, Services[0]
	case 3:
		fault.Code = agent.LANUnstable
	case 4:
		fault.Code = agent.NATEDM
		fault.Severity = agent.Minor
	}
	fault.Args = args(fault)
	return fault, true
}

// args are what a box's texts need to know of a finding.
func args(f agent.Finding) map[string]string {
	if f.Code == agent.LANUnstable {
		return map[string]string{"gateway": "192.168.178.1", "lost": "3", "of": "20"}
	}
	at, transport, _ := strings.Cut(f.Target, "/")
	host, port, _ := strings.Cut(at, ":")
	all := map[string]string{"host": host, "hosts": host, "port": port, "ports": strings.ToUpper(transport) + " " + port, "addrs": "192.0.2.7"}
	out := map[string]string{}
	for _, name := range agent.Args[f.Code] {
		if v, ok := all[name]; ok && host != "" {
			out[name] = v
		}
	}
	return out
}

// Outage is the outage of others that box i suffers from at a moment, and whether
// there is one.
func (f *Fleet) Outage(i int, at time.Time) (Outage, bool) {
	for _, o := range f.outages(at) {
		if !at.Before(o.From) && at.Before(o.Until) && (o.Cause == agent.CauseVendor || o.ISP == f.ISP(i)) {
			return o, true
		}
	}
	return Outage{}, false
}

// outages are those of a moment: in each hour from minute 20 to 35, of the service
// or of one of the larger providers.
func (f *Fleet) outages(at time.Time) []Outage {
	if f.conf.Outages != nil {
		return f.conf.Outages
	}
	hour := at.Truncate(time.Hour)
	r := f.random(ofHour, uint64(hour.Unix()), 0)
	o := Outage{Cause: agent.CauseVendor, Service: r.IntN(len(Services)), From: hour.Add(20 * time.Minute), Until: hour.Add(35 * time.Minute)}
	if r.IntN(3) > 0 {
		o.Cause, o.ISP = agent.CauseISP, r.IntN(max(1, f.conf.ISPs/8))
	}
	return []Outage{o}
}

// Report is what box i says for the n-th time, at a moment, and the run that says
// it. A box sees that it does not reach a service, and takes its own practice for
// the cause: it knows no better.
func (f *Fleet) Report(i int, n uint64, at time.Time) (boot string, r agent.Report) {
	p := f.practice(i)
	look := f.random(ofLook, uint64(i), uint64(at.UnixNano()))
	a := f.Address(i)
	r = agent.Report{
		Schema: agent.Schema, Tenant: a.Tenant, Seq: n + 1, Trigger: agent.OnSchedule,
		Box:    agent.Box{ID: a.Box, Name: fmt.Sprintf("Praxis %d", i+1), Version: []string{"1.0.0", "1.0.1", "1.1.0"}[p.boot%3], Board: "rpi4", Platform: "linux/arm64"},
		Stamp:  agent.Stamp{At: at.UTC().Truncate(time.Millisecond), Clock: agent.ClockSet, UptimeS: 300 + float64(n)*f.conf.Every.Seconds()},
		TookMS: 1500 + int64(look.IntN(1500)), Verdict: agent.Ready, Findings: []agent.Finding{},
		Capabilities: agent.Capabilities{agent.Direct: agent.OK, agent.Relay: agent.OK, agent.Group: agent.OK, agent.HD: agent.OK, agent.Reporting: agent.OK},
	}
	bad := [len(Services)]bool{}
	if o, ok := f.Outage(i, at); ok {
		bad[o.Service] = true
		since := at.Add(-at.Sub(o.From).Truncate(f.conf.Every)) // when the box first saw it
		out := agent.Finding{Code: codes[o.Service], Severity: agent.Critical, Cause: agent.CausePractice, Target: Services[o.Service], SinceAt: since.UTC()}
		out.Args = args(out)
		r.Findings = append(r.Findings, out)
	}
	if own, ok := f.Own(i, at); ok && !slices.ContainsFunc(r.Findings, func(x agent.Finding) bool { return x.Code == own.Code }) {
		r.Findings = append(r.Findings, own)
		if s := slices.Index(Services[:], own.Target); s >= 0 && own.Severity == agent.Critical {
			bad[s] = true
		}
	}
	f.look(&r, p, bad, look, i)
	judge(&r)
	return fmt.Sprintf("%016x", p.boot), r
}

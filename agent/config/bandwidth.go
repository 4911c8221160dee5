package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/schedule/quiet"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

const (
	// iperf3Port is where such servers are found unless said otherwise.
	iperf3Port = 5201
	maxClosed  = 16
	// maxUser is what one block of a login's cipher has room for, and more than
	// anybody is called.
	maxUser = 64
	// longest is how long a measurement takes with everything.
	longest = 2 * time.Minute
)

func bandwidth(at strict.Place, raw rawBandwidth, otherwise Bandwidth) Bandwidth {
	b := otherwise
	if at.Key("server").Set() {
		var err error
		b.Server, err = measured(raw.Server)
		check(at.Key("server"), err)
	}
	b.login(at, raw)
	b.Every = within(at.Key("every"), raw.Every, b.Every, time.Hour, 7*24*time.Hour)
	if at.Key("closed").Set() {
		b.Closed = raw.Closed
	}
	b.Window, b.Capacity = raw.Window, raw.Capacity
	if raw.Zone != nil {
		b.Zone = *raw.Zone
	}
	b.PerDay = budget(at.Key("max_bytes_per_day"), raw.PerDay, b.PerDay)
	b.PerMonth = budget(at.Key("max_bytes_per_month"), raw.PerMonth, b.PerMonth)
	b.hours(at)
	return b
}

func (b *Bandwidth) login(at strict.Place, raw rawBandwidth) {
	b.User, b.PasswordFile, b.KeyFile = raw.User, raw.PasswordFile, raw.KeyFile
	path(at.Key("password_file"), b.PasswordFile)
	path(at.Key("key_file"), b.KeyFile)
	if at.Key("user").Set() {
		check(at.Key("user"), strict.Label(b.User, maxUser))
		if b.User == "" || strings.Contains(b.User, " ") {
			at.Key("user").Errorf("want a name without blanks")
		}
	}
	for _, x := range []struct{ key, value string }{{"user", b.User}, {"password_file", b.PasswordFile}, {"key_file", b.KeyFile}} {
		if x.value == "" && b.User+b.PasswordFile+b.KeyFile != "" {
			at.Key(x.key).Errorf("is missing: user, password_file and key_file belong together")
			return
		}
	}
}

// hours checks when the box may measure.
func (b *Bandwidth) hours(at strict.Place) {
	bounded(at.Key("closed"), len(b.Closed), maxClosed)
	good := true
	for i, s := range b.Closed {
		_, err := quiet.ParseSpan(s)
		good = good && err == nil
		check(at.Key("closed").Item(i), err)
	}
	if b.Window != "" || at.Key("window").Set() {
		_, err := quiet.ParseSpan(b.Window)
		good = good && err == nil
		check(at.Key("window"), err)
	}
	_, err := quiet.ParseZone(b.Zone)
	check(at.Key("zone"), err)
	if !good || err != nil {
		return
	}
	if _, why := b.Policy(0).Next(time.Unix(0, 0), true, nil, 0); why == quiet.NoTime {
		at.Key("closed").Errorf("leaves no two minutes in a week to measure in")
	}
}

// Policy says when the box measures; cost is what it takes at least, bytes. What
// cannot be read, of which [Parse] leaves nothing, is left out.
func (b Bandwidth) Policy(cost int64) quiet.Policy {
	p := quiet.Policy{Every: b.Every, Takes: longest, Cost: cost, PerDay: b.PerDay, PerMonth: b.PerMonth}
	p.Zone, _ = quiet.ParseZone(b.Zone)
	for _, s := range b.Closed {
		if span, err := quiet.ParseSpan(s); err == nil {
			p.Closed = append(p.Closed, span)
		}
	}
	if span, err := quiet.ParseSpan(b.Window); err == nil {
		p.Closed = append(p.Closed, quiet.Outside(span)...)
	}
	return p
}

// measured reads where the server is.
func measured(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if a, notAddr := netip.ParseAddr(s); notAddr == nil {
		host, port, err = a.String(), strconv.Itoa(iperf3Port), nil
	} else if !strings.Contains(s, ":") {
		host, port, err = s, strconv.Itoa(iperf3Port), nil
	}
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || n == 0 {
		return "", fmt.Errorf("%.60q: want host:port, such as reflect.fleet.example:%d", s, iperf3Port)
	}
	if err := strict.Host(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, port), nil
}

func budget(at strict.Place, raw *int64, otherwise int64) int64 {
	const least, most = 1_000_000, 1_000_000_000_000
	if raw == nil {
		return otherwise
	}
	if n := *raw; n != 0 && (n < least || n > most) {
		at.Errorf("%d: want %d to %d bytes, or 0 for no limit", n, least, int64(most))
	}
	return *raw
}

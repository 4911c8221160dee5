package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/spool"
	"github.com/sprechprobe/sprechprobe/agent/strict"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// What a file may have of each, so that nothing grows without bound.
const (
	maxProfiles  = 16
	maxResolvers = 8
	maxServers   = 8
	maxKeys      = 4
	maxGrants    = 4
)

// Parse reads a configuration. file is the name that errors use; they are those
// of [strict.Decode].
func Parse(file string, data []byte) (Config, error) {
	var raw rawConfig
	doc, err := strict.Decode(file, data, &raw)
	if err != nil {
		return Config{}, err
	}
	c := Default()
	c.Profiles = profiles(doc.Key("profiles"), raw.Profiles, c.Profiles)
	c.ProfileDir = profileDir(doc.Key("profile_dir"), raw.ProfileDir, c.ProfileDir)
	c.StateDir = stateDir(doc.Key("state_dir"), raw.StateDir, c.StateDir)
	c.Spool.Dir = filepath.Join(c.StateDir, spoolDir)
	c.Without = without(doc.Key("without"), raw.Without)
	c.Language = optional(doc.Key("language"), raw.Language, c.Language, German, English)
	c.Box = box(doc.Key("box"), raw.Box)
	c.Network = network(doc.Key("network"), raw.Network)
	c.Schedule.Every = every(doc.Key("schedule").Key("every"), raw.Schedule.Every, c.Schedule.Every)
	c.Relay = relay(doc.Key("relay"), raw.Relay, c.Relay)
	c.Central = central(doc.Key("central"), raw.Central, c.Central)
	c.Spool = waiting(doc.Key("spool"), raw.Spool, c.Spool)
	c.Lights = lights(doc.Key("lights"), raw.Lights, c.Lights)
	c.Button = button(doc.Key("button"), raw.Button, c.Button)
	c.Panel.Port, c.Panel.Baud = port(doc.Key("panel"), raw.Panel, c.Panel.Baud)
	c.Console.Port, c.Console.Baud = port(doc.Key("console"), raw.Console, c.Console.Baud)
	if c.Console.Port != "" && c.Console.Port == c.Panel.Port {
		doc.Key("console").Key("port").Errorf("is the panel's")
	}
	c.Page = page(doc.Key("page"), raw.Page, c.Page)
	c.Bandwidth = bandwidth(doc.Key("bandwidth"), raw.Bandwidth, c.Bandwidth)
	if given := c.Central.Credentials + c.Central.NKeySeed; given != "" && len(c.Central.Servers) > 0 && c.Box.Tenant == "" {
		doc.Key("central").Key("servers").Errorf("box.tenant is missing: reports go by its name (without credentials or nkey_seed the box uses its own key, and the vendor claims it)")
	}
	if err := doc.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// check notes an error, if there is one.
func check(at strict.Place, err error) {
	if err != nil {
		at.Errorf("%v", err)
	}
}

// bounded notes where a list has too many items.
func bounded(at strict.Place, n, most int) {
	if n > most {
		at.Errorf("%d items, want at most %d", n, most)
	}
}

// once notes where an item of a list stands in it already.
func once[T comparable](at strict.Place, before []T, item T) {
	if slices.Contains(before, item) {
		at.Errorf("\"%v\" stands here twice", item)
	}
}

// word is one of a few known ones.
func word[T ~string](at strict.Place, raw string, known ...T) T {
	w := T(raw)
	if !slices.Contains(known, w) {
		at.Errorf("%.40q: want one of %q", raw, known)
	}
	return w
}

// optional is a word with a default.
func optional[T ~string](at strict.Place, raw *string, otherwise T, known ...T) T {
	if raw == nil {
		return otherwise
	}
	return word(at, *raw, known...)
}

func profiles(at strict.Place, raw, otherwise []string) []string {
	if !at.Set() {
		return otherwise
	}
	if len(raw) == 0 {
		at.Errorf("empty: there is nothing to check")
	}
	bounded(at, len(raw), maxProfiles)
	for i, name := range raw {
		check(at.Item(i), fleet.CheckName(name))
		once(at.Item(i), raw[:i], name)
	}
	return raw
}

func profileDir(at strict.Place, raw *string, otherwise string) string {
	if raw == nil {
		return otherwise
	}
	path(at, *raw)
	return *raw
}

func stateDir(at strict.Place, raw *string, otherwise string) string {
	if raw == nil {
		return otherwise
	}
	path(at, *raw)
	if *raw == "" {
		at.Errorf("empty: the box has to keep its key somewhere")
	}
	return *raw
}

// path notes where a path depends on where the program was started. An empty
// one is none. The value stays out of the error: it may be a key, put where its
// file's path belongs.
func path(at strict.Place, s string) {
	if s != "" && (!filepath.IsAbs(s) || strict.Label(s, 1000) != nil) {
		at.Errorf("want a path from the root: starting with /, at most 1000 printable characters")
	}
}

func without(at strict.Place, raw []string) []agent.Capability {
	known := []agent.Capability{agent.Direct, agent.Relay, agent.Group, agent.HD}
	var all []agent.Capability
	for i, s := range raw {
		c := word(at.Item(i), s, known...)
		once(at.Item(i), all, c)
		all = append(all, c)
	}
	if len(all) >= len(known) {
		at.Errorf("leaves nothing to check")
	}
	return all
}

func box(at strict.Place, raw rawBox) Box {
	if at.Key("id").Set() {
		check(at.Key("id"), fleet.CheckName(raw.ID))
	}
	if at.Key("tenant").Set() {
		check(at.Key("tenant"), fleet.CheckName(raw.Tenant))
	}
	check(at.Key("name"), strict.Label(raw.Name, 80))
	return Box(raw)
}

func network(at strict.Place, raw rawNetwork) Network {
	n := Network{Interface: raw.Interface}
	if at.Key("interface").Set() && !validInterface(raw.Interface) {
		at.Key("interface").Errorf("%.40q: want the name of a network interface, such as eth0", raw.Interface)
	}
	bounded(at.Key("resolvers"), len(raw.Resolvers), maxResolvers)
	for i, s := range raw.Resolvers {
		at := at.Key("resolvers").Item(i)
		r, err := resolver(s)
		if err != nil {
			at.Errorf("%v", err)
			continue
		}
		once(at, n.Resolvers, r)
		n.Resolvers = append(n.Resolvers, r)
	}
	n.Address, n.Gateway = fixed(at, raw)
	return n
}

// fixed reads an address for a network that gives none. Without a gateway and name
// servers the box would reach nothing with it.
func fixed(at strict.Place, raw rawNetwork) (netip.Prefix, netip.Addr) {
	if raw.Address == "" && raw.Gateway == "" {
		return netip.Prefix{}, netip.Addr{}
	}
	address, err := netip.ParsePrefix(raw.Address)
	if own := address.Addr(); err != nil || !usable(own) || address.Bits() < 8 || address.Bits() > own.BitLen()-2 {
		at.Key("address").Errorf("%.60q: want the box's address with the length of its network, such as 192.168.178.50/24", raw.Address)
		return netip.Prefix{}, netip.Addr{}
	}
	if own := address.Addr(); own.Is4() && (own == address.Masked().Addr() || own == last(address)) {
		at.Key("address").Errorf("%s is that of the network, want the box's own in it", raw.Address)
	}
	gateway, err := netip.ParseAddr(raw.Gateway)
	if err != nil || !usable(gateway) || !address.Contains(gateway) || gateway == address.Addr() {
		at.Key("gateway").Errorf("%.60q: want the router's address in %v", raw.Gateway, address.Masked())
	}
	if len(raw.Resolvers) == 0 {
		at.Key("address").Errorf("resolvers is missing: with a fixed address nobody tells the box its name servers")
	}
	return address, gateway
}

// usable reports whether one machine can have an address on a cable.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

// last is the last address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

// validInterface is the kernel's own rule (dev_valid_name), for ASCII.
func validInterface(s string) bool {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' }
	return s != "" && len(s) < 16 && s != "." && s != ".." && strings.IndexFunc(s, bad) < 0
}

// resolver reads an address with or without a port.
func resolver(s string) (netip.AddrPort, error) {
	r, err := netip.ParseAddrPort(s)
	if a, errA := netip.ParseAddr(s); errA == nil {
		r, err = netip.AddrPortFrom(a, 53), nil
	}
	a := r.Addr()
	switch {
	case err != nil || r.Port() == 0:
		return r, fmt.Errorf("%.60q: want an address, or an address with a port such as 192.168.1.1:53 or [fd00::1]:53", s)
	case a.Is6() && a.IsLinkLocalUnicast() && !a.Is4In6():
		if !validInterface(a.Zone()) {
			return r, fmt.Errorf("%.60q: want the interface too, as in fe80::1%%eth0", s)
		}
		return r, nil
	case a.Is4() && a.IsLinkLocalUnicast():
		return r, nil
	default:
		return r, strict.Address(a)
	}
}

func every(at strict.Place, raw *string, otherwise time.Duration) time.Duration {
	return within(at, raw, otherwise, 10*time.Second, 24*time.Hour)
}

// within is a time between two others.
func within(at strict.Place, raw *string, otherwise, least, most time.Duration) time.Duration {
	if raw == nil {
		return otherwise
	}
	d, err := time.ParseDuration(*raw)
	if err != nil || d < least || d > most {
		at.Errorf("%.40q: want a time from %s to %s, such as 90s or 5m", *raw, duration(least), duration(most))
	}
	return d
}

// maxUsername is the longest USERNAME of STUN, bytes (RFC 8489 section 14.3).
const maxUsername = 508

func relay(at strict.Place, raw rawRelay, otherwise Relay) Relay {
	if raw.Username != "" || at.Key("username").Set() {
		check(at.Key("username"), strict.Label(raw.Username, maxUsername))
	}
	path(at.Key("password_file"), raw.PasswordFile)
	switch {
	case raw.Username != "" && raw.PasswordFile == "":
		at.Key("username").Errorf("password_file is missing")
	case raw.Username == "" && raw.PasswordFile != "":
		at.Key("password_file").Errorf("username is missing")
	}
	r := Relay{Username: raw.Username, PasswordFile: raw.PasswordFile, Rehearse: otherwise.Rehearse}
	if raw.Rehearse != nil {
		r.Rehearse = *raw.Rehearse
	}
	return r
}

func central(at strict.Place, raw rawCentral, otherwise Central) Central {
	bounded(at.Key("servers"), len(raw.Servers), maxServers)
	for i, s := range raw.Servers {
		at := at.Key("servers").Item(i)
		if err := checkServer(s); err != nil {
			at.Errorf("%v", err)
			continue
		}
		once(at, raw.Servers[:i], s)
	}
	path(at.Key("credentials"), raw.Credentials)
	path(at.Key("nkey_seed"), raw.NKeySeed)
	path(at.Key("ca"), raw.CA)
	if raw.Credentials != "" && raw.NKeySeed != "" {
		at.Key("nkey_seed").Errorf("want credentials or nkey_seed, not both")
	}
	claims(at, raw)
	c := Central(raw)
	if len(c.Servers) == 0 {
		c.Servers = nil
	}
	if len(c.VendorKeys) == 0 {
		c.VendorKeys = nil
	}
	if !at.Key("grants").Set() {
		c.Grants = otherwise.Grants
	}
	return c
}

// claims checks what says whose the box may become, and by whose word.
func claims(at strict.Place, raw rawCentral) {
	bounded(at.Key("vendor_keys"), len(raw.VendorKeys), maxKeys)
	for i, k := range raw.VendorKeys {
		check(at.Key("vendor_keys").Item(i), fleet.CheckVendorKey(k))
		once(at.Key("vendor_keys").Item(i), raw.VendorKeys[:i], k)
	}
	bounded(at.Key("grants"), len(raw.Grants), maxGrants)
	for i, p := range raw.Grants {
		path(at.Key("grants").Item(i), p)
		if p == "" {
			at.Key("grants").Item(i).Errorf("empty")
		}
	}
	if raw.BeaconZone != "" {
		check(at.Key("beacon_zone"), fleet.CheckBeaconZone(raw.BeaconZone))
	}
}

func waiting(at strict.Place, raw rawSpool, otherwise Spool) Spool {
	const most = 1 << 30
	s := otherwise
	if raw.Dir != nil {
		s.Dir = *raw.Dir
		path(at.Key("dir"), s.Dir)
	}
	if raw.MaxBytes != nil {
		s.MaxBytes = *raw.MaxBytes
		if s.MaxBytes < spool.LeastMax || s.MaxBytes > most {
			at.Key("max_bytes").Errorf("%d: want %d to %d", s.MaxBytes, spool.LeastMax, most)
		}
	}
	return s
}

// checkServer never repeats what it was given beyond scheme and host: people
// write passwords into such places.
func checkServer(s string) error {
	const want = "want scheme and host, such as tls://fleet.example:4222"
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return fmt.Errorf("not a server's address: %s", want)
	}
	if u.User != nil {
		return errors.New("user and password do not belong here: name a file in credentials or nkey_seed")
	}
	if !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
		return fmt.Errorf("scheme %.20q: want nats, tls, ws or wss", u.Scheme)
	}
	if s != u.Scheme+"://"+u.Host {
		return fmt.Errorf("more than scheme, host and port: %s", want)
	}
	if err := strict.Host(u.Hostname()); err != nil {
		return err
	}
	if u.Scheme != "tls" && u.Scheme != "wss" && !thisMachine(u.Hostname()) {
		return fmt.Errorf("scheme %s is not encrypted, which only serves within this machine: want tls or wss", u.Scheme)
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) || strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("port %.10q: want 1 to 65535", u.Port())
	}
	return nil
}

// thisMachine reports whether a host never leads out of the machine. On any other
// way somebody could read the reports, or answer in the vendor's place.
func thisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost"
}

// port checks a serial port.
func port(at strict.Place, raw rawPort, otherwise int) (name string, baud int) {
	bauds := []int64{1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}
	if !validUSB(raw.Port) {
		path(at.Key("port"), raw.Port)
	}
	if raw.Baud == nil {
		return raw.Port, otherwise
	}
	if !slices.Contains(bauds, *raw.Baud) {
		at.Key("baud").Errorf("%d: want one of %v", *raw.Baud, bauds)
	}
	return raw.Port, int(*raw.Baud)
}

// validUSB accepts usb:VENDOR:PRODUCT, four hexadecimal digits each.
func validUSB(s string) bool {
	id, ok := strings.CutPrefix(s, "usb:")
	vendor, product, two := strings.Cut(id, ":")
	_, errV := strconv.ParseUint(vendor, 16, 16)
	_, errP := strconv.ParseUint(product, 16, 16)
	return ok && two && len(vendor) == 4 && len(product) == 4 && errV == nil && errP == nil
}

func page(at strict.Place, raw rawPage, otherwise Page) Page {
	p := otherwise
	p.Show = optional(at.Key("show"), raw.Show, p.Show, Never, Unclaimed, Always)
	if raw.Listen != nil {
		var err error
		if p.Listen, err = netip.ParseAddrPort(*raw.Listen); err != nil || p.Listen.Port() == 0 {
			at.Key("listen").Errorf("%.60q: want an address with a port, such as 0.0.0.0:80 for all addresses or 192.168.1.2:8080", *raw.Listen)
		}
	}
	if raw.Name != nil {
		if p.Name = *raw.Name; p.Name != "" {
			check(at.Key("name"), fleet.CheckName(p.Name))
		}
	}
	return p
}

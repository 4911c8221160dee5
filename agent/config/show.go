package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Show is the configuration as a file that [Parse] reads back to the same.
// Entries that have neither value nor default are left out.
func (c Config) Show() string {
	var p printer
	p.set("profiles", c.Profiles)
	p.line("profile_dir", strconv.Quote(c.ProfileDir)) // empty means something here
	p.set("state_dir", c.StateDir)
	p.set("without", words(c.Without))
	p.set("language", string(c.Language))

	p.table("[box]")
	p.set("id", c.Box.ID)
	p.set("name", c.Box.Name)
	p.set("tenant", c.Box.Tenant)

	p.table("[network]")
	p.set("interface", c.Network.Interface)
	p.set("resolvers", words(c.Network.Resolvers))
	if c.Network.Address.IsValid() {
		p.set("address", c.Network.Address.String())
		p.set("gateway", c.Network.Gateway.String())
	}

	p.table("[schedule]")
	p.set("every", duration(c.Schedule.Every))

	p.table("[relay]")
	p.set("username", c.Relay.Username)
	p.set("password_file", c.Relay.PasswordFile)
	p.set("rehearse", c.Relay.Rehearse)

	p.table("[central]")
	p.set("servers", c.Central.Servers)
	p.set("credentials", c.Central.Credentials)
	p.set("nkey_seed", c.Central.NKeySeed)
	p.set("ca", c.Central.CA)
	p.set("vendor_keys", c.Central.VendorKeys)
	p.list("grants", c.Central.Grants) // none means something here
	if c.Central.AllowPrivate {
		p.line("allow_private", "true")
	}
	p.set("beacon_zone", c.Central.BeaconZone)

	p.table("[spool]")
	p.line("dir", strconv.Quote(c.Spool.Dir)) // empty means something here
	p.line("max_bytes", strconv.FormatInt(c.Spool.MaxBytes, 10))

	p.table("[lights]")
	p.set("driver", string(c.Lights.Driver))
	for _, l := range c.Lights.Lamps {
		p.table("[[lights.lamp]]")
		p.set("role", string(l.Role))
		p.set("led", l.LED)
		p.set("gpio", l.GPIO)
		p.set("red", l.Red)
		p.set("green", l.Green)
		p.set("blue", l.Blue)
		if l.ActiveLow {
			p.line("active_low", "true")
		}
	}

	p.table("[button]")
	if c.Button.GPIO == "" {
		p.set("event", c.Button.Event)
	}
	p.set("gpio", c.Button.GPIO)
	if c.Button.ActiveLow {
		p.line("active_low", "true")
	}

	p.table("[panel]")
	p.set("port", c.Panel.Port)
	p.line("baud", strconv.Itoa(c.Panel.Baud))

	p.table("[console]")
	p.set("port", c.Console.Port)
	p.line("baud", strconv.Itoa(c.Console.Baud))

	p.table("[page]")
	p.set("show", string(c.Page.Show))
	p.set("listen", c.Page.Listen.String())
	p.line("name", strconv.Quote(c.Page.Name)) // empty means something here

	c.Bandwidth.show(&p)
	return p.b.String()
}

func (b Bandwidth) show(p *printer) {
	p.table("[bandwidth]")
	p.set("server", b.Server)
	p.set("user", b.User)
	p.set("password_file", b.PasswordFile)
	p.set("key_file", b.KeyFile)
	p.set("every", duration(b.Every))
	p.list("closed", b.Closed) // none means something here
	p.set("window", b.Window)
	p.set("zone", b.Zone)
	p.line("max_bytes_per_day", strconv.FormatInt(b.PerDay, 10))
	p.line("max_bytes_per_month", strconv.FormatInt(b.PerMonth, 10))
	p.line("full_capacity", strconv.FormatBool(b.Capacity))
}

// printer writes a file, and a table's header only once the table has an entry.
type printer struct {
	b      strings.Builder
	header string
}

func (p *printer) table(header string) { p.header = header }

func (p *printer) line(key, value string) {
	if p.header != "" {
		fmt.Fprintf(&p.b, "\n%s\n", p.header)
		p.header = ""
	}
	fmt.Fprintf(&p.b, "%s = %s\n", key, value)
}

// set writes a text or a list of texts that is not empty. They hold only what
// prints, and of that Go quotes as TOML does.
func (p *printer) set(key string, value any) {
	switch v := value.(type) {
	case string:
		if v != "" {
			p.line(key, strconv.Quote(v))
		}
	case []string:
		if len(v) > 0 {
			p.list(key, v)
		}
	}
}

func (p *printer) list(key string, values []string) {
	quoted := make([]string, len(values))
	for i, s := range values {
		quoted[i] = strconv.Quote(s)
	}
	p.line(key, "["+strings.Join(quoted, ", ")+"]")
}

func words[T any](list []T) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = fmt.Sprint(v)
	}
	return all
}

// duration is d as people write it: 5m rather than 5m0s.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

package profile

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// rawProfile is the file as it stands; see the package comment.
type rawProfile struct {
	Name       string        `toml:"name"`
	Title      string        `toml:"title"`
	Version    string        `toml:"version"`
	Source     string        `toml:"source"`
	Date       string        `toml:"date"`
	Contact    string        `toml:"contact"`
	Thresholds rawThresholds `toml:"thresholds"`
	Bandwidth  rawBandwidth  `toml:"bandwidth"`
	Targets    []rawTarget   `toml:"target"`
}

type rawTarget struct {
	Service    string   `toml:"service"`
	Host       string   `toml:"host"`
	Pins       []string `toml:"pins"`
	Port       *int64   `toml:"port"`
	Ports      string   `toml:"ports"`
	AltPorts   []int64  `toml:"alt_ports"`
	Transports []string `toml:"transports"`
	Variants   []string `toml:"variants"`
	Required   *bool    `toml:"required"`
	Feeds      []string `toml:"feeds"`
	Path       string   `toml:"path"`
}

type rawThresholds struct {
	MinDownBitsPerS       *float64 `toml:"min_down_bits_per_s"`
	MinUpBitsPerS         *float64 `toml:"min_up_bits_per_s"`
	HDDownBitsPerS        *float64 `toml:"hd_down_bits_per_s"`
	HDUpBitsPerS          *float64 `toml:"hd_up_bits_per_s"`
	RegulatedDownBitsPerS *float64 `toml:"regulated_down_bits_per_s"`
	LossWarnRatio         *float64 `toml:"loss_warn_ratio"`
	LossBadRatio          *float64 `toml:"loss_bad_ratio"`
	RTTWarnMS             *float64 `toml:"rtt_warn_ms"`
	RTTBadMS              *float64 `toml:"rtt_bad_ms"`
	JitterWarnMS          *float64 `toml:"jitter_warn_ms"`
	JitterBadMS           *float64 `toml:"jitter_bad_ms"`
}

type rawBandwidth struct {
	Capacity bool `toml:"full_capacity"`
}

// maxTargets keeps a round within its time.
const maxTargets = 64

// Parse reads one profile. file is the name that errors use; they are those of
// [strict.Decode].
func Parse(file string, data []byte) (agent.Profile, error) {
	var raw rawProfile
	doc, err := strict.Decode(file, data, &raw)
	if err != nil {
		return agent.Profile{}, err
	}
	checkAbout(doc, raw)
	p := agent.Profile{
		Name: raw.Name, Title: raw.Title, Version: raw.Version,
		Source: raw.Source, Date: raw.Date, Contact: raw.Contact,
		Targets:    targets(doc, raw.Targets),
		Thresholds: thresholds(doc.Key("thresholds"), raw.Thresholds),
		Capacity:   raw.Bandwidth.Capacity,
	}
	if t := p.Thresholds; t.HDDownBitsPerS+t.HDUpBitsPerS > 0 && !p.Offers(agent.HD) {
		doc.Key("thresholds").Errorf("limits of high definition, but no target feeds hd")
	}
	if err := doc.Err(); err != nil {
		return agent.Profile{}, err
	}
	return p, nil
}

// checkAbout checks everything that is said about the profile itself.
func checkAbout(doc *strict.Doc, raw rawProfile) {
	for _, c := range []struct {
		key, value string
		check      func(string) error
	}{
		{"name", raw.Name, checkName},
		{"title", raw.Title, func(s string) error { return strict.Label(s, 80) }},
		{"version", raw.Version, checkVersion},
		{"source", raw.Source, checkSource},
		{"date", raw.Date, checkDate},
	} {
		if c.value == "" {
			doc.Key(c.key).Errorf("missing")
		} else if err := c.check(c.value); err != nil {
			doc.Key(c.key).Errorf("%v", err)
		}
	}
	if err := strict.Label(raw.Contact, 200); err != nil {
		doc.Key("contact").Errorf("%v", err)
	}
}

// The same form as box ids have, so that a name can stand in a subject.
func checkName(s string) error {
	if len(s) > 63 || !regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`).MatchString(s) {
		return fmt.Errorf("%.70q: want 1 to 63 of a-z, 0-9 and -, not starting with -", s)
	}
	return nil
}

func checkVersion(s string) error {
	if !regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$`).MatchString(s) {
		return fmt.Errorf("%.40q: want 1 to 32 of a-z, A-Z, 0-9, dot, + and -, starting with a letter or digit", s)
	}
	return nil
}

func checkDate(s string) error {
	for _, form := range []string{time.DateOnly, "2006-01"} {
		if _, err := time.Parse(form, s); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%.40q: want a date such as 2026-02-18, or 2026-02", s)
}

func checkSource(s string) error {
	if err := strict.Label(s, 400); err != nil {
		return err
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%.80q: want the http or https address of the vendor's page", s)
	}
	if u.User != nil {
		return errors.New("want an address without user and password")
	}
	return nil
}

// thresholds checks the limits. The bounds are those of a mistaken unit, not of
// good sense: megabits for bits, seconds for milliseconds, percent for ratio.
func thresholds(at strict.Place, raw rawThresholds) agent.Thresholds {
	rate := func(key string, v *float64) float64 { return within(at.Key(key), v, 10e3, 10e9) }
	ratio := func(key string, v *float64) float64 { return within(at.Key(key), v, 1e-6, 1) }
	ms := func(key string, v *float64) float64 { return within(at.Key(key), v, 1, 10e3) }
	t := agent.Thresholds{
		MinDownBitsPerS:       rate("min_down_bits_per_s", raw.MinDownBitsPerS),
		MinUpBitsPerS:         rate("min_up_bits_per_s", raw.MinUpBitsPerS),
		HDDownBitsPerS:        rate("hd_down_bits_per_s", raw.HDDownBitsPerS),
		HDUpBitsPerS:          rate("hd_up_bits_per_s", raw.HDUpBitsPerS),
		RegulatedDownBitsPerS: rate("regulated_down_bits_per_s", raw.RegulatedDownBitsPerS),
		LossWarnRatio:         ratio("loss_warn_ratio", raw.LossWarnRatio),
		LossBadRatio:          ratio("loss_bad_ratio", raw.LossBadRatio),
		RTTWarnMS:             ms("rtt_warn_ms", raw.RTTWarnMS),
		RTTBadMS:              ms("rtt_bad_ms", raw.RTTBadMS),
		JitterWarnMS:          ms("jitter_warn_ms", raw.JitterWarnMS),
		JitterBadMS:           ms("jitter_bad_ms", raw.JitterBadMS),
	}
	above(at.Key("hd_down_bits_per_s"), t.HDDownBitsPerS, "min_down_bits_per_s", t.MinDownBitsPerS)
	above(at.Key("hd_up_bits_per_s"), t.HDUpBitsPerS, "min_up_bits_per_s", t.MinUpBitsPerS)
	above(at.Key("loss_bad_ratio"), t.LossBadRatio, "loss_warn_ratio", t.LossWarnRatio)
	above(at.Key("rtt_bad_ms"), t.RTTBadMS, "rtt_warn_ms", t.RTTWarnMS)
	above(at.Key("jitter_bad_ms"), t.JitterBadMS, "jitter_warn_ms", t.JitterWarnMS)
	return t
}

// within is a threshold, 0 where it is not set.
func within(at strict.Place, v *float64, least, most float64) float64 {
	switch {
	case v == nil:
		return 0
	case *v == 0:
		at.Errorf("0: leave the entry out where there is no limit")
	case *v < least || *v > most:
		at.Errorf("%s: want %s to %s", plain(*v), plain(least), plain(most))
	}
	return *v
}

// above notes where both thresholds are set and the one at a place is not the higher.
func above(at strict.Place, high float64, lowName string, low float64) {
	if high != 0 && low != 0 && high <= low {
		at.Errorf("%s: want more than the %s of %s", plain(high), plain(low), lowName)
	}
}

// plain writes a number as a file would, without exponent.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

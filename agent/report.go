package agent

import "time"

// Schema is the number of the report contract.
const Schema = "sprechprobe.report/1"

// Report is what leaves the box after a round, and what `check --format json`
// prints.
type Report struct {
	Schema       string          `json:"schema"`
	Box          Box             `json:"box"`
	Tenant       string          `json:"tenant,omitempty"`
	Seq          uint64          `json:"seq"` // counts from 1 since the program started
	Trigger      Trigger         `json:"trigger"`
	Stamp        Stamp           `json:"stamp"`
	TookMS       int64           `json:"took_ms"`
	Verdict      Verdict         `json:"verdict"`
	Capabilities Capabilities    `json:"capabilities"` // the worst over all profiles
	Profiles     []ProfileResult `json:"profiles"`
	Findings     []Finding       `json:"findings"`
	Evidence     []Evidence      `json:"evidence"`
	Settings     *Settings       `json:"settings,omitempty"` // absent: the vendor has assigned none
	Commands     []CommandNote   `json:"commands,omitempty"` // of the vendor, since the last report
}

// Settings say which settings of the vendor's a box uses, and which it would not
// take.
type Settings struct {
	Version uint64 `json:"version"` // 0: the box's own
	Refused uint64 `json:"refused_version,omitempty"`
	Why     string `json:"refused_because,omitempty"`
}

// CommandNote is what became of commands that reached a box.
type CommandNote struct {
	Name   string `json:"name,omitempty"` // empty where no vendor's signature vouches for it
	ID     string `json:"id,omitempty"`
	Answer string `json:"answer"` // accepted, or why not
	Count  int    `json:"count"`
}

// Box says which box speaks.
type Box struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version"`
	// VersionAt is when the source of this version was committed, UTC: what has come
	// since, the box does not have. Zero: not known.
	VersionAt time.Time `json:"version_at,omitzero"`
	Board     string    `json:"board,omitempty"`
	Platform  string    `json:"platform"` // GOOS/GOARCH
}

// ProfileResult is the outcome for one video service.
type ProfileResult struct {
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	Verdict      Verdict      `json:"verdict"`
	Capabilities Capabilities `json:"capabilities"` // only those that the service offers
	// DirectBy says on what direct rests: "reflect", a plain socket met a relay as
	// two peers meet, or "mapping", how the router maps; empty: on neither.
	DirectBy string `json:"direct_by,omitempty"`
}

// Trigger says why a round was made.
type Trigger string

// The triggers.
const (
	OnSchedule Trigger = "schedule"
	OnStart    Trigger = "start"
	OnLink     Trigger = "link"
	OnCommand  Trigger = "command"
	OnCheck    Trigger = "check"
)

// Stamp is when something was seen: wall time, whether it can be believed, which
// NTP has set or the vendor has told (many boards have no clock chip), and the
// time since boot, which does not jump.
type Stamp struct {
	At      time.Time `json:"at"` // UTC
	Clock   Clock     `json:"clock"`
	UptimeS float64   `json:"uptime_s"`
}

// Clock says whether the wall clock can be believed.
type Clock string

// The states of the clock.
const (
	ClockSet   Clock = "synced"
	ClockUnset Clock = "unsynced"
)

// Capability is something that a practice wants to do.
type Capability string

// The capabilities.
const (
	Direct    Capability = "direct"    // one to one, peer to peer
	Relay     Capability = "relay"     // one to one, through TURN
	Group     Capability = "group"     // several people
	HD        Capability = "hd"        // high definition
	Reporting Capability = "reporting" // the box reaches its vendor
)

// AllCapabilities lists the capabilities in the order people read them.
var AllCapabilities = []Capability{Direct, Relay, Group, HD, Reporting}

// Capabilities are states by capability; an absent one is unknown.
type Capabilities map[Capability]State

// State is how well something works. The zero value is Unknown.
type State uint8

// The states, from not known over best to worst.
const (
	Unknown State = iota
	OK
	Limited
	No
)

var stateWords = []string{"unknown", "ok", "limited", "no"}

func (s State) String() string { return name(stateWords, uint8(s)) }

// MarshalText writes the state's word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's word.
func (s *State) UnmarshalText(text []byte) error {
	v, err := parse("state", stateWords, text)
	*s = State(v)
	return err
}

// Verdict sums up a report. The zero value is VerdictUnknown: no verdict yet,
// or the box itself is at fault. Unknown is never shown as good or bad.
type Verdict uint8

// The verdicts, from not known over best to worst.
const (
	VerdictUnknown Verdict = iota
	Ready
	VerdictLimited
	Blocked
	Offline // no network at all
)

var verdictWords = []string{"unknown", "ready", "limited", "blocked", "offline"}

func (v Verdict) String() string { return name(verdictWords, uint8(v)) }

// MarshalText writes the verdict's word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a verdict's word.
func (v *Verdict) UnmarshalText(text []byte) error {
	n, err := parse("verdict", verdictWords, text)
	*v = Verdict(n)
	return err
}

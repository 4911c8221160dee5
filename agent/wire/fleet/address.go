package fleet

import (
	"errors"
	"fmt"
	"strings"
)

// Address is a box as the bus knows it: the vendor gave it these names when it
// claimed the box, and the server's permissions hang on them.
type Address struct {
	Tenant, Box string
}

// Check says whether both names may stand in a subject.
func (a Address) Check() error {
	var errs []error
	if err := CheckName(a.Tenant); err != nil {
		errs = append(errs, fmt.Errorf("tenant: %w", err))
	}
	if err := CheckName(a.Box); err != nil {
		errs = append(errs, fmt.Errorf("box: %w", err))
	}
	return errors.Join(errs...)
}

// String is tenant/box.
func (a Address) String() string { return a.Tenant + "/" + a.Box }

// ParseAddress reads tenant/box.
func ParseAddress(s string) (Address, error) {
	tenant, box, _ := strings.Cut(s, "/")
	a := Address{tenant, box}
	if err := a.Check(); err != nil {
		return Address{}, fmt.Errorf("box %.140q: want TENANT/BOX: %w", s, err)
	}
	return a, nil
}

const (
	// Assignments is the KV bucket of the settings that the vendor assigns.
	Assignments = "SPRECHPROBE_CFG"

	assignmentKey = "$KV." + Assignments + "."
	directGet     = "$JS.API.DIRECT.GET.KV_" + Assignments + "."
	hint          = "cfg."
)

// The subjects of all boxes, for exports, imports and streams.
const (
	AllUp          = Prefix + ".*.*.up.*"
	AllCommands    = Prefix + ".*.*.cmd.*"
	AllHints       = hint + "*.*"
	AllAssignments = assignmentKey + "*.*"
	AllDirectGets  = directGet + AllAssignments
)

func (a Address) subject(rest string) string {
	return strings.Join([]string{Prefix, a.Tenant, a.Box, rest}, ".")
}

// Up is where the box publishes: reports, changes of state, heartbeats.
func (a Address) Up() string { return a.subject("up.*") }

// Command is where the box takes a command; "*" stands for all.
func (a Address) Command(name string) string { return a.subject("cmd." + name) }

// Hint is where the box is told to go and read its assignment.
func (a Address) Hint() string { return hint + a.Tenant + "." + a.Box }

// Key is the box's key in the bucket [Assignments].
func (a Address) Key() string { return a.Tenant + "." + a.Box }

// DirectGet is where the box asks for its assignment. The subject that it asks
// about is part of the subject that it asks at, so the server can check it.
func (a Address) DirectGet() string { return directGet + assignmentKey + a.Key() }

// Inbox is the prefix of the box's own inbox. It holds the tenant too: two
// tenants may have boxes of one name, and neither may hear the other's answers.
// No name has an underscore, so no two boxes share a prefix.
func (a Address) Inbox() string { return "_INBOX_" + a.Tenant + "_" + a.Box }

// ClaimSubject is where a box that belongs to nobody yet says its key.
func ClaimSubject(key string) string { return "claim." + key }

// AllClaims are the subjects of all claims.
const AllClaims = "claim.*"

// ClaimInbox is the inbox prefix of a box that belongs to nobody yet.
func ClaimInbox(key string) string { return "_INBOX_" + key }

// HintsFromKeys is where the bucket tells of a change: [AllHints], filled from the
// two parts of the key.
const HintsFromKeys = hint + "{{wildcard(1)}}.{{wildcard(2)}}"

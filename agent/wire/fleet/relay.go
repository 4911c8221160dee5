package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// RelayAsks are the subjects on which boxes ask for access to the vendor's
	// relays (TURN). They are requests without contents, answered by a
	// [RelayAccess], and stored nowhere.
	RelayAsks = Prefix + ".*.*.up.relay"

	// RelaySchema is the number of the contract about that.
	RelaySchema = "sprechprobe.relay/1"
	// MaxRelayAccess is the largest answer on the wire, bytes.
	MaxRelayAccess = 1 << 10
)

// RelayAccess lets a box use the vendor's relays for some minutes. It is made for
// the box that asked, from a secret that stays with the vendor (TURN REST,
// draft-uberti-behave-turn-rest-00). Whether it has run out, the relay judges: the
// box's clock may be wrong.
type RelayAccess struct {
	Schema    string    `json:"schema"`
	Username  string    `json:"username"`
	Password  string    `json:"password"`
	ExpiresAt time.Time `json:"expires_at"`
}

// RelayAsk is where the box asks for access to the relays.
func (a Address) RelayAsk() string { return a.subject("up.relay") }

// ParseRelayAsk returns who asks on a subject.
func ParseRelayAsk(subject string) (Address, error) { return parseAsk(subject, ".relay") }

// parseAsk returns who asks on a subject that ends in what is asked for.
func parseAsk(subject, what string) (Address, error) {
	up, ok := strings.CutSuffix(subject, what)
	tenant, box, err := ParseReportSubject(up + ".report")
	if !ok || err != nil {
		return Address{}, fmt.Errorf("subject %.100q does not ask for a %s", subject, what[1:])
	}
	return Address{tenant, box}, nil
}

// DecodeRelayAccess reads the answer. It accepts unknown fields, but no unknown
// schema, no oversized message, and nothing that no relay would take.
func DecodeRelayAccess(b []byte) (RelayAccess, error) {
	if len(b) > MaxRelayAccess {
		return RelayAccess{}, fmt.Errorf("relay access of %d bytes is over %d", len(b), MaxRelayAccess)
	}
	var r RelayAccess
	if err := json.Unmarshal(b, &r); err != nil {
		return RelayAccess{}, fmt.Errorf("relay access: %w", err)
	}
	if r.Schema != RelaySchema {
		return RelayAccess{}, fmt.Errorf("relay access: schema %.60q, want %q", r.Schema, RelaySchema)
	}
	if r.Username == "" || r.Password == "" {
		return RelayAccess{}, errors.New("relay access: username or password is missing")
	}
	const longest = 508 // of a USERNAME, RFC 8489 section 14.3
	if len(r.Username) > longest || len(r.Password) > longest {
		return RelayAccess{}, fmt.Errorf("relay access: username or password over %d bytes", longest)
	}
	return r, nil
}

package fleet

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent"
)

// The schemas of what box and vendor say to each other besides reports.
const (
	ClaimSchema      = "sprechprobe.claim/1"
	GrantSchema      = "sprechprobe.grant/1"
	CommandSchema    = "sprechprobe.command/1"
	AssignmentSchema = "sprechprobe.assignment/1"
)

// Claim is how a box that belongs to nobody introduces itself. It is a request at
// [ClaimSubject]; the answer is a [ClaimAnswer].
type Claim struct {
	Schema string    `json:"schema"`
	Key    string    `json:"key"`
	Code   string    `json:"code"`
	Box    agent.Box `json:"box"`
}

// ClaimAnswer says whether a box has been claimed.
type ClaimAnswer struct {
	Schema string `json:"schema"`
	Grant  string `json:"grant,omitempty"` // sealed; empty: not claimed yet
}

// Grant gives a box its names, and the right to use them. It is useless without
// the box's own seed, so it may travel in the open.
type Grant struct {
	Key      string    `json:"key"` // the box's public key
	Tenant   string    `json:"tenant"`
	Name     string    `json:"name"`
	IssuedAt time.Time `json:"issued_at"` // a newer grant replaces an older one
	// JWT is the user JWT for the bus; empty where the bus knows the key itself.
	JWT string `json:"jwt,omitempty"`
	// VendorKeys sign commands and assignments, where the box's own
	// configuration names no keys.
	VendorKeys []string `json:"vendor_keys"`
}

// Address is where the box stands on the bus.
func (g Grant) Address() Address { return Address{g.Tenant, g.Name} }

// maxVendorKeys is how many keys may sign, so that one can take over from another.
const maxVendorKeys = 4

// OpenGrant reads a grant for the box with a public key. pinned are the vendor keys
// that the box's own configuration names; without any, the grant must be signed
// by one that it names itself, and whoever hands it over has to be believed.
func OpenGrant(sealed []byte, key string, pinned []string) (Grant, error) {
	keys := pinned
	if len(keys) == 0 {
		_, _, _, body, err := sealOf(GrantSchema, sealed)
		if err != nil {
			return Grant{}, fmt.Errorf("%s: %w", GrantSchema, err)
		}
		var says Grant
		_ = json.Unmarshal(body, &says) // if it is none, no key signs it
		keys = says.VendorKeys
	}
	body, err := Unseal(GrantSchema, sealed, keys)
	if err != nil {
		return Grant{}, err
	}
	var g Grant
	if err := json.Unmarshal(body, &g); err != nil {
		return Grant{}, fmt.Errorf("%s: %w", GrantSchema, err)
	}
	return g, g.check(key)
}

func (g Grant) check(key string) error {
	if g.Key != key {
		return fmt.Errorf("%s: it is for the box with the key %.60q, and this one's is %s", GrantSchema, g.Key, key)
	}
	if err := g.Address().Check(); err != nil {
		return fmt.Errorf("%s: %w", GrantSchema, err)
	}
	if len(g.VendorKeys) == 0 || len(g.VendorKeys) > maxVendorKeys {
		return fmt.Errorf("%s: %d vendor keys, want 1 to %d", GrantSchema, len(g.VendorKeys), maxVendorKeys)
	}
	for _, k := range g.VendorKeys {
		if err := CheckVendorKey(k); err != nil {
			return fmt.Errorf("%s: %w", GrantSchema, err)
		}
	}
	if g.JWT == "" {
		return nil
	}
	if err := checkUserJWT(g.JWT, g); err != nil {
		return fmt.Errorf("%s: %w", GrantSchema, err)
	}
	return nil
}

const grantBlock = "SPRECHPROBE GRANT"

// ArmorGrant writes a sealed grant as text that survives a console, a mail and a
// boot partition edited under Windows.
func ArmorGrant(sealed []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: grantBlock, Bytes: sealed})
}

// DearmorGrant finds the sealed grant in a text.
func DearmorGrant(text []byte) ([]byte, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == grantBlock {
			return block.Bytes, nil
		}
	}
	return nil, errors.New("no grant in it: want a text from -----BEGIN " + grantBlock + "----- to -----END " + grantBlock + "-----")
}

// The commands.
const (
	Check     = "check"     // make a round now
	Identify  = "identify"  // show "this is the box you mean"
	Last      = "last"      // the newest report
	Bandwidth = "bandwidth" // measure the bandwidth now
	Config    = "config"    // read the assignment again
)

// CommandNames lists the commands.
var CommandNames = []string{Check, Identify, Last, Bandwidth, Config}

// Command is what the vendor asks of one box. It is sent sealed, as a request at
// [Address.Command].
type Command struct {
	Tenant   string    `json:"tenant"`
	Box      string    `json:"box"`
	Name     string    `json:"name"`
	ID       string    `json:"id"` // random, so that no command is obeyed twice
	IssuedAt time.Time `json:"issued_at"`
}

// OpenCommand reads a command that one of keys has signed for the box at a.
func OpenCommand(sealed []byte, a Address, keys []string) (Command, error) {
	body, err := Unseal(CommandSchema, sealed, keys)
	if err != nil {
		return Command{}, err
	}
	var c Command
	switch err := json.Unmarshal(body, &c); {
	case err != nil:
		return Command{}, fmt.Errorf("%s: %w", CommandSchema, err)
	case c.Tenant != a.Tenant || c.Box != a.Box:
		return Command{}, fmt.Errorf("%s: it is for %.60q/%.60q", CommandSchema, c.Tenant, c.Box)
	case len(c.ID) < 16 || len(c.ID) > 64:
		return Command{}, fmt.Errorf("%s: id of %d characters, want 16 to 64", CommandSchema, len(c.ID))
	case !slices.Contains(CommandNames, c.Name):
		return Command{}, fmt.Errorf("%s: no command %.40q (want one of %q)", CommandSchema, c.Name, CommandNames)
	}
	return c, nil
}

// Done answers a command that was obeyed; a command that was not is answered by
// [HeaderError] and [HeaderErrorCode].
type Done struct {
	Accepted bool            `json:"accepted"`           // it begins now; a report tells what came of it
	Settings *agent.Settings `json:"settings,omitempty"` // of config
	Report   *agent.Report   `json:"report,omitempty"`   // of last
}

// The headers of an answer that says no, as nats.go's micro writes them.
const (
	HeaderError     = "Nats-Service-Error"
	HeaderErrorCode = "Nats-Service-Error-Code"
)

// Assignment are the settings that the vendor gives to one box. It lies sealed
// under [Address.Key]. It cannot say where the box reports to or who may command
// it: there is no field for that.
type Assignment struct {
	Tenant   string    `json:"tenant"`
	Box      string    `json:"box"`
	Version  uint64    `json:"version"` // grows with each change
	IssuedAt time.Time `json:"issued_at"`
	// Profiles are whole profile files, each as one text of TOML.
	Profiles []string `json:"profiles,omitempty"`
	// Use names the profiles to check for, built in or from Profiles; empty:
	// those of the box's own configuration.
	Use    []string `json:"use,omitempty"`
	EveryS int64    `json:"every_s,omitempty"` // seconds between two rounds; 0: the box's own
}

// OpenAssignment reads an assignment that one of keys has signed for the box at a.
// Fields that it does not know are errors: settings that are taken half are not
// those that were meant.
func OpenAssignment(sealed []byte, a Address, keys []string) (Assignment, error) {
	body, err := Unseal(AssignmentSchema, sealed, keys)
	if err != nil {
		return Assignment{}, err
	}
	var as Assignment
	var fields map[string]json.RawMessage
	switch err := errors.Join(json.Unmarshal(body, &as), json.Unmarshal(body, &fields)); {
	case err != nil:
		return Assignment{}, fmt.Errorf("%s: %w", AssignmentSchema, err)
	case as.Tenant != a.Tenant || as.Box != a.Box:
		return Assignment{}, fmt.Errorf("%s: it is for %.60q/%.60q", AssignmentSchema, as.Tenant, as.Box)
	case as.Version == 0:
		return Assignment{}, fmt.Errorf("%s: no version", AssignmentSchema)
	}
	for name := range fields {
		if !slices.Contains(assignmentFields, name) {
			return Assignment{}, fmt.Errorf("%s: unknown field %.60q", AssignmentSchema, name)
		}
	}
	return as, nil
}

// assignmentFields are all that an assignment may have.
var assignmentFields = []string{"tenant", "box", "version", "issued_at", "profiles", "use", "every_s"}

// CheckBoxKey says whether s is the public key of a box: an nkey of type user. The
// error does not repeat it.
func CheckBoxKey(s string) error {
	if !nkeys.IsValidPublicUserKey(s) {
		return errors.New("want a box's public key, U and 55 letters and digits")
	}
	return nil
}

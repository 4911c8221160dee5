package fleet

import (
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"
)

// Beacon is what a box says by asking for a name, when nothing else gets out.
type Beacon struct {
	ID     string // short id; see [ShortID]
	Reason string // why the box cannot report, in lower-kebab-case
	Starts uint64 // how often the box has started
	Seq    uint64 // of this run's beacons; with Starts it tells a repeat
}

// BeaconAck is the address that the zone answers with: the vendor has heard. It is
// one for benchmarks (RFC 2544) and leads nowhere. Those for documentation would
// do as well, but resolvers that guard against rebinding take them away.
var BeaconAck = netip.AddrFrom4([4]byte{198, 18, 0, 1})

// MaxBeaconZone is the longest zone, characters: the rest of a DNS name has room
// for all else that a beacon says.
const MaxBeaconZone = 80

// CheckBeaconZone says whether beacons may be asked for below a name.
func CheckBeaconZone(zone string) error {
	if len(zone) > MaxBeaconZone || !strings.Contains(zone, ".") {
		return fmt.Errorf("zone %.100q: want a domain name of at most %d characters", zone, MaxBeaconZone)
	}
	for label := range strings.SplitSeq(zone, ".") {
		if CheckName(label) != nil {
			return fmt.Errorf("zone %.100q: want labels of a-z, 0-9 and -", zone)
		}
	}
	return nil
}

// beaconDigits write a signature in a name: resolvers may change the case.
var beaconDigits = base32.HexEncoding.WithPadding(base32.NoPadding)

// Name is the name to ask for, without the last dot. It is
// signature.signature.seq-starts.reason.id.zone; the signature is that of the
// box's own key over all that follows it.
func (b Beacon) Name(zone string, sign func([]byte) ([]byte, error)) (string, error) {
	if err := CheckBeaconZone(zone); err != nil {
		return "", err
	}
	if err := b.check(); err != nil {
		return "", err
	}
	said := strings.Join([]string{fmt.Sprintf("%d-%d", b.Seq, b.Starts), b.Reason, b.ID, zone}, ".")
	sig, err := sign(signedBeacon(said))
	if err != nil {
		return "", err
	}
	s := strings.ToLower(beaconDigits.EncodeToString(sig))
	return s[:len(s)/2] + "." + s[len(s)/2:] + "." + said, nil
}

func signedBeacon(said string) []byte { return []byte("sprechprobe.beacon/1\n" + said) }

func (b Beacon) check() error {
	if err := CheckName(b.Reason); err != nil || len(b.Reason) > 32 {
		return fmt.Errorf("reason %.60q: want at most 32 of a-z, 0-9 and -", b.Reason)
	}
	if err := CheckName(b.ID); err != nil || len(b.ID) != 8 {
		return fmt.Errorf("id %.60q: want 8 of a-z and 0-9", b.ID)
	}
	return nil
}

// SignedBeacon is a beacon that arrived, and what its signature covers.
type SignedBeacon struct {
	Beacon
	said string
	sig  []byte
}

// By reports whether the box with a public key has said it. That its short id is
// that of the key is for the caller to see to.
func (b SignedBeacon) By(publicKey string) bool {
	key, err := nkeys.FromPublicKey(publicKey)
	return err == nil && key.Verify(signedBeacon(b.said), b.sig) == nil
}

// ParseBeacon reads a name that was asked for below a zone. Who has signed it is
// for the caller to find out.
func ParseBeacon(name, zone string) (SignedBeacon, error) {
	var b SignedBeacon
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	rest, ok := strings.CutSuffix(name, "."+zone)
	labels := strings.Split(rest, ".")
	if !ok || len(labels) != 5 {
		return b, errors.New("not a beacon")
	}
	sig, err := beaconDigits.DecodeString(strings.ToUpper(labels[0] + labels[1]))
	if err != nil {
		return b, errors.New("beacon: no signature")
	}
	seq, starts, _ := strings.Cut(labels[2], "-")
	b.Seq, err = strconv.ParseUint(seq, 10, 64)
	if err == nil {
		b.Starts, err = strconv.ParseUint(starts, 10, 64)
	}
	if err != nil {
		return b, errors.New("beacon: no numbers")
	}
	b.Reason, b.ID = labels[3], labels[4]
	b.sig, b.said = sig, strings.Join(append(labels[2:5:5], zone), ".")
	return b, b.check()
}

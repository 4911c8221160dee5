package fleet_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

const zone = "help.fleet.example"

// Each reason that the box can give fits into a name, and comes back from it
// however a resolver writes it.
func TestBeacon(t *testing.T) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", fleet.MaxBeaconZone-61)
	for _, why := range agent.Reasons {
		for _, zone := range []string{zone, long} {
			b := fleet.Beacon{ID: fleet.ShortID(public), Reason: string(why), Starts: 123456, Seq: 4711}
			name, err := b.Name(zone, kp.Sign)
			if err != nil || len(name) > 253 {
				t.Fatalf("%s: %q of %d characters, %v", why, name, len(name), err)
			}
			for _, label := range strings.Split(name, ".") {
				if len(label) > 63 {
					t.Errorf("label %q is too long", label)
				}
			}
			got, err := fleet.ParseBeacon(strings.ToUpper(name)+".", zone)
			if err != nil || got.Beacon != b || !got.By(public) {
				t.Errorf("%s: %+v, %v, signed %v; want %+v", why, got.Beacon, err, got.By(public), b)
			}
		}
	}
}

// What somebody else says, or says of another box, is not signed.
func TestForgedBeacon(t *testing.T) {
	kp, _ := nkeys.CreateUser()
	public, _ := kp.PublicKey()
	b := fleet.Beacon{ID: fleet.ShortID(public), Reason: "timeout", Starts: 1, Seq: 1}
	name, err := b.Name(zone, kp.Sign)
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range [][2]string{{".timeout.", ".tls-alert."}, {".1-1.", ".2-1."}, {".1-1.", ".1-2."}, {name[:1], next(name[:1])}} {
		got, err := fleet.ParseBeacon(strings.Replace(name, edit[0], edit[1], 1), zone)
		if err == nil && got.By(public) {
			t.Errorf("%s for %s passes", edit[1], edit[0])
		}
	}
	got, err := fleet.ParseBeacon(name, zone)
	if err != nil || got.By(boxKey(t)) || got.By("") {
		t.Errorf("another box's key fits: %v", err)
	}
	for _, bad := range []fleet.Beacon{
		{ID: "12345678", Reason: "a.b"}, {ID: "12345678", Reason: ""}, {ID: "*", Reason: "timeout"}, {ID: "1234.678", Reason: "timeout"},
	} {
		if name, err := bad.Name(zone, kp.Sign); err == nil {
			t.Errorf("%+v becomes %q", bad, name)
		}
	}
}

func next(s string) string { return string('0' + (s[0]-'0'+1)%10) }

func FuzzParseBeacon(f *testing.F) {
	kp, _ := nkeys.CreateUser()
	public, _ := kp.PublicKey()
	name, err := fleet.Beacon{ID: fleet.ShortID(public), Reason: "timeout", Starts: 1, Seq: 1}.Name(zone, kp.Sign)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(name)
	f.Add("a.b.1-1.timeout.12345678." + zone)
	f.Fuzz(func(t *testing.T, in string) {
		b, err := fleet.ParseBeacon(in, zone)
		if err != nil {
			return
		}
		if b.By(public) && b.Seq+b.Starts+uint64(len(b.Reason)) != 2+7 {
			t.Errorf("%q is signed", in)
		}
		if _, err := b.Name(zone, kp.Sign); err != nil {
			t.Errorf("%q reads as %+v, which cannot be said: %v", in, b.Beacon, err)
		}
	})
}

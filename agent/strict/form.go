package strict

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Host says whether s is a DNS name in lower case ASCII (international names in
// their xn-- form), or an address that [Address] accepts.
func Host(s string) error {
	if a, err := netip.ParseAddr(s); err == nil {
		return Address(a)
	}
	if s == "" || len(s) > 253 {
		return fmt.Errorf("host %.60q: want 1 to 253 characters", s)
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if err := label(l); err != nil {
			return fmt.Errorf("host %.60q: %w", s, err)
		}
	}
	// No top-level domain is a number: this is an address with a mistake in it.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("host %.60q: neither an address nor a name", s)
	}
	return nil
}

// label checks one part of a DNS name, as RFC 1123 section 2.1 has it.
func label(l string) error {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return errors.New("want parts of 1 to 63 characters between dots, without - at their ends")
	}
	for _, r := range l {
		if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') {
			return fmt.Errorf("%q: want a-z, 0-9, - and dots (international names as xn--...)", r)
		}
	}
	return nil
}

// Address says whether a can be the address of one far host: unicast, global,
// private or loopback.
func Address(a netip.Addr) error {
	var what string
	switch b := a.AsSlice(); {
	case !a.IsValid() || a.IsUnspecified():
		what = "no address of a host"
	case a.Is4In6():
		what = "written as IPv6, want plain IPv4"
	case a.Zone() != "" || a.IsLinkLocalUnicast():
		what = "reaches no further than its cable"
	case a.IsMulticast():
		what = "multicast"
	case a.Is4() && (b[0] == 0 || b[0] >= 240):
		what = "reserved" // RFC 1122 section 3.2.1.3, RFC 1112 section 4
	default:
		return nil
	}
	return fmt.Errorf("address %s: %s", a, what)
}

// Label says whether s is one line of printable text of at most most characters
// that neither starts nor ends with a blank; it may be empty.
func Label(s string, most int) error {
	if utf8.RuneCountInString(s) > most {
		return fmt.Errorf("%.40q...: want at most %d characters", s, most)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%.80q: %q is not printable", s, r)
		}
	}
	if s != strings.TrimSpace(s) {
		return fmt.Errorf("%.80q: blank at an end", s)
	}
	return nil
}

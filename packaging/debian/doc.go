// Package debian holds what a Debian package of the box and of the fleet consists
// of, and tests that install it into real Debian systems of other architectures
// and judge it by Debian's own tools. The boot of a whole system is with hal/guest.
package debian

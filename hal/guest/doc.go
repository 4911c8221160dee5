// Package guest holds tests of hal on a real kernel: Debian's, booted under qemu
// with a device tree that has GPIO lines, LEDs and a button. A test here builds
// itself and the box's program for the guest, boots it with both as all there is
// in its file system, and tells the outcome as its own. It takes some
// minutes, and no hardware.
package guest

package main

import (
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// useMemory lets garbage grow to three times of what is kept before it is collected:
// what passes through in a burst is far more than what is known of the boxes. Near half
// of the machine's memory it is collected sooner. Who has set GOGC or GOMEMLIMIT
// knows better.
func useMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	var i unix.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") == "" && unix.Sysinfo(&i) == nil {
		debug.SetMemoryLimit(int64(uint64(i.Totalram) * uint64(i.Unit) / 2))
	}
}

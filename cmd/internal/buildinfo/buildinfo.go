// Package buildinfo says which version of the programs this is and when its
// source was committed. The Makefile sets both at link time.
package buildinfo

import (
	"runtime"
	"strconv"
	"time"
)

// Set by the linker; empty in a plain go build.
var (
	version string
	commit  string // Unix seconds
)

// Version is the release or commit, "dev" in a plain go build.
func Version() string {
	if version == "" {
		return "dev"
	}
	return version
}

// Time is when the source was committed: no clock that is right shows less. It
// is zero in a plain go build.
func Time() time.Time {
	s, err := strconv.ParseInt(commit, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// Platform is what the program was built for, as in linux/arm.
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

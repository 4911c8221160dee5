// Package lab gives tests what a single machine lacks: networks of their own to
// furnish and to break, and real programs as counterparts. Whatever happens there
// reaches nobody outside. It knows neither the product nor what a test proves. Of
// such networks package practice, below, builds a whole medical practice.
//
// A ring is a group of tests that needs such a thing. Where this machine has not
// got it the ring is left out with a reason, or fails if LAB=must is set.
package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// LeaveOut ends a test that this machine cannot run: loudly skipped, or failed
// where LAB=must.
func LeaveOut(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("LAB") == "must" {
		t.Fatal("LAB=must, but " + why)
	}
	t.Skip("LEFT OUT: " + why)
}

// Program is the path of a counterpart, found also where only root's PATH leads.
// Without it the test is left out; debian is the package to install.
func Program(t testing.TB, name, debian string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	LeaveOut(t, "there is no program "+name+" (Debian package "+debian+")")
	return ""
}

package lab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// IP runs ip, once for each line of arguments. "netns add NAME" makes another
// network, in which "-n NAME ..." acts.
func IP(t testing.TB, lines string) {
	t.Helper()
	ip := Program(t, "ip", "iproute2")
	for line := range strings.Lines(lines) {
		if words := strings.Fields(line); len(words) > 0 {
			run(t, "", ip, words...)
		}
	}
}

// NFT replaces all firewall rules of this network.
func NFT(t testing.TB, rules string) {
	t.Helper()
	run(t, "flush ruleset\n"+rules+"\n", Program(t, "nft", "nftables"), "-f", "-")
}

// run runs a program to its end, which on a busy machine has been late.
func run(t testing.TB, input, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s%s", cmd.Args, err, out, input)
	}
}

// Set writes kernel options of this network: a path below /proc/sys/net and a
// value on each line.
func Set(t testing.TB, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join("/proc/sys/net", words[0]), []byte(words[1]), 0); err != nil {
			t.Fatalf("set %s to %s: %v", words[0], words[1], err)
		}
	}
}

// In calls do in another network that "ip netns add" has made. Sockets opened and
// programs started there stay there. Goroutines that do starts are outside.
func In(t testing.TB, network string, do func()) {
	t.Helper()
	runtime.LockOSThread()
	home := open(t, "/proc/thread-self/ns/net")
	defer home.Close()
	there := open(t, filepath.Join("/run/netns", network))
	defer there.Close()
	enter(t, there)
	defer func() {
		enter(t, home) // where this fails, the thread ends with the goroutine
		runtime.UnlockOSThread()
	}()
	do()
}

func open(t testing.TB, network string) *os.File {
	t.Helper()
	f, err := os.Open(network)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func enter(t testing.TB, network *os.File) {
	t.Helper()
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatalf("enter network %s: %v", network.Name(), err)
	}
}

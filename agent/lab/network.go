package lab

import (
	"context"
	"fmt"
	"net"
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

// Batch runs many lines in one go in a network that "ip netns add" has made; empty
// is this one. The lines hold no options of ip itself.
func Batch(t testing.TB, network, lines string) {
	t.Helper()
	args := []string{"-batch", "-"}
	if network != "" {
		args = append([]string{"-n", network}, args...)
	}
	run(t, lines+"\n", Program(t, "ip", "iproute2"), args...)
}

// NFT replaces all firewall rules of this network.
func NFT(t testing.TB, rules string) {
	t.Helper()
	run(t, "flush ruleset\n"+rules+"\n", Program(t, "nft", "nftables"), "-f", "-")
}

// Table replaces one table of family inet, or removes it where there are no rules.
func Table(t testing.TB, name, rules string) {
	t.Helper()
	script := fmt.Sprintf("table inet %[1]s {}\ndelete table inet %[1]s\n", name)
	if rules != "" {
		script += fmt.Sprintf("table inet %s {\n%s\n}\n", name, rules)
	}
	run(t, script, Program(t, "nft", "nftables"), "-f", "-")
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
	n, err := open(network)
	if err == nil {
		defer n.file.Close()
		err = n.Do(do)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Network is another network, for code that has no test at hand to fail. It is
// safe for use by several goroutines.
type Network struct {
	name string
	file *os.File
}

// Open finds a network that "ip netns add" has made. It is closed with the test.
func Open(t testing.TB, network string) *Network {
	t.Helper()
	n, err := open(network)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.file.Close() })
	return n
}

func open(name string) (*Network, error) {
	f, err := os.Open(filepath.Join("/run/netns", name))
	if err != nil {
		return nil, err
	}
	return &Network{name: name, file: f}, nil
}

// Name is what "ip netns add" was told.
func (n *Network) Name() string { return n.name }

// Do calls do in the network, as [In] does.
func (n *Network) Do(do func()) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := enter(n.file); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		// Where this fails the thread ends with the goroutine.
		if enter(home) == nil {
			runtime.UnlockOSThread()
		}
	}()
	do()
	return nil
}

// Dial is [net.Dialer.DialContext] in the network. The address is numeric: a
// name would be looked up elsewhere.
func (n *Network) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if e := n.Do(func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) }); e != nil {
		return nil, e
	}
	return conn, err
}

// Listen is [net.Listen] in the network.
func (n *Network) Listen(network, address string) (l net.Listener, err error) {
	if e := n.Do(func() { l, err = net.Listen(network, address) }); e != nil {
		return nil, e
	}
	return l, err
}

// ListenPacket is [net.ListenPacket] in the network.
func (n *Network) ListenPacket(network, address string) (c net.PacketConn, err error) {
	if e := n.Do(func() { c, err = net.ListenPacket(network, address) }); e != nil {
		return nil, e
	}
	return c, err
}

func enter(network *os.File) error {
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network %s: %v", network.Name(), err)
	}
	return nil
}

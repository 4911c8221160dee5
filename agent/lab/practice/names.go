package practice

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/internet"
)

// Resolver says what the practice router's own resolver does to names, as a
// filter in a practice would: the internet's name server knows better. The zero
// value passes everything on.
type Resolver struct {
	Unknown  []string              // NXDOMAIN for these and all names below
	Sinkhole map[string]netip.Addr // these and all names below lead there
	Rebind   bool                  // no private addresses for public names
	NoDHCP   bool                  // asks for addresses stay unanswered
	WPAD     bool                  // names and leases tell of [Practice.OfferProxy]
	Off      bool                  // nothing listens
}

// Resolve restarts dnsmasq on the practice router.
func (pr *Practice) Resolve(r Resolver) {
	pr.t.Helper()
	if pr.names != nil {
		pr.names.Kill()
	}
	if r.Off {
		return
	}
	cmd := exec.Command(lab.Program(pr.t, "dnsmasq", "dnsmasq-base"), pr.dnsmasq(r)...)
	pr.Router.do(func() { pr.names = lab.Start(pr.t, cmd, nil) })
	pr.names.Await(pr.t, "it resolves", func() bool {
		ask := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return pr.Router.Net.Dial(ctx, "tcp", pr.Host(1).String()+":53")
		}}
		ctx, cancel := context.WithTimeout(pr.t.Context(), time.Second)
		defer cancel()
		_, err := ask.LookupHost(ctx, "up.lab.")
		return err == nil
	})
}

// dnsmasq is its arguments: no cache, so that what changes does so at once.
func (pr *Practice) dnsmasq(r Resolver) []string {
	args := []string{
		"--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", "--group=", "--cache-size=0",
		"--interface=lan0", "--bind-interfaces", "--server=" + internet.NamesAddr.String(),
		"--address=/up.lab/127.0.0.1", "--no-negcache",
	}
	for _, name := range r.Unknown {
		args = append(args, "--address=/"+name+"/")
	}
	for name, to := range r.Sinkhole {
		args = append(args, fmt.Sprintf("--address=/%s/%s", name, to))
	}
	if r.Rebind {
		args = append(args, "--stop-dns-rebind")
	}
	if r.WPAD {
		args = append(args, "--address=/wpad/"+pr.Host(1).String(), fmt.Sprintf("--dhcp-option=252,http://%s/wpad.dat", pr.Host(1)))
	}
	if pr.plan.DHCP && !r.NoDHCP {
		args = append(args, fmt.Sprintf("--dhcp-range=%[1]s,%[1]s,1h", pr.Host(20)), "--dhcp-authoritative", "--no-ping",
			"--dhcp-leasefile="+filepath.Join(pr.t.TempDir(), "leases"))
	}
	return args
}

// leaseScript takes what udhcpc tells in the environment.
const leaseScript = `#!/bin/sh
case "$1" in
deconfig)
	ip address flush dev "$interface"
	: > /etc/resolv.conf ;;
bound | renew)
	ip address replace "$ip/$mask" dev "$interface"
	ip route replace default via "$router"
	for d in $dns; do echo "nameserver $d"; done > /etc/resolv.conf
	echo "$wpad" > "$WPAD" ;;
esac
`

// Lease is what the box was given.
type Lease struct {
	Addr netip.Addr // invalid where nobody answered
	WPAD string     // where a proxy configuration is
}

// Ask makes the box ask for its address, once.
func (pr *Practice) Ask() Lease {
	pr.t.Helper()
	dir := pr.t.TempDir()
	script, wpad := filepath.Join(dir, "lease.sh"), filepath.Join(dir, "wpad")
	if err := os.WriteFile(script, []byte(leaseScript), 0o755); err != nil {
		pr.t.Fatal(err)
	}
	cmd := exec.Command(lab.Program(pr.t, "udhcpc", "udhcpc"), "-i", Interface, "-f", "-n", "-q", "-t", "3", "-T", "1", "-O", "wpad", "-s", script)
	cmd.Env = append(cmd.Environ(), "WPAD="+wpad)
	if out, err := cmd.CombinedOutput(); err != nil {
		pr.t.Logf("no lease: %v\n%s", err, out)
		return Lease{}
	}
	told, err := os.ReadFile(wpad)
	if err != nil {
		pr.t.Fatal(err)
	}
	return Lease{pr.own(), strings.TrimSpace(string(told))}
}

// own is the box's address of version 4.
func (pr *Practice) own() netip.Addr {
	pr.t.Helper()
	i, err := net.InterfaceByName(Interface)
	if err != nil {
		pr.t.Fatal(err)
	}
	addrs, err := i.Addrs()
	if err != nil {
		pr.t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

package practice

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
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
			return pr.Router.Net.Dial(ctx, "tcp", Gateway.String()+":53")
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
	if pr.plan.DHCP && !r.NoDHCP {
		args = append(args, pr.dhcp()...)
	}
	return args
}

func (pr *Practice) dhcp() []string {
	args := []string{
		"--dhcp-range=192.168.178.20,192.168.178.20,1h", "--dhcp-authoritative", "--no-ping",
		"--dhcp-leasefile=" + filepath.Join(pr.t.TempDir(), "leases"),
	}
	if pr.plan.WPAD {
		args = append(args, "--dhcp-option=252,http://"+Gateway.String()+"/wpad.dat")
	}
	return args
}

// leaseScript takes what udhcpc tells in the environment.
const leaseScript = `#!/bin/sh
case "$1" in
deconfig) ip address flush dev "$interface"; : > "$RESOLV_CONF" ;;
bound | renew)
	ip address replace "$ip/$mask" dev "$interface"
	ip route replace default via "$router"
	for d in $dns; do echo "nameserver $d"; done > "$RESOLV_CONF" ;;
esac
set > "$LEASE"
`

// Lease makes the box ask for its address, once, and reports whether it got one.
func (pr *Practice) Lease() bool {
	pr.t.Helper()
	dir := pr.t.TempDir()
	script := filepath.Join(dir, "lease.sh")
	if err := os.WriteFile(script, []byte(leaseScript), 0o755); err != nil {
		pr.t.Fatal(err)
	}
	cmd := exec.Command(lab.Program(pr.t, "udhcpc", "udhcpc"), "-i", Interface, "-f", "-n", "-q", "-t", "3", "-T", "1", "-s", script)
	cmd.Env = append(os.Environ(), "RESOLV_CONF=/etc/resolv.conf", "LEASE="+filepath.Join(dir, "lease"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := cmd.CombinedOutput()
	pr.t.Logf("udhcpc:\n%s", out)
	return err == nil
}

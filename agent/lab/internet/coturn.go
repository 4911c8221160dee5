package internet

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/pki"
)

// Credentials of coturn that has no [Relay.Secret].
const (
	User     = "box"
	Password = "geheim"
)

// Relay says how a coturn runs. The zero value speaks plain, TLS and DTLS on
// both ports, as coturn 4.6 does unless told otherwise, to [User].
type Relay struct {
	NoUDP, NoTCP, NoTLS, NoDTLS bool
	NoRFC5780                   bool // says nothing of its other address
	STUNOnly                    bool
	Quota                       int    // allocations at a time, 0 is any number
	Secret                      string // of TURN REST credentials, instead of User
	Open                        bool   // asks for no credentials
	Expired                     bool   // the certificate, since yesterday
	More                        []string
}

// Coturn is a coturn, on 3478 and 5349.
type Coturn struct {
	t       testing.TB
	in      *lab.Network
	program string
	addrs   []string
	good    [2]string // files: certificate, key
	expired [2]string
	process *lab.Process
}

func newCoturn(t testing.TB, in *lab.Network, good, expired *tlsFiles, addrs ...netip.Addr) *Coturn {
	t.Helper()
	c := &Coturn{t: t, in: in, program: lab.Program(t, "turnserver", "coturn"), good: *good, expired: *expired}
	for _, a := range addrs {
		c.addrs = append(c.addrs, a.String())
	}
	return c
}

type tlsFiles = [2]string

func files(t testing.TB, ca *pki.Authority, until time.Time, names ...string) *tlsFiles {
	t.Helper()
	leaf, err := ca.Leaf(until, names...)
	if err != nil {
		t.Fatal(err)
	}
	cert, key := pki.Files(t, leaf)
	return &tlsFiles{cert, key}
}

// Restart stops what runs and runs it in another way.
func (c *Coturn) Restart(r Relay) {
	c.t.Helper()
	c.Stop()
	c.start(r)
	c.await()
}

// Stop leaves closed ports behind.
func (c *Coturn) Stop() {
	if c.process != nil {
		c.process.Kill()
	}
}

func (c *Coturn) start(r Relay) {
	c.t.Helper()
	err := c.in.Do(func() { c.process = lab.Start(c.t, exec.Command(c.program, c.args(r)...), nil) })
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *Coturn) args(r Relay) []string {
	dir, cert := c.t.TempDir(), c.good
	if r.Expired {
		cert = c.expired
	}
	args := []string{
		"-n", "--no-cli", "--realm=webprax.de", "--relay-threads=1", "--simple-log", "--log-file=stdout",
		"--pidfile=" + filepath.Join(dir, "pid"), "--userdb=" + filepath.Join(dir, "db"),
		"--cert=" + cert[0], "--pkey=" + cert[1], "--relay-ip=" + c.addrs[0],
	}
	for _, a := range c.addrs {
		args = append(args, "--listening-ip="+a)
	}
	if r.Open {
		args = append(args, "--no-auth")
	} else if r.Secret != "" {
		args = append(args, "--use-auth-secret", "--static-auth-secret="+r.Secret)
	} else {
		args = append(args, "--lt-cred-mech", "--user="+User+":"+Password)
	}
	if r.NoTLS && r.NoDTLS { // it would leave the port of TLS closed, and is to speak plain there
		for _, a := range c.addrs {
			args = append(args, "--aux-server="+net.JoinHostPort(a, "5349"))
		}
	}
	if r.Quota > 0 {
		args = append(args, fmt.Sprintf("--total-quota=%d", r.Quota))
	}
	for option, on := range map[string]bool{
		"--no-udp": r.NoUDP, "--no-tcp": r.NoTCP, "--no-tls": r.NoTLS, "--no-dtls": r.NoDTLS,
		"--no-rfc5780": r.NoRFC5780, "--stun-only": r.STUNOnly,
	} {
		if on {
			args = append(args, option)
		}
	}
	return append(args, r.More...)
}

// await returns once the server answers on every address, over whatever it speaks.
func (c *Coturn) await() {
	c.t.Helper()
	c.process.Await(c.t, "it answers", func() bool {
		for _, a := range c.addrs {
			if !c.binds("udp", a) && !c.binds("tcp", a) && !c.accepts(a) {
				return false
			}
		}
		return true
	})
}

// binds makes one STUN Binding.
func (c *Coturn) binds(network, addr string) bool {
	conn, err := c.in.Dial(c.t.Context(), network, net.JoinHostPort(addr, "3478"))
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err := conn.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	n, err := conn.Read(make([]byte, 1500))
	return err == nil && n >= 20
}

// accepts is what is left of a server that speaks neither UDP nor plain TCP.
func (c *Coturn) accepts(addr string) bool {
	conn, err := c.in.Dial(c.t.Context(), "tcp", net.JoinHostPort(addr, "5349"))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

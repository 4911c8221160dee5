package main_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// The vendor is away, the box is killed, and killed again: what it had to report
// arrives when he is back, in order, and then what it has to report now.
func TestRunKilledWhileTheVendorIsAway(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	v.configure(t, "[box]\n", "[box]\ntenant = \"acme\"\n")
	v.configure(t, "driver = \"none\"", fmt.Sprintf("driver = \"none\"\n[central]\nservers = [\"nats://127.0.0.1:%d\"]\n[schedule]\nevery = \"24h\"", port))
	for range 2 {
		d := v.run(t)
		until(t, "a report", func() bool { return v.kept(t) >= 1 && d.log.has("verdict=") })
		d.signal(t, syscall.SIGUSR1)
		until(t, "another report", func() bool { return v.kept(t) == 2 })
		must(t, d.cmd.Process.Kill())
		<-d.ended
		must(t, os.Remove(filepath.Join(v.dir, "report.json")))
	}
	_, reports := newBus(t, func(o *server.Options) { o.Port = port })
	v.run(t)
	until(t, "everything", func() bool { return len(reports()) >= 5 })
	var got []string
	for _, r := range reports() {
		waits := 0.0
		for _, e := range r.Evidence {
			if n, ok := e.Values.Num(agent.Queued); ok {
				waits = max(waits, n)
			}
		}
		got = append(got, fmt.Sprint(r.Seq, " ", waits))
	}
	if want := "1 0, 2 1, 1 2, 2 3"; !strings.HasPrefix(strings.Join(got, ", "), want+", 1 ") {
		t.Errorf("number and waiting of each report: %q, want %q and then those of now", got, want)
	}
}

// A practice whose only way out is a proxy that connects to web ports: the box
// takes it, and comes by the vendor's web port. The proxy is a real one.
func TestRunThroughProxy(t *testing.T) {
	tinyproxy := program(t, "tinyproxy", "tinyproxy-bin")
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	const far = "198.51.100.7" // within this test's own network; loopback is never asked by a proxy
	lab.IP(t, "address add "+far+"/32 dev lo")
	must(t, unix.Mount(v.write(t, "hosts", []byte(far+" fleet."+domain+"\n")), "/etc/hosts", "", unix.MS_BIND, ""))
	cert, err := tls.LoadX509KeyPair(filepath.Join(v.dir, "leaf.pem"), filepath.Join(v.dir, "leaf.key"))
	must(t, err)
	encrypted := &tls.Config{Certificates: []tls.Certificate{cert}}
	_, reports := newBus(t, func(o *server.Options) {
		o.Host, o.Port, o.TLSConfig, o.TLS = far, 4222, encrypted, true
		o.Websocket = server.WebsocketOpts{Host: far, Port: 443, TLSConfig: encrypted}
	}, nats.Secure(&tls.Config{InsecureSkipVerify: true})) // within this process
	conf := v.write(t, "tinyproxy.conf", []byte("Port 8888\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\nMaxClients 10\nConnectPort 443\n"))
	p := lab.Start(t, exec.Command(tinyproxy, "-d", "-c", conf), lab.Listens("127.0.0.1:8888"))
	v.configure(t, "[box]\n", "[box]\ntenant = \"acme\"\n")
	v.configure(t, "driver = \"none\"", fmt.Sprintf("driver = \"none\"\n[central]\nservers = [\"tls://fleet.%s:4222\", \"wss://fleet.%s\"]", domain, domain))
	v.run(t, "HTTPS_PROXY=http://127.0.0.1:8888")
	until(t, "a report", func() bool { return len(reports()) > 0 })
	for _, want := range []string{"CONNECT fleet." + domain + ":4222", "CONNECT fleet." + domain + ":443"} {
		p.Await(t, "the proxy was asked to "+want, func() bool { return strings.Contains(p.Said(), want) })
	}
}

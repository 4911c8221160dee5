package main_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// What a hostile far end may cost.
const (
	mostTookMS = 15_000
	mostKB     = 40 << 10
	deadline   = 60 * time.Second // of the process, on a busy machine
)

// lan are addresses that nobody but the practice has any business at.
var lan = []string{"192.168.1.1", "127.0.0.1", "169.254.169.254", "10.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "100.64.0.1"}

// lanPorts are the same with a port of ours.
func lanPorts() (all []string) {
	for _, a := range lan {
		all = append(all, a+":5349")
	}
	return all
}

// hostile is one way in which every target of a service misbehaves.
type hostile struct {
	name string
	manners
	pinned  bool   // the profile knows the address too
	public  bool   // the service is on the internet, not in the house
	central string // scheme by which the box reports to the villain too
	ready   bool   // it is not hostile at all
	// want are looks as "probe transport variant: outcome reason"; a variant
	// that is not one is "-".
	want []string
}

// udp is a service that is hostile over UDP, and not there over TCP.
func udp(name string, way func(*villain, []byte, func([]byte)), want ...string) hostile {
	return hostile{name: "udp " + name, pinned: true, manners: manners{udp: way}, want: want}
}

// tcp is a service that is hostile over TCP, and not there over UDP.
func tcp(name string, way func(*villain, net.Conn), want ...string) hostile {
	return hostile{name: name, pinned: true, manners: manners{tcp: way}, want: want}
}

// router is tcp on the internet, so that nothing in the house is its business.
func router(name string, way func(*villain, net.Conn), want ...string) hostile {
	h := tcp(name, way, want...)
	h.public = true
	return h
}

// dns is a resolver that lies about a service of which no address is published.
func dns(name string, way func(*villain, []byte, func([]byte)), want ...string) hostile {
	return hostile{name: "dns " + name, public: true, manners: manners{dns: way}, want: want}
}

// relay is a service on the internet that lies about addresses.
func relay(name string, way func([]byte) [][]byte, want ...string) hostile {
	return hostile{name: "relay " + name, pinned: true, public: true,
		manners: manners{udp: datagrams(way), tcp: secured(messages(way))}, want: want}
}

// central is whoever answers in place of the server that the box reports to.
func central(scheme string, way func(*villain, net.Conn)) hostile {
	return hostile{name: "central " + scheme, pinned: true, central: scheme, manners: manners{udp: mute, central: way}}
}

const (
	info  = `INFO {"server_id":"`
	http1 = "HTTP/1.1 200 OK\r\n"
)

var hostiles = []hostile{
	{name: "honest", pinned: true, public: true, ready: true, manners: manners{udp: datagrams(unauthorized), tcp: honest}},
	{name: "nothing listens", pinned: true,
		want: []string{"web tcp -: refused rst", "stun udp plain: refused icmp-port-unreachable", "nats tcp -: refused rst"}},
	{name: "nothing", pinned: true, manners: manners{udp: mute, tcp: wait},
		want: []string{"web tcp -: silent timeout", "stun udp plain: silent timeout", "turn tcp plain: silent timeout", "nats tcp -: silent no-info"}},
	{name: "everything at once", pinned: true,
		manners: manners{udp: flood(records), tcp: secured(endless("HTTP/1.1 101 \r\n\r\n")), dns: named(pointers)},
		want:    []string{"dns  -: tampered bad-answer", "stun udp plain: tampered bad-answer", "turn tcp tls: tampered http-answer"}},

	udp("garbage", datagrams(garbage), "stun udp plain: tampered bad-answer", "turn udp plain: tampered bad-answer", "turn udp dtls: tampered not-tls"),
	udp("half STUN", datagrams(halfSTUN), "stun udp plain: tampered bad-answer", "turn udp plain: tampered bad-answer"),
	udp("foreign transaction", datagrams(foreignID), "stun udp plain: tampered foreign-answer", "turn udp plain: tampered foreign-answer"),
	udp("flood of foreign transactions", flood(foreignID), "stun udp plain: tampered foreign-answer"),
	udp("flood of garbage", flood(garbage), "stun udp plain: tampered bad-answer"),
	udp("flood of records", flood(records), "stun udp plain: tampered bad-answer", "turn udp dtls: tampered bad-answer"),
	udp("reflection", datagrams(reflection), "stun udp plain: tampered bad-answer", "turn udp plain: tampered bad-answer"),
	udp("cookie loop", datagrams(cookieLoop), "turn udp dtls: silent timeout"),
	udp("records", datagrams(records), "turn udp dtls: tampered bad-answer"),
	udp("realm of 60 kB", datagrams(longRealm), "stun udp plain: tampered bad-answer", "turn udp plain: tampered bad-answer", "ports udp -: answered"),
	udp("mad words", datagrams(madWords), "turn udp plain: answered unauthorized"),

	relay("mapped to nowhere", mappedTo("0.0.0.0:0"), "turn udp plain: answered open-relay"),
	relay("mapped into the house", mappedTo("192.168.1.1:3478"), "turn tcp plain: answered open-relay"),
	relay("alternate in the house", alternate(lanPorts()...), "turn udp plain: answered", "turn tcp plain: answered", "turn tcp tls: answered"),
	relay("allocation in the house", relayAt("192.168.1.1:5000"), "relay udp plain: answered", "relay tcp plain: answered"),
	relay("allocation at itself", relayAt("127.0.0.1:5000"), "relay udp plain: answered", "relay tcp plain: answered"),
	relay("allocation nowhere", relayAt("0.0.0.0:0"), "relay udp plain: answered", "relay tcp plain: answered"),
	relay("stale nonces", staleNonces, "turn udp plain: answered unauthorized"),
	relay("realm of 60 kB", longRealm, "turn tcp plain: tampered bad-answer", "turn tcp tls: tampered bad-answer"),
	relay("foreign transactions", foreignID, "turn tcp plain: tampered foreign-answer", "turn tcp tls: tampered foreign-answer"),
	relay("half a message", half, "turn tcp plain: tampered bad-answer", "turn tcp tls: tampered bad-answer"),

	tcp("tcp reset", reset, "web tcp -: refused rst-after-connect", "nats tcp -: refused rst-after-connect"),
	tcp("tcp close", hangUp),
	tcp("tcp endless bytes", endless("\xff\xfe"), "web tcp -: tampered not-tls", "turn tcp plain: tampered bad-answer", "nats tcp -: tampered bad-answer"),
	tcp("tcp endless zeros", endless("\x00"), "web tcp -: tampered not-tls", "turn tcp plain: tampered bad-answer"),
	tcp("tcp one byte a second", dripping, "web tcp -: silent timeout", "nats tcp -: silent no-info"),
	tcp("http endless header", starting(http1, endless("X-More: and more\r\n")), "turn tcp plain: tampered http-answer", "captive tcp -: tampered too-much"),
	tcp("http endless line", starting(http1+"X-More: ", endless("more")), "turn tcp plain: tampered http-answer", "captive tcp -: tampered too-much"),
	tcp("https endless header", secured(starting(http1, endless("X-More: and more\r\n"))), "web tcp -: tampered too-much"),
	tcp("https endless interim", secured(endless("HTTP/1.1 100 Continue\r\n\r\n")), "web tcp -: tampered too-much"),
	tcp("https garbage", secured(endless("garbage")), "web tcp -: tampered bad-answer", "turn tcp tls: tampered bad-answer", "nats tcp -: tampered bad-answer"),
	router("http 200 to everything", web(200, ""), "web tcp -: tampered not-tls", "nats tcp -: tampered http-answer", "captive tcp -: answered"),
	router("http redirect to the router", web(302, location("http://192.168.1.1:8080/login")), "captive tcp -: tampered foreign-redirect"),
	router("http redirect to itself", web(302, location("http://127.0.0.1:8080/")), "captive tcp -: tampered foreign-redirect"),
	router("http redirect to metadata", web(307, location("http://169.254.169.254/latest/meta-data/")), "captive tcp -: tampered foreign-redirect"),
	router("http redirect to madness", web(302, location("http://\x1b[2J\u202e"+strings.Repeat("a.", 2000)+"/"))),
	router("https redirect to the router", secured(web(302, location("https://192.168.1.1/"))), "web tcp -: answered upgrade-refused"),

	tcp("tls endless records", plainTLS, "web tcp -: tampered bad-answer", "turn tcp tls: tampered bad-answer"),
	tcp("tls endless warnings", endless("\x15\x03\x03\x00\x02\x01\x00")),
	tcp("tls spoiled records", spoiled, "web tcp -: tampered bad-answer", "turn tcp tls: tampered bad-answer"),
	tcp("tls mad certificate", madCertificate, "web tcp -: tampered tls-unknown-authority"),
	tcp("tls chain of 100", longChain(100), "web tcp -: tampered tls-unknown-authority"),
	tcp("tls chain of 900", longChain(900), "web tcp -: tampered bad-answer"),

	tcp("nats info of 1 GiB", starting(info, stream1GiB), "nats tcp -: tampered too-much"),
	tcp("nats info of 1 GiB in tls", secured(starting(info, stream1GiB)), "nats tcp -: tampered too-much"),
	tcp("nats info and garbage", starting(info+`N","version":"\u001b[31m\u0000","tls_required":true}`+"\r\n", endless("x")), "nats tcp plain: tampered not-tls"),
	tcp("websocket of 8 EiB", lyingSocket("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), "nats tcp -: tampered bad-answer"),
	tcp("websocket of empty frames", lyingSocket("\x82\x00"), "nats tcp -: tampered too-much"),
	tcp("websocket of pings", lyingSocket("\x89\x7d"+strings.Repeat("p", 125)), "nats tcp -: tampered too-much"),

	dns("garbage", datagrams(garbage), "dns  -: tampered bad-answer"),
	dns("nothing", mute, "dns  -: silent timeout"),
	dns("flood", flood(garbage), "dns  -: tampered bad-answer"),
	dns("compression loop", named(pointers), "dns  -: tampered bad-answer"),
	dns("alias loop", named(aliases), "dns  -: refused no-data"),
	dns("wrong id", named(wrongID("192.168.1.1")), "dns  -: tampered foreign-answer"),
	dns("the practice's own addresses", named(addresses(lan...)), "dns  -: tampered bogon", "web tcp -: not-looked no-address"),
	dns("200 addresses", named(addresses(manyAddresses(200)...)), "dns  -: tampered bogon"),
	dns("64 KiB", cut(named(addresses(manyAddresses(4000)...))), "dns  -: tampered bogon"),
	dns("60 kB in one datagram", named(func(q []byte) []byte { return append(addresses("192.168.1.1")(q), make([]byte, 60_000)...) }), "dns  -: tampered too-much"),
	dns("64 KiB that do not come", cut(mute), "dns  -: silent timeout"),
	dns("the right and the wrong", rightAndWrong, "dns  -: answered", "web tcp -: refused rst"),

	central("nats", starting(info, stream1GiB)),
	central("tls", starting(info, stream1GiB)),
	central("ws", starting("HTTP/1.1 101 Switching Protocols\r\nX-More: ", stream1GiB)),
}

// rightAndWrong names the service's own address among others.
func rightAndWrong(v *villain, q []byte, send func([]byte)) {
	send(addresses(append([]string{v.addr.String()}, lan...)...)(q))
}

// stream1GiB goes on for a GiB, if it is let.
func stream1GiB(v *villain, c net.Conn) { v.stream(c, bytes.Repeat([]byte("N"), 1<<20), oneGiB) }

// A far end may send whatever it likes: the program ends in time and within its
// memory, says nothing good of it, and follows nobody into the practice's network.
func TestHostileFarEnds(t *testing.T) {
	t.Parallel() // it mostly waits
	if !lab.Inside(t) {
		return
	}
	sprechprobe := build(t)
	v := &vendor{dir: t.TempDir()}
	cert := v.certificates(t, "*."+domain)
	p := newPlace(t)
	var all errgroup.Group
	all.SetLimit(32) // they mostly wait, and t.Parallel knows processors only
	missing := make([][]string, len(hostiles))
	for i, h := range hostiles {
		all.Go(func() error {
			t.Run(h.name, func(t *testing.T) { missing[i] = h.check(t, i, sprechprobe, v.caFile, cert) })
			return nil
		})
	}
	must(t, all.Wait())
	for i, h := range hostiles {
		if missing[i] == nil {
			continue
		}
		// Floods of 31 neighbours can outlast the program's patience. Alone,
		// a far end is seen for what it is.
		t.Run(h.name+" alone", func(t *testing.T) {
			for _, m := range h.check(t, i, sprechprobe, v.caFile, cert) {
				t.Error(m)
			}
		})
	}
	p.quiet(t)
}

// settle starts the villain and writes the configuration of a box that trusts
// it.
func (h hostile) settle(t *testing.T, i int, ca string, cert tls.Certificate) (*villain, *vendor) {
	t.Helper()
	village := villages[0]
	if h.public {
		village = villages[1]
	}
	four := village.Addr().As4()
	four[3] = byte(10 + i)
	w := newVillain(t, netip.AddrFrom4(four), h.manners, cert)
	v := &vendor{dir: t.TempDir(), caFile: ca}
	must(t, os.MkdirAll(filepath.Join(v.dir, "profiles.d"), 0o755))
	v.write(t, "profiles.d/villain.toml", h.profile(w.addr))
	config := fmt.Appendf(nil, "profiles = [\"villain\"]\nprofile_dir = %q\nstate_dir = %q\n[network]\nresolvers = [%q]\n"+
		"[schedule]\nevery = \"10s\"\n[lights]\ndriver = \"none\"\n[relay]\nusername = \"box\"\npassword_file = %q\n",
		filepath.Join(v.dir, "profiles.d"), filepath.Join(v.dir, "kept"), netip.AddrPortFrom(w.addr, namePort), v.write(t, "password", []byte("secret\n")))
	if h.central != "" {
		config = fmt.Appendf(config, "[box]\ntenant = \"acme\"\n[central]\nservers = [\"%s://%s\"]\n",
			h.central, netip.AddrPortFrom(w.addr, centralPort))
	}
	v.config = v.write(t, "sprechprobe.toml", config)
	return w, v
}

func (h hostile) profile(addr netip.Addr) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "name = \"villain\"\ntitle = \"Villain\"\nversion = \"1\"\nsource = \"https://%s/\"\ndate = \"2026-11-22\"\n", domain)
	target := func(service, port, transport, more string) {
		fmt.Fprintf(&b, "[[target]]\nservice = %q\nhost = %q\n%s\ntransports = [%s]\n%s\n", service, service+"."+domain, port, transport, more)
		if h.pinned {
			fmt.Fprintf(&b, "pins = [%q]\n", addr)
		}
	}
	one := func(n int) string { return fmt.Sprintf("port = %d", n) }
	target("https", one(webPort), `"tcp"`, "path = \"/socket\"\n"+`feeds = ["direct", "relay", "group"]`)
	target("stun", one(plainPort), `"udp"`, `feeds = ["direct"]`)
	target("turn", one(tlsPort), `"udp", "tcp"`, `feeds = ["relay"]`)
	target("nats", one(natsPort), `"tcp"`, `feeds = ["group"]`)
	target("range", fmt.Sprintf(`ports = "%d-%d"`, firstPort, lastPort), `"udp", "tcp"`, `feeds = ["direct"]`)
	return b.Bytes()
}

// check plays one far end, and returns which looks the program did not report.
func (h hostile) check(t *testing.T, i int, sprechprobe, ca string, cert tls.Certificate) (missing []string) {
	t.Helper()
	w, v := h.settle(t, i, ca, cert)
	r := v.measured(t, deadline, sprechprobe, nil, "check", "--config", v.config, "--format", "json")
	r.sound(t)
	var report agent.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatalf("report: %v\n%s%s", err, r.out, r.errOut)
	}
	t.Logf("took %v, %d KiB, asked %d, streamed %d, exit %d, %s", r.took, r.peakKB, w.asked.Load(), w.streamed.Load(), r.code, report.Verdict)
	exits := map[agent.Verdict]int{agent.Ready: 0, agent.VerdictLimited: 1, agent.Blocked: 2, agent.Offline: 2, agent.VerdictUnknown: 3}
	if want := exits[report.Verdict]; r.code != want || (report.Verdict == agent.Ready) != h.ready {
		t.Errorf("exit %d with verdict %s", r.code, report.Verdict)
	}
	if report.TookMS > mostTookMS {
		t.Errorf("took %d ms, over %d", report.TookMS, mostTookMS)
	}
	if n := w.streamed.Load(); n > mostStreamed*4 {
		t.Errorf("the program let itself be sent %d bytes", n)
	}
	wellFormed(t, report)
	return h.missing(report)
}

// missing are the looks that are not as they should be.
func (h hostile) missing(r agent.Report) (missing []string) {
	var got []string
	for _, e := range r.Evidence {
		variant := e.Target.Variant
		if variant == "" {
			variant = "-"
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s: %s %s", e.Probe, e.Target.Transport, variant, e.Outcome, e.Reason)))
	}
	for _, w := range h.want {
		if !slices.Contains(got, w) {
			missing = append(missing, fmt.Sprintf("no look %q in:\n%s", w, strings.Join(got, "\n")))
		}
	}
	return missing
}

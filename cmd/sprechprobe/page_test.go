package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/mdns/v2"
	"golang.org/x/net/ipv4"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// page reads a page of a box, empty while there is none.
func page(addr, path string, headers ...string) string {
	r, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return ""
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	a, err := (&http.Client{Timeout: 20 * time.Second}).Do(r)
	if err != nil {
		return ""
	}
	defer a.Body.Close()
	b, _ := io.ReadAll(a.Body)
	return string(b)
}

// The page says what the lights say, in two languages; a crowd at the door makes
// neither rounds nor memory worse; and the page goes when the box is claimed.
func TestPage(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	v.configure(t, "driver = \"none\"", "driver = \"terminal\"\n[page]\nshow = \"unclaimed\"\nlisten = \"127.0.0.1:8080\"\nname = \"\"\n[schedule]\nevery = \"24h\"")
	d := v.run(t)
	const addr = "127.0.0.1:8080"
	until(t, "the verdict on the page", func() bool {
		return strings.Contains(page(addr, "/"), `class="verdict ready"`)
	})
	for _, want := range []string{"Videosprechstunden sind von hier aus möglich", "Praxis Nord", "box-1", "Geprüft in", "kurz aus, grün (jetzt)"} {
		if got := page(addr, "/"); !strings.Contains(got, want) {
			t.Errorf("%q is not on the page:\n%s", want, got)
		}
	}
	if got := page(addr, "/", "Accept-Language", "en"); !strings.Contains(got, "Video consultations") {
		t.Errorf("in English:\n%s", got)
	}
	if got := page(addr, "/", "Host", "attacker.example"); strings.Contains(got, "box-1") {
		t.Error("under a foreign name the page shows the box")
	}

	var crowd []net.Conn
	for i := range 200 {
		local := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i))}
		c, err := (&net.Dialer{LocalAddr: local, Timeout: 20 * time.Second}).Dial("tcp", addr)
		must(t, err)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: ")
		crowd = append(crowd, c)
	}
	must(t, v.coturn.Process.Kill())
	until(t, "coturn is gone", func() bool { return !answersSTUN(coturnAddr, plainPort) })
	d.signal(t, syscall.SIGUSR1)
	until(t, "the outage on the lights, with a crowd at the door", func() bool { return d.out.has("(blocked)") })
	if kib := resident(t, d.cmd.Process.Pid); kib > maxResident {
		t.Errorf("resident %d KiB with a crowd at the door, over %d", kib, maxResident)
	} else {
		t.Logf("resident with a crowd at the door: %d KiB", kib)
	}
	for _, c := range crowd {
		c.Close()
	}
	until(t, "the outage on the page", func() bool { return strings.Contains(page(addr, "/"), "turn-server") })
	if got := page(addr, "/request"); !strings.Contains(got, "<textarea readonly") || !strings.Contains(got, "Praxis Nord") {
		t.Errorf("the request:\n%s", got)
	}

	// A program that comes after this one knows what was before it.
	d.signal(t, syscall.SIGTERM)
	if err := <-d.ended; err != nil {
		t.Errorf("ended with %v\n%s", err, d.log)
	}
	must(t, os.Remove(filepath.Join(v.dir, "report.json")))
	d = v.run(t)
	until(t, "the page again", func() bool { return strings.Contains(page(addr, "/"), "turn-server") })
	if got := page(addr, "/"); !strings.Contains(got, `<i class="blocked"></i>`) {
		t.Errorf("the history is lost:\n%s", got)
	}
	must(t, os.WriteFile(filepath.Join(v.dir, "history"), []byte("\x00rubbish"), 0o644))

	v.configure(t, "[box]\n", "[box]\ntenant = \"acme\"\n")
	d.signal(t, syscall.SIGHUP)
	until(t, "no page once the box is claimed", func() bool {
		c, err := net.DialTimeout("tcp", addr, 20*time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	v.configure(t, "show = \"unclaimed\"", "show = \"always\"")
	d.signal(t, syscall.SIGHUP)
	until(t, "the page, because it is wanted", func() bool { return strings.Contains(page(addr, "/"), "turn-server") })
	if !d.log.has("history of the page begins anew") {
		t.Errorf("a history that is none is not named:\n%s", d.log)
	}
}

// systemd holds the door; the box needs no privilege for port 80, keeps the door
// over a reload, and says so where it shows no page.
func TestPageBehindSystemdsDoor(t *testing.T) {
	activate := program(t, "systemd-socket-activate", "systemd")
	if !inOwnNetwork(t) {
		return
	}
	v := newVendor(t)
	v.configure(t, "driver = \"none\"", "driver = \"none\"\n[page]\nshow = \"always\"\nlisten = \"127.0.0.1:9\"\nname = \"\"\n[schedule]\nevery = \"24h\"")
	d := v.runBy(t, []string{activate, "--listen=127.0.0.1:80", "-E", "SSL_CERT_FILE", "-E", "RUNTIME_DIRECTORY"})
	const addr = "127.0.0.1:80"
	shown := func() bool { return strings.Contains(page(addr, "/"), `class="verdict ready"`) }
	until(t, "the page", shown)
	v.configure(t, "name = \"Praxis Nord\"", "name = \"Praxis Süd\"")
	d.signal(t, syscall.SIGHUP)
	until(t, "the page after a reload", func() bool { return shown() && strings.Contains(page(addr, "/"), "Praxis Süd") })
	v.configure(t, "show = \"always\"", "show = \"never\"")
	d.signal(t, syscall.SIGHUP)
	until(t, "a word that there is no page", func() bool { return strings.Contains(page(addr, "/"), "ausgeschaltet") })
	v.configure(t, "show = \"never\"", "show = \"always\"")
	d.signal(t, syscall.SIGHUP)
	until(t, "the page once more", shown)
	d.signal(t, syscall.SIGTERM)
	if err := <-d.ended; err != nil {
		t.Errorf("ended with %v\n%s", err, d.log)
	}
}

// Somebody at a PC of the practice finds the box by its name, and sees where it
// stops: here there is nothing beyond the cable.
func TestPageFromThePC(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	lab.IP(t, `
		netns add pc
		link add eth0 type veth peer name eth1 netns pc
		addr add 192.168.1.7/24 dev eth0
		link set eth0 up
		route add default via 192.168.1.1
		-n pc addr add 192.168.1.20/24 dev eth1
		-n pc link set eth1 up`)
	dir := t.TempDir()
	config := filepath.Join(dir, "sprechprobe.toml")
	must(t, os.WriteFile(config, []byte("[box]\nid = \"box-1\"\n[lights]\ndriver = \"terminal\"\n[page]\nshow = \"unclaimed\"\n"), 0o644))
	d := (&vendor{dir: dir, config: config}).run(t)
	var other *mdns.Conn
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		_, addr, err := other.QueryAddr(ctx, "sprechprobe.local")
		if err != nil {
			return nil, err
		}
		var c net.Conn
		lab.In(t, "pc", func() { c, err = new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), "80")) })
		return c, err
	}}}
	lab.In(t, "pc", func() {
		s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(224, 0, 0, 0), Port: 5353})
		must(t, err)
		other, err = mdns.NewServer(ipv4.NewPacketConn(s), nil)
		must(t, err)
	})
	defer other.Close()
	seen := ""
	until(t, "the page at sprechprobe.local", func() bool {
		r, err := client.Get("http://sprechprobe.local/")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		seen = string(b)
		return strings.Contains(seen, "Hier hakt es: Router")
	})
	for _, want := range []string{"192.168.1.7", `<li class="passed"><b aria-hidden="true">✓</b><span>Netzwerkkabel</span>`,
		`<span>Router</span><em>gestört</em>`, string(agent.GatewayUnreachable), "3 Blitze, Pause, rot (jetzt)"} {
		if !strings.Contains(seen, want) {
			t.Errorf("%q is not on the page:\n%s", want, seen)
		}
	}
	if !d.out.has("(no-internet)") {
		t.Errorf("the lights show something else:\n%s", d.out)
	}
}

func TestConfigInitStatesThePage(t *testing.T) {
	v := &vendor{dir: t.TempDir()}
	for page, want := range map[string]string{"": `show = "unclaimed"`, "never": `show = "never"`, "sometimes": ""} {
		args := []string{"config", "init"}
		if page != "" {
			args = append(args, "--page", page)
		}
		r := v.box(t, []string{build(t)}, args...)
		if want == "" {
			if r.code != 64 || !strings.Contains(r.errOut, `"sometimes": want one of`) {
				t.Errorf("--page %s: exit %d, %q", page, r.code, r.errOut)
			}
			continue
		}
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("--page %s: exit %d, %s", fmt.Sprintf("%q", page), r.code, r.out)
		}
	}
}

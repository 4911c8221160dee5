package proxy_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/probetest"
	"github.com/sprechprobe/sprechprobe/agent/probe/proxy"
)

// etc is a machine whose resolv.conf says text.
func etc(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/resolv.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

// env is an environment of one variable.
func env(name, value string) func(string) string {
	return func(asked string) string {
		if asked == name {
			return value
		}
		return ""
	}
}

func bare(string) string { return "" }

func summary(e agent.Evidence) string {
	return strings.TrimSpace(e.Outcome.String() + " " + string(e.Reason))
}

func TestEnvironment(t *testing.T) {
	root := etc(t, "search praxis.lan\n") // and no name server
	tests := []struct{ name, value, want string }{
		{"https_proxy", "http://user:secret@10.0.0.5:3128/", "10.0.0.5:3128"},
		{"HTTP_PROXY", "proxy.isp.example:8080", "proxy.isp.example:8080"},
		{"http_proxy", "proxy.praxis.lan:8080", "?:8080"}, // the practice's names stay there
		{"HTTPS_PROXY", "proxy:8080", "?:8080"},
		{"https_proxy", "socks5://10.0.0.5", ""},
		{"no_proxy", "10.0.0.5:3128", ""},
	}
	for _, tt := range tests {
		e := proxy.Probe(proxy.Network{Root: root, Getenv: env(tt.name, tt.value)})(t.Context(), agent.Target{})
		if got := e.Values.Text(agent.Proxy); got != tt.want {
			t.Errorf("%s=%s: proxy %q, want %q", tt.name, tt.value, got, tt.want)
		}
		if got, want := summary(e), map[bool]string{true: "not-looked no-proxy", false: "answered"}[tt.want == ""]; got != want {
			t.Errorf("%s=%s: %s, want %s", tt.name, tt.value, got, want)
		}
	}
}

// practice is a network with a name server, a host called wpad and a proxy, and
// a service beyond it.
type practice struct {
	root    string // of the box
	names   *lab.Process
	tunnels *lab.Process
	pac     string // file that wpad serves
}

// The box is 10.0.0.2; the practice's server 10.0.0.5; the service 198.18.0.2.
func furnish(t *testing.T) practice {
	t.Helper()
	lab.IP(t, `
		link set lo up
		netns add router
		link add box0 type veth peer name lan0 netns router
		addr add 10.0.0.2/24 dev box0
		link set box0 up
		-n router link set lo up
		-n router addr add 10.0.0.1/24 dev lan0
		-n router addr add 10.0.0.5/24 dev lan0
		-n router addr add 10.0.0.6/24 dev lan0
		-n router addr add 198.18.0.2/32 dev lo
		-n router link set lan0 up
		route add default via 10.0.0.1`)
	p := practice{root: etc(t, "search praxis.lan branch.lan\nnameserver 10.0.0.1\n"), pac: filepath.Join(t.TempDir(), "wpad.dat")}
	lab.In(t, "router", func() {
		l, err := net.Listen("tcp4", "198.18.0.2:443")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		p.names = dnsmasq(t, "--host-record=wpad.praxis.lan,10.0.0.5", "--host-record=proxy.praxis.lan,10.0.0.5",
			"--host-record=outside.praxis.lan,198.18.0.2", "--host-record=wpad.public.lan,198.18.0.2",
			"--host-record=wpad.silent.lan,10.0.0.6", "--local=/lan/")
		nginx(t, filepath.Dir(p.pac))
		p.tunnels = tinyproxy(t, "10.0.0.5:3128", "ConnectPort 443")
		tinyproxy(t, "10.0.0.5:3129", "ConnectPort 563")
		tinyproxy(t, "10.0.0.5:3130", "BasicAuth praxis geheim")
		lab.NFT(t, "table ip t { chain c { type filter hook input priority 0; ip daddr 10.0.0.6 drop; }; }")
	})
	return p
}

func dnsmasq(t *testing.T, options ...string) *lab.Process {
	args := append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-", "--log-queries", "--user=",
		"--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=10.0.0.1"}, options...)
	return lab.Start(t, exec.Command(lab.Program(t, "dnsmasq", "dnsmasq-base"), args...), lab.Listens("10.0.0.1:53"))
}

// nginx serves a folder.
func nginx(t *testing.T, folder string) {
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; user root; pid %[1]s/pid; error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p;
	fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server { listen 10.0.0.5:80; listen 198.18.0.2:80; root %[2]s; }
}`, dir, folder)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lab.Start(t, exec.Command(lab.Program(t, "nginx", "nginx-light"), "-p", dir, "-c", file, "-e", "stderr"), lab.Listens("10.0.0.5:80"))
}

func tinyproxy(t *testing.T, addr string, lines ...string) *lab.Process {
	at := netip.MustParseAddrPort(addr)
	file := filepath.Join(t.TempDir(), "tinyproxy.conf")
	text := fmt.Sprintf("Listen %s\nPort %d\nTimeout 30\nMaxClients 10\nLogLevel Info\n%s\n", at.Addr(), at.Port(), strings.Join(lines, "\n"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return lab.Start(t, exec.Command(lab.Program(t, "tinyproxy", "tinyproxy-bin"), "-d", "-c", file), lab.Listens(addr))
}

func (p practice) write(t *testing.T, script string) {
	t.Helper()
	if err := os.WriteFile(p.pac, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRealProxies(t *testing.T) {
	for program, debian := range map[string]string{"ip": "iproute2", "nft": "nftables", "dnsmasq": "dnsmasq-base", "nginx": "nginx-light", "tinyproxy": "tinyproxy-bin"} {
		lab.Program(t, program, debian)
	}
	if !lab.Inside(t) {
		return
	}
	p := furnish(t)
	here := proxy.Network{Root: p.root, Getenv: bare}
	service := agent.Target{Host: "198.18.0.2", Port: 443, Transport: agent.TCP}
	all := func(at string) string {
		return `function FindProxyForURL(url, host) { return "PROXY ` + at + `; DIRECT"; }`
	}
	tests := []struct {
		name   string
		script string // empty: none
		target agent.Target
		want   string
		values agent.Values
	}{
		{name: "no script", want: "not-looked no-proxy"},
		{name: "a script without proxy", script: `return "DIRECT"`, want: "not-looked no-proxy"},
		{name: "a page", script: "<html><body>Willkommen</body></html>", want: "not-looked no-proxy"},
		{name: "by address", script: all("10.0.0.5:3128"), want: "answered", values: agent.Values{agent.Proxy: "10.0.0.5:3128"}},
		{name: "by name", script: all("proxy.praxis.lan:3128"), want: "answered", values: agent.Values{agent.Proxy: "10.0.0.5:3128"}},
		{name: "by short name", script: all("proxy:3128"), want: "answered", values: agent.Values{agent.Proxy: "10.0.0.5:3128"}},
		{name: "by a name that is not there", script: all("gone:3128"), target: service, want: "answered", values: agent.Values{agent.Proxy: "?:3128"}},
		{name: "by a name that leads outside", script: all("outside:443"), target: service, want: "answered", values: agent.Values{agent.Proxy: "?:443"}},
		{name: "outside by address", script: all("198.18.0.2:443"), target: service, want: "answered", values: agent.Values{agent.Proxy: "198.18.0.2:443"}},
		{name: "outside by name", script: all("proxy.isp.example:8080"), target: service, want: "answered", values: agent.Values{agent.Proxy: "proxy.isp.example:8080"}},
		{name: "lets the service pass", script: all("proxy:3128"), target: service, want: "answered",
			values: agent.Values{agent.Proxy: "10.0.0.5:3128", agent.HTTPStatus: 200.0}},
		{name: "bars the port", script: all("proxy:3129"), target: service, want: "answered",
			values: agent.Values{agent.Proxy: "10.0.0.5:3129", agent.HTTPStatus: 403.0}},
		{name: "wants a password", script: all("proxy:3130"), target: service, want: "answered",
			values: agent.Values{agent.Proxy: "10.0.0.5:3130", agent.HTTPStatus: 407.0}},
		{name: "is not there", script: all("proxy:3131"), target: service, want: "answered",
			values: agent.Values{agent.Proxy: "10.0.0.5:3131", agent.Detail: "tunnel: rst"}},
		{name: "is silent", script: all("10.0.0.6:3128"), target: service, want: "answered",
			values: agent.Values{agent.Proxy: "10.0.0.6:3128", agent.Detail: "tunnel: timeout"}},
		{name: "is a web server", script: all("10.0.0.5:80"), target: service, want: "answered",
			values: agent.Values{agent.Proxy: "10.0.0.5:80", agent.HTTPStatus: 400.0}},
		{name: "is a name server", script: all("10.0.0.1:53"), target: service, want: "answered",
			values: agent.Values{agent.Proxy: "10.0.0.1:53", agent.Detail: "tunnel: timeout"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.script == "" {
				_ = os.Remove(p.pac)
			} else {
				p.write(t, tt.script)
			}
			e := proxy.Probe(here)(t.Context(), tt.target)
			if got := summary(e); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			delete(e.Values, agent.RTT)
			if d := cmp.Diff(tt.values, e.Values); d != "" {
				t.Errorf("values (-want +got):\n%s", d)
			}
		})
	}
	t.Run("manners", func(t *testing.T) { p.checkManners(t) })
	t.Run("a name that leads outside is not asked", func(t *testing.T) {
		for _, domain := range []string{"public.lan", "silent.lan"} {
			n := proxy.Network{Root: etc(t, "search "+domain+"\nnameserver 10.0.0.1\n"), Getenv: bare}
			if got := summary(proxy.Probe(n)(t.Context(), service)); got != "not-looked no-proxy" {
				t.Errorf("%s: %s, want no proxy", domain, got)
			}
		}
	})
	t.Run("conformance", func(t *testing.T) {
		p.write(t, all("proxy:3128"))
		probetest.Conform(t, proxy.Probe(here), service, service)
		slow := proxy.Network{Root: etc(t, "search silent.lan\nnameserver 10.0.0.1\n"), Getenv: bare}
		probetest.Conform(t, proxy.Probe(slow), agent.Target{}, agent.Target{})
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got := summary(proxy.Probe(here)(ctx, service)); got != "not-looked cancelled" {
			t.Errorf("%s, want cancelled", got)
		}
	})
}

// checkManners: no name outside the practice's domains was asked for, and the
// proxy was asked for nothing but one tunnel to the service.
func (p practice) checkManners(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(p.names.Said()) {
		_, what, asked := strings.Cut(line, "query[")
		if words := strings.Fields(what); asked && !strings.HasSuffix(words[1], ".praxis.lan") && !strings.HasSuffix(words[1], ".branch.lan") {
			t.Errorf("asked for %s", words[1])
		}
	}
	var requests []string
	for line := range strings.Lines(p.tunnels.Said()) {
		if _, what, ok := strings.Cut(line, "Request (file descriptor "); ok {
			_, what, _ = strings.Cut(what, ": ")
			requests = append(requests, strings.TrimSpace(what))
		}
	}
	if want := []string{"CONNECT 198.18.0.2:443 HTTP/1.1"}; !slices.Equal(requests, want) {
		t.Errorf("the proxy was asked for %q, want %q", requests, want)
	}
}

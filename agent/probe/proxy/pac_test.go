package proxy_test

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/probe/proxy"
)

func TestParsePAC(t *testing.T) {
	tests := []struct {
		name, script string
		want         []string
	}{
		{"one for all", `function FindProxyForURL(url, host) { return "PROXY 10.0.0.5:3128"; }`, []string{"10.0.0.5:3128"}},
		{"several", `if (isInNet(host, "10.0.0.0", "255.0.0.0")) return 'DIRECT'; return "PROXY a.lan:8080; PROXY b.lan:8080; DIRECT";`,
			[]string{"a.lan:8080", "b.lan:8080"}},
		{"direct", `function FindProxyForURL(url, host) { return "DIRECT"; }`, nil},
		{"twice", "\"PROXY Proxy.LAN.:80\" \"proxy proxy.lan\"", []string{"proxy.lan:80"}},
		{"other kinds", `"SOCKS s:1080; HTTPS h:443; HTTP 10.0.0.6:8080"`, []string{"10.0.0.6:8080"}},
		{"IPv6", `"PROXY [fd00::5]:3128"`, []string{"[fd00::5]:3128"}},
		{"comments", "// was \"PROXY old:1\"\n/* 'PROXY older:1' */ return 'PROXY new:3128' // \"", []string{"new:3128"}},
		{"a URL is no comment", `if (url == "http://x/") return "PROXY p:3128"`, []string{"p:3128"}},
		{"an apostrophe of its own", "x = /it's/;\nreturn \"PROXY p:3128\"", []string{"p:3128"}},
		{"put together", `return "PROXY " + name + ":3128"`, nil},
		{"not in quotation marks", `PROXY p:3128`, nil},
		{"no port", `"PROXY p:0" "PROXY p:65536" "PROXY p:http" "PROXY :3128" "PROXY p q:1"`, nil},
		{"no host", `"PROXY fe80::1%eth0:1" "PROXY <b>:1" "PROXY a..b:1" "PROXY ` + strings.Repeat("x", 64) + `:1"`, nil},
		{"too many", `"PROXY a:1;PROXY b:1;PROXY c:1;PROXY d:1;PROXY e:1"`, []string{"a:1", "b:1", "c:1", "d:1"}},
		{"unended", `/* "PROXY a:1"`, nil},
		{"unended text", `"PROXY a:1`, []string{"a:1"}},
		{"only a mark", `"`, nil},
		{"only half a mark", `/`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, proxy.ParsePAC([]byte(tt.script))); diff != "" {
				t.Errorf("proxies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseEnv(t *testing.T) {
	tests := map[string]string{
		"":                                   "",
		"http://10.0.0.5:3128":               "10.0.0.5:3128",
		"http://praxis:geheim@p.lan/":        "p.lan:80",
		"proxy.lan:8080":                     "proxy.lan:8080",
		"https://p.lan:443":                  "",
		"socks5://p.lan:1080":                "",
		"http://[fd00::5]":                   "[fd00::5]:80",
		"http://%zz":                         "",
		"\x00":                               "",
		"http://" + strings.Repeat("x", 300): "",
	}
	for in, want := range tests {
		if got := proxy.ParseEnv(in); got != want {
			t.Errorf("ParseEnv(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzPAC: few proxies come out of any script, each fit for a report, and a
// script that names them gives the same again.
func FuzzPAC(f *testing.F) {
	f.Add([]byte(`function FindProxyForURL(url, host) { return "PROXY 10.0.0.5:3128; DIRECT"; }`))
	f.Add([]byte("// \"PROXY a\n/*'PROXY b:1'*/`PROXY [fd00::1]:80;HTTP c`"))
	f.Add([]byte(`"\"PROXY x:1';"/*`))
	f.Fuzz(func(t *testing.T, script []byte) {
		first := proxy.ParsePAC(script)
		if len(first) > 4 {
			t.Fatalf("%d proxies", len(first))
		}
		for _, o := range first {
			host, port, err := net.SplitHostPort(o)
			n, _ := strconv.Atoi(port)
			if err != nil || host == "" || len(host) > 200 || n < 1 || n > 65535 || strings.ContainsFunc(o, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Errorf("proxy %q", o)
			}
		}
		again := proxy.ParsePAC([]byte(`"PROXY ` + strings.Join(first, "; PROXY ") + `"`))
		if !slices.Equal(first, again) {
			t.Errorf("read again: %q, want %q", again, first)
		}
	})
}

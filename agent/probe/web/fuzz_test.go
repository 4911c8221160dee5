package web_test

import (
	"net/netip"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web"
)

// FuzzRedirects: whatever a page says, few hosts come out of it, each fit for a
// report, and the service itself is never foreign.
func FuzzRedirects(f *testing.F) {
	f.Add("", "", []byte(`<meta http-equiv="refresh" content="0; URL='http://10.1.1.1/guest'">`))
	f.Add("", "0;url=https://portal.test/", []byte(`<script>window.location.replace("https://portal.test/?a=b")</script>`))
	f.Add("http://192.168.179.1/login", "", []byte("<HTML><HEAD><meta http-equiv='content-type'><TITLE>302 Moved</TITLE></HEAD>"))
	f.Add("//[fd00::1%25x]:1/", "URL", []byte(`location=`))
	f.Add("https://h\u00f6tspot.test", "5", []byte("http-equiv=refresh url = \"location.href=`"))
	f.Add("HTTP://VIDEO.practice.TEST.", "", []byte(nil))
	target := agent.Target{Host: host, Port: 80, Transport: agent.TCP}.At(netip.MustParseAddr("192.0.2.1"), "")
	f.Fuzz(func(t *testing.T, location, refresh string, page []byte) {
		found := web.RedirectsOf(location, refresh, page, target)
		if len(found) > 60 {
			t.Errorf("%d hosts", len(found))
		}
		if found[host] {
			t.Error("the service's own host is foreign")
		}
		for h := range found {
			if len(h) > 80 {
				t.Errorf("host of %d bytes", len(h))
			}
			for _, r := range h {
				if r < '!' || r > '~' {
					t.Errorf("host %q", h)
				}
			}
		}
	})
}

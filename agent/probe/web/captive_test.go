package web_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/probe/web"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func html(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, body)
	}
}

func TestCaptive(t *testing.T) {
	own := verdict{agent.Answered, agent.GradeA, ""}
	away := verdict{agent.Tampered, agent.GradeC, agent.Redirect}
	blocked := verdict{agent.Tampered, agent.GradeC, agent.BlockPage}
	tests := []struct {
		name string
		h    http.HandlerFunc
		want verdict
		to   string
	}{
		{"page", html("<p>welcome</p>"), own, ""},
		{"not found", status(404), own, ""},
		{"down", status(503), own, ""},
		{"to https", redirect("https://" + host + "/"), own, ""},
		{"to https, with case and dot", redirect("https://VIDEO.Practice.test./"), own, ""},
		{"to a path", redirect("/start"), own, ""},
		{"to the parent domain", redirect("https://practice.test/"), own, ""},
		{"to a child domain", redirect("https://a." + host + "/"), own, ""},
		{"to a sister", redirect("https://www.practice.test/"), own, ""},
		{"to its own address", redirect("http://127.0.0.1/"), own, ""},
		{"to nowhere", redirect(""), own, ""},
		{"to nonsense", redirect("http://[::1"), own, ""},
		{"to a portal by address", redirect("http://192.168.179.1/login"), away, "192.168.179.1"},
		{"to a portal by name", redirect("https://hotspot.wlan.test/?u=" + url.QueryEscape("http://"+host)), away, "hotspot.wlan.test"},
		{"to a portal without scheme", redirect("//login.lan/"), away, "login.lan"},
		{"to a portal that only ends alike", redirect("http://mypractice.test/"), away, "mypractice.test"},
		{"to an IPv6 address", redirect("http://[fd00::1]:8080/"), away, "fd00::1"},
		{"to an odd host", redirect("http://h\u00f6tspot.test/"), away, "h?tspot.test"},
		{"network authentication required", status(511), blocked, ""},
		{"proxy authentication required", status(407), blocked, ""},
		{"refresh", html(`<html><head><META http-equiv="refresh" content="0; URL='http://10.1.1.1/guest'"></head>`), blocked, "10.1.1.1"},
		{"refresh in the header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Refresh", "0;url=https://portal.test/") }, blocked, "portal.test"},
		{"refresh of itself", html(`<meta http-equiv="refresh" content="30">`), own, ""},
		{"refresh within", html(`<meta http-equiv=refresh content="0;url=/app">`), own, ""},
		{"script", html(`<script>window.location.href = "https://portal.test/login";</script>`), blocked, "portal.test"},
		{"script by call", html(`<script>location.replace('http://portal.test')</script>`), blocked, "portal.test"},
		{"script within", html(`<script>document.location="https://` + host + `/app"; if (location.href == "http://x.test/") {}</script>`), own, ""},
		{"links elsewhere", html(`<a href="https://elsewhere.test/">our location: "https://maps.test/"</a>`), own, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.h)
			t.Cleanup(s.Close)
			e := web.Captive(t.Context(), at(s.Listener.Addr()))
			if d := cmp.Diff(tt.want, of(e)); d != "" {
				t.Errorf("evidence (-want +got):\n%s%v", d, e.Values)
			}
			if got := e.Values.Text(agent.LocationHost); got != tt.to {
				t.Errorf("location_host = %q, want %q", got, tt.to)
			}
			if _, ok := e.Values.Num(agent.HTTPStatus); !ok {
				t.Error("http_status is missing")
			}
		})
	}
}

func TestCaptiveAsksWhatNoCacheKnows(t *testing.T) {
	asked := make(chan *http.Request, 2)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r }))
	t.Cleanup(s.Close)
	target := at(s.Listener.Addr())
	web.Captive(t.Context(), target)
	web.Captive(t.Context(), target)
	a, b := <-asked, <-asked
	if a.Host != netHost(target) {
		t.Errorf("Host %q, want %q", a.Host, netHost(target))
	}
	if q := a.URL.Query().Get("sprechprobe"); len(q) != 16 || q == b.URL.Query().Get("sprechprobe") {
		t.Errorf("queries %q and %q, want two different ones", a.URL.RawQuery, b.URL.RawQuery)
	}
}

func TestCaptiveAmongHostileServers(t *testing.T) {
	tests := []struct {
		name string
		do   func(net.Conn)
		want verdict
	}{
		{"banner", say("SSH-2.0-x\r\n"), verdict{agent.Tampered, agent.GradeC, agent.Garbage}},
		{"endless header line", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "); endless("y")(c) }, verdict{agent.Tampered, agent.GradeC, agent.TooMuch}},
		{"endless body", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); endless("location")(c) }, verdict{agent.Answered, agent.GradeA, ""}},
		{"endless chunks of nothing", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			endless("1;" + strings.Repeat("x", 100) + "\r\ny\r\n")(c)
		}, verdict{agent.Answered, agent.GradeA, ""}},
		{"body that never comes", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"); hold(c) }, verdict{agent.Answered, agent.GradeA, ""}},
		{"reset", reset, verdict{agent.Refused, agent.GradeB, agent.ResetAfter}},
		{"close", say(""), verdict{agent.Refused, agent.GradeB, agent.Closed}},
		{"silence", hold, verdict{agent.Silent, agent.GradeE, agent.Timeout}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if d := cmp.Diff(tt.want, of(web.Captive(ctx, serve(t, tt.do)))); d != "" {
				t.Errorf("evidence (-want +got):\n%s", d)
			}
		})
	}
}

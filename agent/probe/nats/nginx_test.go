package nats_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/nats"
	"github.com/sprechprobe/sprechprobe/agent/probe/web"
	"github.com/sprechprobe/sprechprobe/agent/trust"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
)

// passes and strips are how nginx is told to treat an upgrade; the second is
// what it does when it is told nothing.
const (
	passes = `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";`
	strips = ``
)

// nginx runs a real reverse proxy in front of a target that speaks TLS.
func nginx(t *testing.T, cert tls.Certificate, behind agent.Target, upgrade string) agent.Target {
	t.Helper()
	program := lab.Program(t, "nginx", "nginx-light")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	pem, key := trusttest.Files(t, cert)
	text := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p;
	fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	server {
		listen %[2]s ssl; ssl_certificate %[3]s; ssl_certificate_key %[4]s;
		location / { proxy_pass https://%[5]s; proxy_ssl_verify off; %[6]s }
	}
}`, dir, addr, pem, key, behind.AddrPort(), upgrade)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	lab.Start(t, exec.Command(program, "-p", dir, "-c", file, "-e", "stderr"), lab.Listens(addr))
	return at(t, addr)
}

func TestBehindRealProxy(t *testing.T) {
	lab.Program(t, "nginx", "nginx-light")
	ca := trusttest.Named(t, "Test CA")
	leaf, foreign := ca.Leaf(host), trusttest.Named(t, "Sophos SSL CA").Leaf(host)
	behind := start(t, server.Options{Websocket: socket(&leaf), Username: "u", Password: "p"})
	tests := []struct {
		name    string
		cert    tls.Certificate
		upgrade string
		want    verdict
		rungs   string
		web     verdict
		status  float64
	}{
		{"passes the upgrade", leaf, passes, answered(agent.WSS), "tls:ok upgrade:101", verdict{agent.Answered, agent.GradeA, "", ""}, 101},
		{"strips the upgrade", leaf, strips, verdict{agent.Refused, agent.GradeB, agent.UpgradeRefused, ""}, "info:timeout tls:ok upgrade:400",
			verdict{agent.Answered, agent.GradeA, agent.UpgradeRefused, ""}, 400},
		{"intercepts and passes the upgrade", foreign, passes, verdict{agent.Tampered, agent.GradeC, agent.TLSUnknownCA, agent.WSS}, "tls:tls-unknown-authority upgrade:101",
			verdict{agent.Tampered, agent.GradeC, agent.TLSUnknownCA, ""}, 101},
		{"intercepts and strips the upgrade", foreign, strips, verdict{agent.Tampered, agent.GradeC, agent.TLSUnknownCA, ""}, "info:timeout tls:tls-unknown-authority upgrade:400",
			verdict{agent.Tampered, agent.GradeC, agent.TLSUnknownCA, ""}, 400},
	}
	c := trust.Checker{Roots: ca.Pool(), Now: trusttest.At(trusttest.Today)}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := nginx(t, tt.cert, behind, tt.upgrade)
			e := nats.Probe(c)(t.Context(), target)
			if d := cmp.Diff(tt.want, of(e)); d != "" {
				t.Errorf("nats (-want +got):\n%s%v", d, e.Values)
			}
			if got := e.Values.Text(agent.Rungs); got != tt.rungs {
				t.Errorf("rungs = %q, want %q", got, tt.rungs)
			}
			target.Path = "/"
			e = web.HTTPS(c)(t.Context(), target)
			if d := cmp.Diff(tt.web, of(e)); d != "" {
				t.Errorf("web (-want +got):\n%s%v", d, e.Values)
			}
			if got, _ := e.Values.Num(agent.WSStatus); got != tt.status {
				t.Errorf("ws_status = %v, want %v", got, tt.status)
			}
		})
	}
}

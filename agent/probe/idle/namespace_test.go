package idle_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/probe/idle"
	"github.com/sprechprobe/sprechprobe/agent/trust/trusttest"
)

// The router forgets after forgets seconds, and the services break their silence
// after breaks.
const (
	forgets, breaks = 3, 8

	server4, server6 = "10.0.2.2", "fd00:2::2"
)

// The ports tell the router what to do.
const (
	kept      = 8001 // forgets nothing
	forgotten = 8002 // forgets, and takes up what comes from within
	dropped   = 8003 // forgets, and drops what it does not know
	reset     = 8004 // forgets, and resets what it does not know
	hasty     = 8005 // the service itself closes after a second
	nobodys   = 8006
)

// natsVar makes this program a nats-server: a process of its own can live in
// another network.
const natsVar = "SPRECHPROBE_TEST_NATS"

func TestMain(m *testing.M) {
	if port := os.Getenv(natsVar); port != "" {
		serveNATS(port)
	}
	os.Exit(m.Run())
}

func serveNATS(port string) {
	n, _ := strconv.Atoi(port)
	opts := &server.Options{Host: "::", Port: n, NoLog: true, NoSigs: true, PingInterval: breaks * time.Second}
	if n%2 == 1 {
		opts.Username, opts.Password = "u", "p"
	}
	s, err := server.NewServer(opts)
	if err != nil {
		panic(err)
	}
	s.Start()
	s.WaitForShutdown()
}

// The ports of nats-server, the odd one with credentials.
const natsKept, natsForgotten, natsLocked = 9002, 9004, 9001

// inPractice reports whether this is a run of the calling test inside: box -
// router with NAT - server.
func inPractice(t *testing.T) bool {
	t.Helper()
	for program, debian := range map[string]string{"ip": "iproute2", "nft": "nftables", "nginx": "nginx-light"} {
		lab.Program(t, program, debian)
	}
	t.Parallel()
	if !lab.Inside(t) {
		return false
	}
	lab.Chain(t, "router", "server")
	lab.In(t, "router", func() {
		lab.NFT(t, fmt.Sprintf(`table inet t {
			chain raw {
				type filter hook prerouting priority -300;
				tcp dport { %[1]d, %[2]d } notrack
				tcp sport { %[1]d, %[2]d } notrack
			}
			chain forward {
				type filter hook forward priority 0;
				tcp dport %[3]d tcp flags & (syn|ack) == ack ct state new drop
				tcp dport %[4]d tcp flags & (syn|ack) == ack ct state new reject with tcp reset
			}
			chain nat {
				type nat hook postrouting priority 100;
				oifname out0 masquerade
			}
		}`, kept, natsKept, dropped, reset))
		lab.Set(t, fmt.Sprintf("netfilter/nf_conntrack_tcp_timeout_established %d", forgets))
	})
	lab.In(t, "server", func() {
		nginx(t)
		for _, port := range []int{natsKept, natsForgotten, natsLocked} {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", natsVar, port))
			lab.Start(t, cmd, lab.Listens(fmt.Sprintf("%s:%d", server4, port)))
		}
	})
	return true
}

// nginx serves pages over TLS and keeps connections for a while after a request.
func nginx(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	pem, key := trusttest.Files(t, trusttest.Named(t, "Test CA").Leaf("video.example"))
	servers := ""
	for _, port := range []int{kept, forgotten, dropped, reset, hasty} {
		life := breaks
		if port == hasty {
			life = 1
		}
		servers += fmt.Sprintf("server { listen [::]:%d ipv6only=off ssl; keepalive_timeout %ds; ssl_certificate %s; ssl_certificate_key %s; location / { return 200 hello; } }\n", port, life, pem, key)
	}
	text := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log stderr warn;
events { worker_connections 64; }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p;
	fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	%[2]s
}`, dir, servers)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(lab.Program(t, "nginx", "nginx-light"), "-p", dir, "-c", file, "-e", "stderr")
	lab.Start(t, cmd, lab.Listens(fmt.Sprintf("%s:%d", server4, kept)))
}

func at(addr string, port uint16, s agent.Service) agent.Target {
	return agent.Target{Host: "video.example", Addr: netip.MustParseAddr(addr), Port: port, Transport: agent.TCP, Service: s}
}

// quick are times that fit the router and the services above.
var quick = idle.Times{
	Speak: []time.Duration{1500 * time.Millisecond, 4500 * time.Millisecond},
	Wait:  (breaks + 4) * time.Second,
	Awake: time.Second,
	Grace: 2 * time.Second,
}

func TestRouterForgets(t *testing.T) {
	if !inPractice(t) {
		return
	}
	tests := []struct {
		name        string
		to          agent.Target
		outcome     agent.Outcome
		reason      agent.Reason
		alive, dead any
	}{
		{"nobody forgets", at(server4, kept, agent.HTTPS), agent.Answered, "", 8.0, nil},
		{"nobody forgets, IPv6", at(server6, kept, agent.HTTPS), agent.Answered, "", 8.0, nil},
		{"nobody forgets NATS", at(server4, natsKept, agent.NATS), agent.Answered, "", 8.0, nil},
		// The word of the service is lost, though the box's would not be.
		{"forgotten", at(server4, forgotten, agent.HTTPS), agent.Answered, agent.Timeout, 4.5, 8.0},
		{"forgotten, IPv6", at(server6, forgotten, agent.HTTPS), agent.Answered, agent.Timeout, 4.5, 8.0},
		{"NATS forgotten", at(server4, natsForgotten, agent.NATS), agent.Answered, agent.Timeout, 4.5, 8.0},
		{"dropped", at(server4, dropped, agent.HTTPS), agent.Answered, agent.Timeout, 1.5, 4.5},
		{"reset", at(server4, reset, agent.HTTPS), agent.Answered, agent.ResetAfter, 1.5, 4.5},
		{"the service is hasty", at(server4, hasty, agent.HTTPS), agent.Answered, "", 1.0, nil},
		{"the service wants credentials", at(server4, natsLocked, agent.NATS), agent.NotLooked, agent.TooFew, nil, nil},
		{"nobody listens", at(server4, nobodys, agent.HTTPS), agent.Refused, agent.Reset, nil, nil},
		{"no TLS there", at(server4, natsKept, agent.HTTPS), agent.Tampered, agent.Garbage, nil, nil},
	}
	var cases sync.WaitGroup
	for _, tt := range tests {
		cases.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				e := idle.TCP(quick)(t.Context(), tt.to)
				if e.Outcome != tt.outcome || e.Reason != tt.reason {
					t.Errorf("%v %q, want %v %q", e.Outcome, e.Reason, tt.outcome, tt.reason)
				}
				near(t, e, agent.IdleAlive, tt.alive)
				near(t, e, agent.IdleDead, tt.dead)
			})
		})
	}
	cases.Wait()
}

// near compares seconds, as near as clocks of seconds go.
func near(t *testing.T, e agent.Evidence, k agent.Key, want any) {
	t.Helper()
	got, seen := e.Values.Num(k)
	w, wanted := want.(float64)
	if seen != wanted || seen && (got < w-1.2 || got > w+1.2) {
		t.Errorf("%s = %v, want %v: %v", k, e.Values[k], want, e.Values)
	}
}

package impair_test

import (
	"os/exec"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/impair"
)

// Packets wait for their time, for a change, or for the queue's end, whichever
// comes first; and go on as somebody else wants them.
func TestQueue(t *testing.T) {
	iptables := lab.Program(t, "iptables", "iptables")
	if !lab.Inside(t) {
		return
	}
	lab.Batch(t, "", "netns add far")
	far := lab.Open(t, "far")
	lab.Batch(t, "far", "link set lo up")
	var out []byte
	var err error
	if e := far.Do(func() {
		out, err = exec.Command(iptables, "-t", "raw", "-A", "PREROUTING", "-p", "udp", "-j", "NFQUEUE", "--queue-num", "7").CombinedOutput()
	}); e != nil || err != nil {
		t.Fatalf("%v, %v\n%s", e, err, out)
	}
	server, err := far.ListenPacket("udp4", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c, err := far.Dial(t.Context(), "udp4", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	arrives := func(within time.Duration) string {
		t.Helper()
		buf := make([]byte, 100)
		_ = server.SetReadDeadline(time.Now().Add(within))
		n, _, err := server.ReadFrom(buf)
		if err != nil {
			return "nothing"
		}
		return string(buf[:n])
	}
	expect := func(when string, within time.Duration, want string) {
		t.Helper()
		if got := arrives(within); got != want {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	const long, short = 20 * time.Second, 200 * time.Millisecond
	say := func(what string) {
		t.Helper()
		if _, err := c.Write([]byte(what)); err != nil {
			t.Fatal(err)
		}
	}
	q, err := impair.Open(far, 7, impair.How{})
	if err != nil {
		t.Fatal(err)
	}
	say("one")
	expect("at once", long, "one")
	q.Set(impair.How{Loss: 1})
	say("two")
	expect("lost", short, "nothing")
	// The packet ends with what was said; a checksum of zero is none (RFC 768).
	q.Set(impair.How{Rewrite: func(p []byte) []byte {
		p = append([]byte(nil), p...)
		copy(p[len(p)-5:], "other")
		p[20+6], p[20+7] = 0, 0
		return p
	}})
	say("three")
	expect("rewritten", long, "other")
	q.Set(impair.How{Delay: time.Hour})
	say("four")
	expect("held back", short, "nothing")
	q.Close()
	expect("let go", long, "four")
	if _, err := impair.Open(far, 7, impair.How{}); err != nil {
		t.Errorf("once more: %v", err)
	}
}

package hub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/hub"
)

// A disk that fills up is said before and after, and what was acknowledged is there
// when there is room again.
func TestFullDisk(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	lab.IP(t, "link set lo up")
	dir := t.TempDir()
	mount := func(flags uintptr, size string) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", flags, "size="+size); err != nil {
			lab.LeaveOut(t, "this system does not let namespaces mount: "+err.Error())
		}
	}
	mount(0, "80m")
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	conf := hub.Config{Listen: "127.0.0.1:0", Data: dir, MaxBytes: 1 << 30}
	h := open(t, conf)
	if err := h.Check(t.Context()); err != nil {
		t.Errorf("with room: %v", err)
	}
	js, err := jetstream.New(dial(t, h.URL()))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := fleet.ReportSubject("acme", "one")
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(strings.Repeat("x", 60000))
	acked, early := 0, false
	for err == nil && acked < 3000 {
		ctx, done := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err = js.Publish(ctx, subject, fmt.Append(nil, acked, " ", string(body))); err == nil {
			acked++
		}
		done()
		if acked == 500 {
			early = errors.Is(h.Check(t.Context()), hub.ErrDisk)
		}
	}
	if err == nil || !early {
		t.Fatalf("%d reports of 60 kB fit into 80 MB (%v); said before: %v", acked, err, early)
	}
	said := h.Check(t.Context())
	if !errors.Is(said, hub.ErrDisk) {
		t.Errorf("when it is full: %v", said)
	}
	h.Close()
	mount(unix.MS_REMOUNT, "400m")
	h = open(t, conf)
	if err := h.Check(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
	s, err := h.JetStream().Stream(t.Context(), fleet.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n < uint64(acked) {
		t.Errorf("%d reports are left of %d acknowledged", n, acked)
	}
	t.Logf("%d acknowledged until the disk was full, then: %v", acked, said)
}

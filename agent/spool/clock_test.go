package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab/faketime"
	"github.com/sprechprobe/sprechprobe/agent/spool"
)

// briefVar makes this program one that puts ten records, of a number on, takes
// four, says which, and ends: directory, journal, number.
const briefVar = "SPRECHPROBE_SPOOL_BRIEF"

func brief(dir, journal, from string) {
	s, found := spool.Open(spool.Options{Dir: dir, Journal: journal})
	n, err := strconv.ParseUint(from, 10, 32)
	if err != nil || found.Err != nil || found.Lost > 0 {
		fmt.Println("opened", found, err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for i := range uint32(10) {
		if err := s.Put(record(uint32(n) + i)); err != nil {
			fmt.Println(err)
		}
	}
	for range 4 {
		if r, ok := s.Next(); ok {
			fmt.Println(binary.BigEndian.Uint32(r.Data))
			s.Done(r, 1)
		}
	}
	cancel()
	<-done
	s.Close()
}

// The clock jumps by decades, forth and back, between one run and the next, as on
// boards without a clock chip: order, number and what is there stay as they are.
func TestClockJumps(t *testing.T) {
	dir, journal := t.TempDir(), t.TempDir()
	const year = 365 * 24 * time.Hour
	want, put := uint32(1), uint32(1)
	for i, ahead := range []time.Duration{0, 30 * year, -40 * year, 2 * time.Hour, -2 * year, 70 * year, 0} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", briefVar, dir, journal, put))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := faketime.Run(t, cmd, ahead); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		put += 10
		for _, said := range strings.Fields(out.String()) {
			if said != fmt.Sprint(want) {
				t.Fatalf("%v ahead: record %s came, want %d:\n%s", ahead, said, want, out.String())
			}
			want++
		}
		if int(want) != 1+4*(i+1) {
			t.Fatalf("%v ahead: %d records came", ahead, want-1)
		}
	}
	s, found := spool.Open(spool.Options{Dir: dir, Journal: journal})
	defer s.Close()
	if st := s.Status(); found.Lost != 0 || found.Bad != 0 || st.Waiting != int(put-want) || st.Dropped != 0 || st.Damaged != 0 {
		t.Errorf("%+v, %+v; want %d waiting and nothing lost", found, st, put-want)
	}
}

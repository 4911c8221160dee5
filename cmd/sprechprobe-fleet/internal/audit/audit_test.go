package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
)

func TestEntriesOfSeveralProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "audit.jsonl")
	var all sync.WaitGroup
	for i := range 4 {
		l := audit.Open(path) // each as another process would
		all.Go(func() {
			for j := range 25 {
				if err := l.Add(audit.Entry{Who: fmt.Sprint("u", i), What: "login", Object: fmt.Sprint(j), Result: "ok"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	l := audit.Open(path)
	if n, err := l.Verify(); n != 100 || err != nil {
		t.Errorf("%d lines, %v; want 100", n, err)
	}
	page, err := l.Read(90, 5, nil)
	if err != nil || len(page) != 5 || page[0].No != 91 || page[4].No != 95 {
		t.Errorf("five after 90: %+v, %v", page, err)
	}
	mine, err := l.Read(0, 1000, func(e audit.Entry) bool { return e.Who == "u2" })
	if err != nil || len(mine) != 25 {
		t.Errorf("%d entries of one, want 25; %v", len(mine), err)
	}
}

func TestNothingIsAltered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := audit.Open(path)
	for i := range 5 {
		if err := l.Add(audit.Entry{Who: "ada", What: "command", Tenant: "acme", Object: fmt.Sprint("box", i), Result: "ok"}); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for name, changed := range map[string][]byte{
		"a name":      bytes.Replace(whole, []byte("box2"), []byte("box9"), 1),
		"a line less": bytes.Join(append(append([][]byte{}, lines[:2]...), lines[3:]...), nil),
		"another one": bytes.Join(append(append(append([][]byte{}, lines[:2]...), lines[1]), lines[2:]...), nil),
		"its start":   bytes.Join(lines[1:], nil),
	} {
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Open(path).Verify(); err == nil {
			t.Errorf("%s is changed, and nobody notices", name)
		}
	}
	// Who has the file open notices that it has become shorter.
	if err := os.WriteFile(path, lines[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Add(audit.Entry{What: "login"}); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("the log was cut off: %v", err)
	}
}

// A power cut in the middle of a line loses that line only.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := audit.Open(path).Add(audit.Entry{What: "one"}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"no":2,"what":"tw`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	l := audit.Open(path)
	for _, what := range []string{"three", "four\x00\u202e" + strings.Repeat("x", 1000)} {
		if err := l.Add(audit.Entry{What: what}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := l.Read(0, 10, nil)
	if err != nil || len(got) != 3 || got[1].What != "three" || got[1].No != 3 || len(got[2].What) > 210 || strings.ContainsAny(got[2].What, "\x00\u202e") {
		t.Errorf("%+v, %v", got, err)
	}
	if n, err := l.Verify(); n != 4 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
	if got, err := audit.Open(filepath.Join(t.TempDir(), "none")).Read(0, 10, nil); err != nil || len(got) != 0 {
		t.Errorf("no log: %v, %v", got, err)
	}
}

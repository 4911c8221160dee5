// Package audit keeps who did what, in a file that is only ever added to. Each line
// holds the hash of the one before it, so that a line which is changed or taken out
// shows. It does not know what the deeds mean.
package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// Entry is one deed. Fields are a contract: people export them.
type Entry struct {
	No     uint64    `json:"no"` // the line in the file, from 1
	At     time.Time `json:"at"`
	Who    string    `json:"who"`              // empty: nobody who is known
	Method string    `json:"method,omitempty"` // how they showed it
	From   string    `json:"from,omitempty"`   // network address, shortened
	What   string    `json:"what"`             // lower-kebab-case: login, claim, command ...
	Tenant string    `json:"tenant,omitempty"`
	Object string    `json:"object,omitempty"` // box, user or token
	Result string    `json:"result"`           // ok, or why not
	Prev   string    `json:"prev"`             // SHA-256 of the line before; empty in the first
}

const (
	maxText = 200      // of one field, characters
	maxLine = 16 << 10 // of the file, bytes
)

// Log is the file. It is safe for concurrent use, also by several processes.
type Log struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	end  int64  // up to here the file is known
	no   uint64 // lines up to there
	last string // hash of the last of them
}

// Open opens the log in a file, which is made by the first entry.
func Open(path string) *Log { return &Log{path: path, now: time.Now} }

// Add writes an entry; No, At and Prev are filled in. It is on disk on return.
func (l *Log) Add(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.add(e); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

func (l *Log) add(e Entry) error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // unlocks too
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if err := l.catchUp(f); err != nil {
		return err
	}
	e.No, e.At, e.Prev = l.no+1, l.now().UTC(), l.last
	for _, field := range []*string{&e.Who, &e.Method, &e.From, &e.What, &e.Tenant, &e.Object, &e.Result} {
		*field = clean(*field)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	return f.Sync()
}

// catchUp reads what was added since, by us or by others. A line that a power cut
// or a full disk left torn stays as it is, and is ended.
func (l *Log) catchUp(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < l.end {
		return fmt.Errorf("%s has become shorter", l.path)
	}
	r := bufio.NewReader(io.NewSectionReader(f, l.end, info.Size()-l.end))
	for {
		line, err := r.ReadBytes('\n')
		whole, ended := bytes.CutSuffix(line, []byte{'\n'})
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case len(line) == 0:
			return nil
		case !ended:
			if _, err := f.Write([]byte{'\n'}); err != nil {
				return err
			}
			l.end++
		}
		l.end += int64(len(line))
		l.no, l.last = l.no+1, hash(whole)
	}
}

func hash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// Read returns up to most entries after the one of number after, in order, that
// want wants (nil: all). Lines that cannot be read are left out.
func (l *Log) Read(after uint64, most int, want func(Entry) bool) ([]Entry, error) {
	out := []Entry{}
	err := l.each(func(no uint64, line []byte) bool {
		var e Entry
		if no > after && json.Unmarshal(line, &e) == nil && (want == nil || want(e)) {
			e.No = no
			out = append(out, e)
		}
		return len(out) < most
	})
	return out, err
}

// Verify reads the whole file and says at which line the chain is broken, if it is.
// A file whose end was cut off passes: compare the last number with an export.
func (l *Log) Verify() (lines uint64, err error) {
	var prev string
	var broken error
	err = l.each(func(no uint64, line []byte) bool {
		var e Entry
		// A line that is not whole has no hash, but the next one has its.
		if json.Unmarshal(line, &e) == nil && (e.Prev != prev || e.No != no) {
			broken = fmt.Errorf("audit: %s: line %d does not follow from the one before", l.path, no)
			return false
		}
		lines, prev = no, hash(line)
		return true
	})
	return lines, errors.Join(err, broken)
}

func (l *Log) each(do func(no uint64, line []byte) bool) error {
	f, err := os.Open(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxLine)
	for no := uint64(1); s.Scan(); no++ {
		if !do(no, s.Bytes()) {
			return nil
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// clean keeps foreign text short and printable.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText]) + "…"
	}
	return s
}

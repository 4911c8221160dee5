package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/atomicfile"
)

// State is all that is kept about access. Of passwords, links, tokens and sessions
// there are hashes only.
type State struct {
	Users    []User    `json:"users"`
	Tokens   []Token   `json:"tokens"`
	Sessions []Session `json:"sessions"`
	Setup    *Once     `json:"setup,omitempty"` // makes the first admin
}

// User is a person with a local password.
type User struct {
	Name      string    `json:"name"`
	Right     Right     `json:"right"`
	Password  string    `json:"password,omitempty"` // hash; empty: none set yet
	Link      *Once     `json:"link,omitempty"`     // to set one
	Epoch     string    `json:"epoch"`              // sessions of another epoch are void
	CreatedAt time.Time `json:"created_at"`
	LoginAt   time.Time `json:"login_at,omitzero"` // the last time; zero: never
}

// Once is a link that works once.
type Once struct {
	Hash    string    `json:"hash"`
	UntilAt time.Time `json:"until_at"`
}

// Token lets a program in.
type Token struct {
	ID        string    `json:"id"`
	Hash      string    `json:"hash"`
	Label     string    `json:"label"`
	Right     Right     `json:"right"`
	CreatedAt time.Time `json:"created_at"`
	UntilAt   time.Time `json:"until_at,omitzero"` // zero: until it is revoked
}

// Session is somebody who has logged in.
type Session struct {
	Hash      string    `json:"hash"`
	User      string    `json:"user,omitempty"` // a local user, with that user's rights of today
	Epoch     string    `json:"epoch,omitempty"`
	Who       *Who      `json:"who,omitempty"` // or somebody from a provider, as it was at login
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
}

// Store keeps the state. It is safe for concurrent use.
type Store interface {
	// Read returns the newest state, which must not be changed. Each request asks
	// for it, so it has to be quick.
	Read() (State, error)
	// Update changes the state by itself alone, also where several programs use
	// the store. An error of change leaves everything as it was and is returned.
	Update(change func(*State) error) error
}

// File is a Store in a file, which several processes of one machine may share.
type File struct {
	path string

	mu    sync.Mutex
	seen  stamp
	state State
}

// stamp tells one version of a file from another: each is a file of its own.
type stamp struct {
	inode uint64
	size  int64
	mtime time.Time
}

// OpenFile opens the store in a file. A file that is not there is an empty store.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	_, err := f.Read()
	return f, err
}

// Read implements [Store].
func (f *File) Read() (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.read()
	return f.state, err
}

func (f *File) read() error {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.state, f.seen = State{}, stamp{}
		return nil
	case err != nil:
		return fmt.Errorf("access: %w", err)
	}
	now := stamp{size: info.Size(), mtime: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		now.inode = sys.Ino
	}
	if now == f.seen {
		return nil
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("access: %w", err)
	}
	var s State
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields() // what a newer program wrote must not get lost
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("access: %s: %w", f.path, err)
	}
	f.state, f.seen = s, now
	return nil
}

// Update implements [Store].
func (f *File) Update(change func(*State) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	unlock, err := lock(f.path + ".lock")
	if err != nil {
		return fmt.Errorf("access: %w", err)
	}
	defer unlock()
	if err := f.read(); err != nil {
		return err
	}
	next, err := f.state.clone()
	if err != nil {
		return err
	}
	if err := change(&next); err != nil {
		return err
	}
	data, err := json.MarshalIndent(next, "", " ")
	if err != nil {
		return err
	}
	if err := atomicfile.Replace(f.path, append(data, '\n')); err != nil {
		return fmt.Errorf("access: %w", err)
	}
	return f.read()
}

// clone is a copy that shares nothing with s.
func (s State) clone() (out State, err error) {
	data, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	return out, err
}

// lock waits until no other process holds the file.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil // closing unlocks
}

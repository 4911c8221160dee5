package spool_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/sprechprobe/sprechprobe/agent/spool"
)

// model is a machine's files: a disk, which forgets in a power cut what was not
// synced, and memory below /run, which forgets everything then. Calls can be made
// to fail, or the program to be killed in the middle of one. It may be looked at
// while a program runs on it; the hook is called without its lock, so that it may
// look too, or hang.
type model struct {
	mu      sync.Mutex
	now     map[string]*node // as a program sees it
	durable map[string]*node // the disk's names after a power cut
	locked  map[string]bool

	calls int
	hook  func(call int, op, name string) fault
	wrote map[string]int64 // bytes by directory
	syncs int
}

type node struct {
	data   []byte
	synced []byte
}

// fault is what happens to a call.
type fault struct {
	err   error
	kill  bool
	share float64 // of a write that is done nevertheless, 0 to 1
}

// killed is what a call panics with that the program does not survive.
type killed struct{}

const (
	onDisk = "/disk"
	inRun  = "/run/spool"
)

func newModel() *model {
	return &model{now: map[string]*node{}, durable: map[string]*node{}, locked: map[string]bool{}, wrote: map[string]int64{}}
}

func (m *model) call(op, name string) fault {
	m.mu.Lock()
	m.calls++
	n, hook := m.calls, m.hook
	m.mu.Unlock()
	if hook == nil {
		return fault{}
	}
	f := hook(n, op, name)
	if f.kill && op != "write" {
		panic(killed{})
	}
	return f
}

type unlocker func()

func (u unlocker) Close() error { u(); return nil }

func (m *model) Lock(dir string) (io.Closer, error) {
	if f := m.call("lock", dir); f.err != nil {
		return nil, f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked[dir] {
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: syscall.EWOULDBLOCK}
	}
	m.locked[dir] = true
	return unlocker(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.locked[dir] = false
	}), nil
}

func (m *model) List(dir string) ([]string, error) {
	if f := m.call("list", dir); f.err != nil {
		return nil, f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for n := range m.now {
		if filepath.Dir(n) == dir {
			names = append(names, filepath.Base(n))
		}
	}
	return names, nil
}

func (m *model) Read(name string, most int64) ([]byte, error) {
	if f := m.call("read", name); f.err != nil {
		return nil, f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(n.data[:min(int64(len(n.data)), most)]), nil
}

func (m *model) ReadAt(name string, b []byte, off int64) error {
	if f := m.call("readat", name); f.err != nil {
		return f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now[name]
	if n == nil {
		return fs.ErrNotExist
	}
	if _, err := bytes.NewReader(n.data).ReadAt(b, off); err != nil {
		return err
	}
	return nil
}

func (m *model) Create(name string) (spool.File, error) {
	if f := m.call("create", name); f.err != nil {
		return nil, f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now[name] != nil {
		return nil, fs.ErrExist
	}
	m.now[name] = &node{}
	return &handle{m, name, m.now[name]}, nil
}

func (m *model) Rename(from, to string) error {
	if f := m.call("rename", to); f.err != nil {
		return f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now[from] == nil {
		return fs.ErrNotExist
	}
	m.now[to] = m.now[from]
	delete(m.now, from)
	return nil
}

func (m *model) Remove(name string) error {
	if f := m.call("remove", name); f.err != nil {
		return f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now[name] == nil {
		return fs.ErrNotExist
	}
	delete(m.now, name)
	return nil
}

func (m *model) SyncDir(dir string) error {
	if f := m.call("syncdir", dir); f.err != nil {
		return f.err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncs++
	for name := range m.durable {
		if filepath.Dir(name) == dir && m.now[name] == nil {
			delete(m.durable, name)
		}
	}
	for name, n := range m.now {
		if filepath.Dir(name) == dir {
			m.durable[name] = n
		}
	}
	return nil
}

type handle struct {
	m    *model
	name string
	n    *node
}

func (h *handle) Write(b []byte) (int, error) {
	f := h.m.call("write", h.name)
	done := len(b)
	if f.err != nil || f.kill {
		done = int(f.share * float64(len(b)))
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.n.data = append(h.n.data, b[:done]...)
	h.m.wrote[filepath.Dir(h.name)] += int64(done)
	if f.kill {
		panic(killed{})
	}
	return done, f.err
}

func (h *handle) Sync() error {
	if f := h.m.call("sync", h.name); f.err != nil {
		return f.err
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.m.syncs++
	h.n.synced = slices.Clone(h.n.data)
	return nil
}

func (h *handle) Close() error { return nil }

// restarted is the machine after the program was killed.
func (m *model) restarted() *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := newModel()
	n.durable, n.now = m.durable, m.now
	return n
}

// powerCut is the machine after a power cut: of names that were not synced the
// old or the new are there, of bytes that were not synced some, none, zeros or
// others. Memory is empty.
func (m *model) powerCut(r *rand.Rand) *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := newModel()
	names := map[string]bool{}
	for name := range m.now {
		names[name] = true
	}
	for name := range m.durable {
		names[name] = true
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for k := range names {
			if !yield(k) {
				return
			}
		}
	}) {
		was := m.durable[name]
		if is := m.now[name]; is != was && r.IntN(2) == 0 {
			was = is
		}
		if was == nil || !strings.HasPrefix(name, onDisk+"/") {
			continue
		}
		data := was.survives(r)
		n.now[name] = &node{data, data}
		n.durable[name] = n.now[name]
	}
	return n
}

func (n *node) survives(r *rand.Rand) []byte {
	out := slices.Clone(n.synced)
	tail := slices.Clone(n.data[len(n.synced):])
	if len(tail) == 0 {
		return out
	}
	switch r.IntN(5) {
	case 0: // nothing
	case 1:
		out = append(out, tail[:r.IntN(len(tail)+1)]...)
	case 2:
		out = append(out, make([]byte, len(tail))...)
	case 3: // a sector of it did not make it
		from := r.IntN(len(tail))
		clear(tail[from:min(from+512, len(tail))])
		out = append(out, tail...)
	default:
		out = append(out, tail...)
	}
	return out
}

func (m *model) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for name, n := range m.now {
		fmt.Fprintf(&b, "%s: %d bytes, %d synced\n", name, len(n.data), len(n.synced))
	}
	return b.String()
}

// wipe empties a directory.
func (m *model) wipe(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.now {
		if filepath.Dir(name) == dir {
			delete(m.now, name)
		}
	}
}

// size is what the files in a directory take, bytes.
func (m *model) size(dir string) (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, f := range m.now {
		if filepath.Dir(name) == dir {
			n += int64(len(f.data))
		}
	}
	return n
}

// written is what was ever written into a directory, bytes.
func (m *model) written(dir string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wrote[dir]
}

// onCall has every later call asked about; nil ends that.
func (m *model) onCall(hook func(call int, op, name string) fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

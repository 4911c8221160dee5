package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// files is what the spool asks of the system. Tests put one in its place that
// fails, or that forgets what was not synced.
type files interface {
	// Lock makes a directory and keeps other processes out until it is closed.
	Lock(dir string) (io.Closer, error)
	// List returns the names in a directory, at most a bounded number.
	List(dir string) ([]string, error)
	// Read returns the first bytes of a file, at most most.
	Read(name string, most int64) ([]byte, error)
	// ReadAt fills b.
	ReadAt(name string, b []byte, off int64) error
	// Create makes a file that is not there.
	Create(name string) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes the names in a directory outlive a power cut.
	SyncDir(dir string) error
}

// file is one that is appended to.
type file interface {
	io.WriteCloser
	Sync() error
}

// mostNames bounds what is read of a directory.
const mostNames = 1 << 14

// system is the real thing.
type system struct{}

// Lock uses the directory itself, so that it works on a disk that cannot be
// written.
func (system) Lock(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.Close()
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
	}
	return d, nil
}

func (system) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(mostNames)
	if errors.Is(err, io.EOF) {
		err = nil // an empty one
	}
	return names, err
}

func (system) Read(name string, most int64) ([]byte, error) {
	f, err := regular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

func (system) ReadAt(name string, b []byte, off int64) error {
	f, err := regular(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(b, off)
	return err
}

// regular opens a file that has an end: a pipe in its place would be waited for.
func regular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, &fs.PathError{Op: "open", Path: name, Err: syscall.EINVAL})
	}
	return f, nil
}

func (system) Create(name string) (file, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

func (system) Rename(from, to string) error { return os.Rename(from, to) }

func (system) Remove(name string) error { return os.Remove(name) }

func (system) SyncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // not every file system has it
		return err
	}
	return nil
}

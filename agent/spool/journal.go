package spool

import (
	"io"
	"path/filepath"
	"time"
)

// journal keeps what is not on the disk in a file that outlives the program but
// not the machine: it lies in memory, so nothing is ever synced. It is one file,
// written anew when most of it is of the past.
type journal struct {
	files files
	dir   string
	lock  io.Closer // nil: there is no journal
	out   file      // nil: broken, to be written anew
	size  int64     // of the file, bytes
	live  int64     // of what was written at last anew, bytes
	tried time.Time // when it was last written anew
}

const (
	journalName = "journal"
	// mostJournal is what is read of one, bytes: more than it ever grows to.
	mostJournal = 8 * mostInMemory
	// slack is what a journal may hold of the past, bytes.
	slack = 128 << 10
)

// openJournal returns the journal in dir, with what is in it. Without a journal
// the spool works, but forgets more when the program is killed.
func openJournal(fs files, dir string) (*journal, []byte, error) {
	j := &journal{files: fs, dir: dir}
	if dir == "" {
		return j, nil, nil
	}
	lock, err := fs.Lock(dir)
	if err != nil {
		return j, nil, err
	}
	j.lock = lock
	b, _ := fs.Read(j.name(), mostJournal) // none, or none that helps
	return j, b, nil
}

func (j *journal) name() string { return filepath.Join(j.dir, journalName) }

// add appends frames, and reports whether the journal is to be written anew.
func (j *journal) add(b []byte) (anew bool) {
	if j.lock == nil {
		return false
	}
	if j.out == nil {
		return time.Since(j.tried) > retry
	}
	if _, err := j.out.Write(b); err != nil {
		j.out.Close()
		j.out = nil
		return false
	}
	j.size += int64(len(b))
	return j.size > 2*j.live+slack
}

// renew puts b in place of all that was there. A kill leaves the old or the new.
func (j *journal) renew(b []byte) error {
	if j.lock == nil {
		return nil
	}
	if j.out != nil {
		j.out.Close()
		j.out = nil
	}
	j.tried = time.Now()
	fresh := j.name() + ".new"
	_ = j.files.Remove(fresh) // of one that was killed
	out, err := j.files.Create(fresh)
	if err != nil {
		return err
	}
	if _, err = out.Write(b); err == nil {
		err = j.files.Rename(fresh, j.name())
	}
	if err != nil {
		out.Close()
		_ = j.files.Remove(fresh)
		return err
	}
	j.out, j.size, j.live = out, int64(len(b)), int64(len(b))
	return nil
}

func (j *journal) close() {
	if j.out != nil {
		j.out.Close()
	}
	if j.lock != nil {
		j.lock.Close()
	}
	j.out, j.lock = nil, nil
}

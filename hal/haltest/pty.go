package haltest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Pty is a pair of terminals in place of a serial cable.
type Pty struct {
	Master *os.File // the far end; closing it unplugs the cable
	Path   string   // the near end, to be opened as a serial port

	slave *os.File
}

// NewPty makes a pair that goes with the test. Bytes pass it unchanged. The
// near end is kept open, so that the far end outlives those who open and
// close the port.
func NewPty(t testing.TB) *Pty {
	t.Helper()
	p, err := openPty()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Unplug)
	return p
}

func openPty() (*Pty, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	p := &Pty{Master: master}
	if err = p.unlock(); err == nil {
		p.slave, err = os.OpenFile(p.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = control(p.slave, makeRaw)
	}
	if err != nil {
		p.Unplug()
		return nil, fmt.Errorf("open pseudo terminal: %w", err)
	}
	return p, nil
}

// unlock lets the near end be opened and finds out its name.
func (p *Pty) unlock() error {
	return control(p.Master, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
		p.Path = filepath.Join("/dev/pts", fmt.Sprint(n))
		return err
	})
}

// Unplug hangs up. It may be called again.
func (p *Pty) Unplug() {
	_ = p.Master.Close()
	if p.slave != nil {
		_ = p.slave.Close()
	}
}

// Stop lets writes to the near end block from now on, as a panel does that
// has hung up its flow control.
func (p *Pty) Stop() error { return p.flow(unix.TCOOFF) }

// Go ends what Stop began.
func (p *Pty) Go() error { return p.flow(unix.TCOON) }

func (p *Pty) flow(action int) error {
	return control(p.slave, func(fd int) error { return unix.IoctlSetInt(fd, unix.TCXONC, action) })
}

// makeRaw switches off echo and every change of bytes.
func makeRaw(fd int) error {
	s, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	s.Iflag, s.Oflag, s.Lflag = 0, 0, 0
	s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, s)
}

// control runs f on a file's descriptor without making the file blocking.
func control(f *os.File, fn func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// Near is the near end as a file, for programs that do not open a port. It is
// closed by Unplug.
func (p *Pty) Near() *os.File { return p.slave }

// Package postgres is a PostgreSQL server of Debian's for tests, in a directory of
// its own. It knows nothing of what is kept in it.
package postgres

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// User is who may do everything, and Database what is there at the start.
const (
	User     = "fleet"
	Database = "postgres"
)

// Server is one server. It hears on a socket in its directory, and where its options
// say so.
type Server struct {
	Dir string // of the socket

	bin, data string
	port      string
	options   []string
	as        *syscall.SysProcAttr
	server    *exec.Cmd // nil: stopped
	out       bytes.Buffer
}

// Start makes a server and starts it, with options as postgres -c takes them, until
// the test ends. It is not root, and fsync is on as in life only if the options say so.
func Start(t testing.TB, options ...string) *Server {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		lab.LeaveOut(t, "PostgreSQL is not installed")
	}
	dir, err := os.MkdirTemp("", "pg-") // short: the name of a socket has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{Dir: dir, bin: filepath.Dir(found[len(found)-1]), data: filepath.Join(dir, "data"), options: options, port: "5432",
		as: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}}
	if os.Getuid() == 0 {
		s.as.Credential = somebody(t)
	}
	for _, o := range options {
		if port, ok := strings.CutPrefix(o, "port="); ok {
			s.port = port
		}
	}
	s.Own(t, dir)
	if c, out := s.command("initdb", "-D", s.data, "-U", User, "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8"); c.Run() != nil {
		t.Fatalf("initdb: %s", out)
	}
	t.Cleanup(func() {
		if s.server != nil {
			s.Stop(t, "fast")
		}
	})
	s.Start(t)
	return s
}

// Own gives files to who the server is.
func (s *Server) Own(t testing.TB, files ...string) {
	t.Helper()
	if s.as.Credential == nil {
		return
	}
	for _, f := range files {
		if err := os.Chown(f, int(s.as.Credential.Uid), int(s.as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// URL is where the server is, by its socket.
func (s *Server) URL() string {
	return "postgres://" + User + "@/" + Database + "?host=" + url.QueryEscape(s.Dir) + "&port=" + s.port
}

// Said is the server's log. It is to be read while the server is stopped.
func (s *Server) Said() string { return s.out.String() }

// Data is the directory of the server's data and settings.
func (s *Server) Data() string { return s.data }

// Start starts a server that was stopped.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	args := []string{"-D", s.data, "-k", s.Dir, "-c", "listen_addresses=", "-c", "fsync=off"}
	for _, o := range s.options {
		args = append(args, "-c", o)
	}
	s.server, _ = s.command("postgres", args...)
	s.server.Stdout, s.server.Stderr = &s.out, &s.out
	if err := s.server.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(60 * time.Second); ; {
		if c, _ := s.command("pg_isready", "-h", s.Dir, "-p", s.port, "-U", User, "-d", Database, "-t", "5"); c.Run() == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("PostgreSQL did not start")
		}
	}
}

// Stop stops the server as pg_ctl stop -m does: fast ends connections in order,
// immediate leaves them and the data as a crash would.
func (s *Server) Stop(t testing.TB, how string) {
	t.Helper()
	if c, out := s.command("pg_ctl", "stop", "-D", s.data, "-m", how, "-W"); c.Run() != nil {
		t.Errorf("stop PostgreSQL: %s", out)
	}
	_ = s.server.Wait() // immediate is no good end
	s.server = nil
}

func (s *Server) command(name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	c := exec.Command(filepath.Join(s.bin, name), args...)
	out := &bytes.Buffer{}
	c.Dir, c.SysProcAttr, c.Stdout, c.Stderr = s.Dir, s.as, out, out
	return c, out
}

// somebody is a user who is not root.
func somebody(t testing.TB) *syscall.Credential {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.ParseUint(u.Uid, 10, 32)
		gid, errG := strconv.ParseUint(u.Gid, 10, 32)
		if errU == nil && errG == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	lab.LeaveOut(t, "PostgreSQL does not run as root, and there is nobody else")
	return nil
}

package history_test

import (
	"bytes"
	"crypto/rand"
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

	"github.com/jackc/pgx/v5"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// postgres runs a server of Debian's for one test and returns its URL. It hears on
// a socket in a directory of the test's own only, and is not root.
func postgres(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		lab.LeaveOut(t, "PostgreSQL is not installed")
	}
	bin := filepath.Dir(found[len(found)-1])
	dir, err := os.MkdirTemp("", "pg-") // short: the name of a socket has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		as.Credential = somebody(t)
		if err := os.Chown(dir, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	command := func(name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
		c := exec.Command(filepath.Join(bin, name), args...)
		var out bytes.Buffer
		c.Dir, c.SysProcAttr, c.Stdout, c.Stderr = dir, as, &out, &out
		return c, &out
	}
	data := filepath.Join(dir, "data")
	if c, out := command("initdb", "-D", data, "-U", "fleet", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8"); c.Run() != nil {
		t.Fatalf("initdb: %s", out)
	}
	server, out := command("postgres", "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT) // fast shutdown
		_ = server.Wait()
	})
	ready := time.Now().Add(30 * time.Second)
	for {
		if c, _ := command("pg_isready", "-h", dir, "-U", "fleet", "-d", "postgres", "-t", "5"); c.Run() == nil {
			break
		}
		if time.Now().After(ready) {
			t.Fatalf("PostgreSQL did not start: %s", out)
		}
	}
	return "postgres://fleet@/postgres?host=" + url.QueryEscape(dir)
}

// database makes a database of its own on a server.
func database(t *testing.T, where string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	name := "t" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(where, "/postgres?", "/"+name+"?", 1)
}

// somebody is a user who is not root.
func somebody(t *testing.T) *syscall.Credential {
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

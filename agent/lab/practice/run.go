package practice

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent/lab/faketime"
)

// Result is what a program said.
type Result struct {
	Out, Err string
	Code     int
	Took     time.Duration
}

// Run runs a program of the box to its end: it trusts the lab's authority and
// nobody else. Its network, /sys and /etc/resolv.conf are this process's own.
func (pr *Practice) Run(cmd *exec.Cmd) Result {
	pr.t.Helper()
	return pr.run(cmd, (*exec.Cmd).Run)
}

// RunAhead is [Practice.Run] with a clock that is ahead of this machine's, or
// behind where negative.
func (pr *Practice) RunAhead(cmd *exec.Cmd, ahead time.Duration) Result {
	pr.t.Helper()
	return pr.run(cmd, func(cmd *exec.Cmd) error { return faketime.Run(pr.t, cmd, ahead) })
}

func (pr *Practice) run(cmd *exec.Cmd, run func(*exec.Cmd) error) Result {
	pr.t.Helper()
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.Env = append(cmd.Environ(), pr.Environ()...)
	began := time.Now()
	err := run(cmd)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		pr.t.Fatalf("%q: %v", cmd.Args, err)
	}
	return Result{Out: out.String(), Err: said.String(), Code: cmd.ProcessState.ExitCode(), Took: time.Since(began)}
}

// Environ is what a program of the box needs in its environment.
func (pr *Practice) Environ() []string {
	none := strings.TrimSuffix(pr.resolvConf, "resolv.conf") + "no-roots"
	_ = os.Mkdir(none, 0o755)
	return []string{"SSL_CERT_FILE=" + pr.Internet.CAFile, "SSL_CERT_DIR=" + none}
}

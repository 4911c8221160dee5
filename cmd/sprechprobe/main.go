// Command sprechprobe is the box's program: it finds out whether video
// consultations will work from this network, and if not, who has to change
// what.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // roots for systems without ca-certificates

	"github.com/sprechprobe/sprechprobe/cmd/internal/buildinfo"
)

// Exit codes. 0 to 3 are the verdicts of check.
const (
	exitReady   = 0
	exitLimited = 1
	exitBlocked = 2 // or offline
	exitUnknown = 3
	exitFailed  = 1 // of commands other than check
	exitUsage   = 64
)

// env is what a command gets from the world.
type env struct {
	out, err io.Writer
}

type command struct {
	name string
	args string
	what string
	run  func(ctx context.Context, e env, args []string) (int, error)
}

var commands = []command{
	{"run", "[--config F]", "the daemon: look on schedule, drive the lights, report", run},
	{"check", "[--profile P,Q] [--config F] [--format text|json] [--lang de|en] [--bandwidth] [--rehearse]", "look once, with a retest, and say what to change", check},
	{"bandwidth", bandwidthArgs, "measure against an iperf3 server", bandwidth},
	{"request", "[--config F] [--report F] [--lang de|en]", "the release request for the firewall, from the newest round", request},
	{"status", "[--config F] [--format text|json] [--lang de|en]", "what the running box says, by its newest round", status},
	{"lights", "list|show STATE|identify|release [--config F] [--lang de|en]", "find and drive the lights of this board, and say what they mean", lights},
	{"identity", identityArgs, "the box's key and claim code, and whose it is", showIdentity},
	{"config", "check|show|init|sheet|adopt [--config F] [--profile P,Q] [--page never|unclaimed|always] [--lang de|en], or from-uci [FILE]", "check, show or make a configuration; a sheet for the practice's records; take over the boot partition's", configure},
	{"version", "", "version and platform", version},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := start(ctx, env{os.Stdout, os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

// start runs the command that args name.
func start(ctx context.Context, e env, args []string) int {
	if len(args) == 0 {
		usage(e.err)
		return exitUsage
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		code, err := c.run(ctx, e, args[1:])
		switch {
		case errors.Is(err, flag.ErrHelp):
			fmt.Fprintf(e.out, "usage: sprechprobe %s %s\n%s\n", c.name, c.args, c.what)
			return 0
		case err != nil:
			fmt.Fprintf(e.err, "sprechprobe %s: %v\n", c.name, err)
		}
		return code
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(e.out)
		return 0
	}
	if args[0] == "--version" {
		code, _ := version(ctx, e, nil)
		return code
	}
	fmt.Fprintf(e.err, "sprechprobe: no command %q\n", args[0])
	usage(e.err)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: sprechprobe COMMAND [flags]")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-9s %s\n            %s\n", c.name, c.args, c.what)
	}
}

// flags makes a flag set that leaves talking to start.
func flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

// parse reads flags and refuses what is left over.
func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("what is %q?", f.Arg(0))
	}
	return nil
}

func version(_ context.Context, e env, _ []string) (int, error) {
	fmt.Fprintf(e.out, "sprechprobe %s %s\n", buildinfo.Version(), buildinfo.Platform())
	return 0, nil
}

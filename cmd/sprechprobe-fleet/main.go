// Command sprechprobe-fleet is the vendor's program: it takes the reports of all
// boxes and shows them, is the far end of their measurements, and demonstrates the
// whole product on one machine.
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
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 64
)

// env is what a command gets from the world.
type env struct {
	in       *os.File
	out, err io.Writer
}

// errUsage wraps what is wrong with the way a command was called.
type errUsage struct{ error }

type command struct {
	name, args, what string
	run              func(ctx context.Context, e env, args []string) error
}

var commands = []command{
	{"serve", serveArgs, "take the boxes' reports and show them on a page", serve},
	{"nats-config", configArgs, "write the bus's configuration, and the vendor's keys", natsConfig},
	{"boxes", boxesArgs, "list the boxes that wait to be claimed, and those that have been", boxes},
	{"claim", claimArgs, "give a box to a tenant", claim},
	{"revoke", revokeArgs, "take a box its rights", revoke},
	{"push", pushArgs, "tell the bus of all boxes again", push},
	{"assign", assignArgs, "give settings to a box", assign},
	{"command", commandArgs, "ask a box to do something now", sendCommand},
	{"history", boxHistoryArgs, "write out or delete what is kept of a box", boxHistory},
	{"user", userArgs, "who may see the pages: add, list, remove, reset", userCommand},
	{"token", tokenArgs, "which programs may ask: add, list, revoke", token},
	{"audit", auditArgs, "who logged in, claimed and commanded what", showAudit},
	{"reflect", reflectArgs, "the far end of measurements: an iperf3 server for many boxes at once", runReflect},
	{"simulate", simulateArgs, "send the reports of a fleet that there is not, for demonstrations and load", runSimulate},
	{"demo", demoArgs, "the whole product on this machine: far ends, box, dashboard", runDemo},
	{"sheet", sheetArgs, "what the lamps say, one page to be printed (HTML)", printSheet},
	{"version", "", "version and platform", version},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := start(ctx, env{os.Stdin, os.Stdout, os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

// start runs the command that args name and returns the exit code.
func start(ctx context.Context, e env, args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "help", "-h", "-help", "--help":
			usage(e.out)
			return 0
		case "-version", "--version":
			args = []string{"version"}
		}
	}
	for _, c := range commands {
		if len(args) > 0 && c.name == args[0] {
			return c.exit(e, c.run(ctx, e, args[1:]))
		}
	}
	if len(args) > 0 {
		fmt.Fprintf(e.err, "sprechprobe-fleet: no command %q\n", args[0])
	}
	usage(e.err)
	return exitUsage
}

// exit says how a command ended.
func (c command) exit(e env, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(e.out, "usage: sprechprobe-fleet %s %s\n%s\n", c.name, c.args, c.what)
		return 0
	}
	fmt.Fprintf(e.err, "sprechprobe-fleet %s: %v\n", c.name, err)
	if errors.As(err, new(errUsage)) {
		fmt.Fprintf(e.err, "usage: sprechprobe-fleet %s %s\n", c.name, c.args)
		return exitUsage
	}
	return exitFailed
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: sprechprobe-fleet COMMAND")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-11s %s\n", c.name, c.what)
	}
	fmt.Fprintln(w, "sprechprobe-fleet COMMAND -h lists what a command takes.")
}

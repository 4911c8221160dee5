// Command release makes what belongs beside a program that is given away: the
// licences of all that is linked into it, and the list of it (SBOM). It reads the
// program's own build information, so that it names what is really in there.
//
//	release copyright PROGRAM
//	release sbom PROGRAM
package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, args []string) error {
	if len(args) != 2 || args[0] != "copyright" && args[0] != "sbom" {
		return fmt.Errorf("want copyright or sbom, and a program")
	}
	info, err := buildinfo.ReadFile(args[1])
	if err != nil {
		return err
	}
	parts, err := partsOf(info)
	if err != nil {
		return err
	}
	if args[0] == "sbom" {
		return writeSBOM(w, args[1], info, parts)
	}
	return writeCopyright(w, info.Path, parts)
}

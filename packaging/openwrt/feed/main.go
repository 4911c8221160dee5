// Command feed makes what a feed of OpenWrt packages needs besides the packages:
// the list for opkg, signed as usign does it, keys for that, and LuCI's form of
// translations. The formats are those of OpenWrt's scripts/ipkg-make-index.sh,
// of usign (signify's) and of LuCI's po2lmo.
package main

import (
	"errors"
	"fmt"
	"os"
)

const usage = `usage: feed index [KEY] DIR   Packages, Packages.gz and, with a key, Packages.sig of the ipk files in DIR
       feed key NAME          a new key: NAME.sec to sign with, NAME.pub for the routers; prints its fingerprint
       feed lmo IN.po OUT.lmo a translation in LuCI's form
       feed list IPK DIR NAME what OpenWrt keeps beside an apk package of the same files, into DIR`

var errUsage = errors.New(usage)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "feed: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	switch what, args := args[0], args[1:]; {
	case what == "index" && len(args) == 1:
		return index("", args[0])
	case what == "index" && len(args) == 2:
		return index(args[0], args[1])
	case what == "key" && len(args) == 1:
		return newKey(args[0])
	case what == "lmo" && len(args) == 2:
		return lmo(args[0], args[1])
	case what == "list" && len(args) == 3:
		return list(args[0], args[1], args[2])
	}
	return errUsage
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/daemon"
	"github.com/sprechprobe/sprechprobe/agent/identity"
	"github.com/sprechprobe/sprechprobe/agent/strict"
)

const identityArgs = "[adopt FILE] [--config F] [--format text|json] [--lang de|en]"

// whoJSON is what identity prints as JSON. Its fields are a contract.
type whoJSON struct {
	Schema  string `json:"schema"`
	Key     string `json:"key"`
	Code    string `json:"code"`
	State   string `json:"state"` // unclaimed, claimed or refused
	Tenant  string `json:"tenant,omitempty"`
	Name    string `json:"name,omitempty"`
	Trouble string `json:"trouble,omitempty"`
}

// showIdentity prints who the box is, after it has taken a grant if one is named.
func showIdentity(_ context.Context, e env, args []string) (int, error) {
	var grant string
	if len(args) > 0 && args[0] == "adopt" {
		if len(args) < 2 || strings.HasPrefix(args[1], "-") && args[1] != "-" {
			return exitUsage, errors.New("adopt wants the file of a grant, or - for what is typed")
		}
		grant, args = args[1], args[2:]
	}
	f := flags("identity")
	src := sourceFlags(f)
	format := f.String("format", "text", "")
	if err := parse(f, args); err != nil {
		return exitUsage, err
	}
	if *format != "text" && *format != "json" {
		return exitUsage, fmt.Errorf("format %q: want text or json", *format)
	}
	c, err := src.load()
	if err != nil {
		return exitUsage, err
	}
	lang, err := src.language(c)
	if err != nil {
		return exitUsage, err
	}
	id, err := ownIdentity(c, grant)
	if err != nil {
		return exitFailed, err
	}
	return 0, printWho(e, whoIs(id), *format, lang)
}

// ownIdentity reads who the box is. Only run makes a key: it belongs to who runs
// the box.
func ownIdentity(c config.Config, grant string) (*identity.Identity, error) {
	id, err := identity.Read(c.StateDir, c.Central.VendorKeys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no key in %s: \"sprechprobe run\" makes one when it starts for the first time and central.servers are configured", c.StateDir)
	}
	if err != nil || grant == "" {
		return id, err
	}
	text, err := readGrant(grant)
	if err != nil {
		return nil, err
	}
	return id.Adopt(text)
}

func readGrant(path string) ([]byte, error) {
	if path != "-" {
		return strict.ReadFile(path)
	}
	return io.ReadAll(io.LimitReader(os.Stdin, strict.MaxSize+1))
}

// whoIs is what there is to say. That the vendor does not know the box any more is
// known to the box that runs.
func whoIs(id *identity.Identity) whoJSON {
	w := whoJSON{Schema: "sprechprobe.identity/1", Key: id.PublicKey(), Code: id.Code(), State: "unclaimed"}
	if g, ok := id.Claimed(); ok {
		w.State, w.Tenant, w.Name = "claimed", g.Tenant, g.Name
		r, err := daemon.ReadReport(daemon.ReportFile())
		fresh := err == nil && time.Since(r.Stamp.At).Abs() < 24*time.Hour
		if fresh && slices.ContainsFunc(r.Findings, func(f agent.Finding) bool { return f.Code == agent.CentralAuth }) {
			w.State = "refused"
		}
	}
	if err := id.Trouble(); err != nil {
		w.Trouble = err.Error()
	}
	return w
}

func printWho(e env, w whoJSON, format string, lang advice.Lang) error {
	if format == "json" {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(w)
	}
	_, err := fmt.Fprint(e.out, advice.WhoIs(advice.Who{Key: w.Key, Code: w.Code, Tenant: w.Tenant, Box: w.Name,
		Refused: w.State == "refused", Trouble: w.Trouble}, lang))
	return err
}

package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/api"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/audit"
)

const storeArgs = `
  --access DIR     as of serve (default: the user's state directory)`

const userArgs = `add|change NAME --role viewer|support|admin --tenant T [flags]
       sprechprobe-fleet user list|remove NAME|reset NAME [flags]
  --role ROLE      viewer sees boxes, support also who waits to be claimed,
                   admin also the log of who did what; always for all tenants
  --tenant T       whose boxes; may be given again; * is all of them
  --url URL        the dashboard's address, for the link that add and reset print` + storeArgs

const tokenArgs = `add LABEL --role viewer|support|admin --tenant T [flags]
       sprechprobe-fleet token list|revoke ID [flags]
  --role ROLE      default viewer
  --tenant T       whose boxes; may be given again; * is all of them
  --lasts D        for how long, such as 720h (default: until it is revoked)` + storeArgs

const auditArgs = `[verify] [flags]
  --format FORMAT  text, json (one entry a line) or csv (default text)
  --keys DIR       what was done with the vendor's keys, instead of on the pages` + storeArgs

// people is what user and token have in common.
type people struct {
	portal  portalFlags
	role    string
	tenants list
	lasts   time.Duration
	store   *access.File
	deeds   *audit.Log
}

func (p *people) open(f *flag.FlagSet, args []string, most int) (words []string, err error) {
	f.StringVar(&p.portal.dir, "access", "", "")
	if words, err = wordsOf(f, args); err != nil {
		return nil, err
	}
	if len(words) == 0 || len(words) > most {
		return nil, errUsage{errors.New("say what to do")}
	}
	dir, err := p.portal.accessDir()
	if err != nil {
		return nil, err
	}
	p.deeds = audit.Open(filepath.Join(dir, auditFile))
	p.store, err = access.OpenFile(filepath.Join(dir, accessFile))
	return words, err
}

// wordsOf reads flags and words in any order.
func wordsOf(f *flag.FlagSet, args []string) (words []string, err error) {
	for {
		err := f.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		if err != nil {
			return nil, errUsage{err}
		}
		if args = f.Args(); len(args) == 0 {
			return words, nil
		}
		words, args = append(words, args[0]), args[1:]
	}
}

// note writes a deed into the log.
func (p *people) note(what, object string) error {
	return p.deeds.Add(deed(what, object))
}

// deed is what somebody at a console does.
func deed(what, object string) audit.Entry {
	return audit.Entry{Who: consoleUser(), Method: "console", What: what, Object: object, Result: "ok"}
}

func consoleUser() string {
	if who := os.Getenv("SUDO_USER"); who != "" {
		return who
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// userCommand gives people access, and takes it.
func userCommand(_ context.Context, e env, args []string) error {
	var p people
	f := flags("user")
	f.StringVar(&p.role, "role", "", "")
	f.Var(&p.tenants, "tenant", "")
	f.StringVar(&p.portal.url, "url", "http://"+usualHTTP, "")
	words, err := p.open(f, args, 2)
	if err != nil {
		return err
	}
	switch what := words[0]; {
	case what == "list" && len(words) == 1:
		return p.list(e)
	case what == "add" && len(words) == 2:
		right, err := access.NewRight(p.role, p.tenants)
		if err != nil {
			return errUsage{err}
		}
		code, err := access.AddUser(p.store, words[1], right, time.Now())
		return p.link(e, "user-add", words[1], code, err)
	case what == "change" && len(words) == 2:
		right, err := access.NewRight(p.role, p.tenants)
		if err != nil {
			return errUsage{err}
		}
		if err := access.SetRight(p.store, words[1], right); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%s is %s of %s\n", words[1], right.Role, strings.Join(right.Tenants, ","))
		return p.note("user-change", words[1])
	case what == "reset" && len(words) == 2:
		code, err := access.ResetUser(p.store, words[1], time.Now())
		return p.link(e, "user-reset", words[1], code, err)
	case what == "remove" && len(words) == 2:
		if err := access.RemoveUser(p.store, words[1]); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "%s has no access any more\n", words[1])
		return p.note("user-remove", words[1])
	}
	return errUsage{fmt.Errorf("user %s: want add NAME, change NAME, list, remove NAME or reset NAME", strings.Join(words, " "))}
}

// link shows a link to set a password with.
func (p *people) link(e env, what, name, code string, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s sets a password at this address, once, within 72 hours:\n\n  %s\n", name, access.Link(p.portal.url, code))
	return p.note(what, name)
}

func (p *people) list(e env) error {
	st, err := p.store.Read()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	for _, u := range st.Users {
		state := ""
		if u.Password == "" {
			state = "no password yet"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, u.Right.Role, strings.Join(u.Right.Tenants, ","), state)
	}
	return w.Flush()
}

// token lets programs in, and out.
func token(_ context.Context, e env, args []string) error {
	var p people
	f := flags("token")
	f.StringVar(&p.role, "role", string(access.Viewer), "")
	f.Var(&p.tenants, "tenant", "")
	f.DurationVar(&p.lasts, "lasts", 0, "")
	words, err := p.open(f, args, 2)
	if err != nil {
		return err
	}
	switch {
	case words[0] == "list" && len(words) == 1:
		return p.listTokens(e)
	case words[0] == "add" && len(words) == 2:
		right, err := access.NewRight(p.role, p.tenants)
		if err != nil {
			return errUsage{err}
		}
		id, token, err := access.AddToken(p.store, words[1], right, p.lasts, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(e.out, "token %s, shown only now:\n\n  %s\n", id, token)
		return p.note("token-add", id+" ("+words[1]+")")
	case words[0] == "revoke" && len(words) == 2:
		if err := access.RevokeToken(p.store, words[1]); err != nil {
			return err
		}
		fmt.Fprintf(e.out, "token %s is void\n", words[1])
		return p.note("token-revoke", words[1])
	}
	return errUsage{fmt.Errorf("token %s: want add LABEL, list or revoke ID", strings.Join(words, " "))}
}

func (p *people) listTokens(e env) error {
	st, err := p.store.Read()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	for _, t := range st.Tokens {
		until := "until revoked"
		if !t.UntilAt.IsZero() {
			until = "until " + t.UntilAt.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.ID, t.Label, t.Right.Role, strings.Join(t.Right.Tenants, ","), until)
	}
	return w.Flush()
}

// showAudit exports the log, or checks that nothing in it was changed.
func showAudit(_ context.Context, e env, args []string) error {
	var p people
	var format, keys string
	f := flags("audit")
	f.StringVar(&format, "format", "text", "")
	f.StringVar(&p.portal.dir, "access", "", "")
	f.StringVar(&keys, "keys", "", "")
	words, err := wordsOf(f, args)
	if err != nil {
		return err
	}
	dir, err := p.portal.accessDir()
	if keys != "" {
		dir, err = keys, nil
	}
	if err != nil {
		return err
	}
	log := audit.Open(filepath.Join(dir, auditFile))
	switch {
	case len(words) == 1 && words[0] == "verify":
		n, err := log.Verify()
		if err == nil {
			fmt.Fprintf(e.out, "%d entries, none changed\n", n)
		}
		return err
	case len(words) > 0:
		return errUsage{fmt.Errorf("unexpected argument %q", words[0])}
	}
	write, end, err := auditWriter(e, format)
	if err != nil {
		return err
	}
	if _, err := log.Read(0, 1, func(a audit.Entry) bool { write(a); return false }); err != nil {
		return err
	}
	return end()
}

// auditWriter writes entries as people or programs want them.
func auditWriter(e env, format string) (write func(audit.Entry), end func() error, err error) {
	row := func(a audit.Entry) []string {
		object := strings.Trim(a.Tenant+"/"+a.Object, "/")
		return []string{fmt.Sprint(a.No), a.At.Format(time.RFC3339), cmp.Or(a.Who, "-"), cmp.Or(a.Method, "-"), cmp.Or(a.From, "-"), a.What, cmp.Or(object, "-"), a.Result}
	}
	switch format {
	case "text":
		w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
		return func(a audit.Entry) { fmt.Fprintln(w, strings.Join(row(a), "\t")) }, w.Flush, nil
	case "csv":
		w := csv.NewWriter(e.out)
		_ = w.Write([]string{"no", "at", "who", "method", "from", "what", "object", "result"}) // Flush tells
		return func(a audit.Entry) { _ = w.Write(api.Inert(row(a))) }, func() error { w.Flush(); return w.Error() }, nil
	case "json":
		w := json.NewEncoder(e.out)
		return func(a audit.Entry) { err = errors.Join(err, w.Encode(a)) }, func() error { return err }, nil
	}
	return nil, nil, errUsage{fmt.Errorf("--format %q: want text, json or csv", format)}
}

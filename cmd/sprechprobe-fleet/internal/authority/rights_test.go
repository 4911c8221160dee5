package authority

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
)

// own is all that a box may do.
func own(a fleet.Address) (pub, sub []string) {
	return []string{a.Up(), a.DirectGet()}, []string{a.Inbox() + ".>", a.Command("*"), a.Hint()}
}

// space is the whole space of subjects, as one box sees it that is not its own:
// what concerns a box, and what concerns all.
func space(of ...device) []string {
	var all []string
	for _, d := range of {
		up := strings.TrimSuffix(d.Up(), "*")
		all = append(all, up+"report", up+"state", up+"hb", up+"time", up+"relay", up+"outage", up+"anything", d.Hint(), d.DirectGet(),
			"$KV."+fleet.Assignments+"."+d.Key(), "$JS.API.DIRECT.GET."+fleet.Stream+"."+up+"report", fleet.ClaimSubject(d.public),
			d.Inbox()+".abc", d.Inbox(), fleet.ClaimInbox(d.public)+".abc", fleet.Prefix+"."+d.Tenant+"."+d.Box+".other")
		for _, c := range append([]string{"anything"}, fleet.CommandNames...) {
			all = append(all, d.Command(c))
		}
	}
	kv, st := "KV_"+fleet.Assignments, fleet.Stream
	for _, s := range []string{kv, st} {
		all = append(all, "$JS.API.STREAM.INFO."+s, "$JS.API.STREAM.UPDATE."+s, "$JS.API.STREAM.DELETE."+s, "$JS.API.STREAM.PURGE."+s,
			"$JS.API.STREAM.MSG.GET."+s, "$JS.API.STREAM.MSG.DELETE."+s, "$JS.API.DIRECT.GET."+s, "$JS.API.CONSUMER.CREATE."+s,
			"$JS.API.CONSUMER.CREATE."+s+".c", "$JS.API.CONSUMER.CREATE."+s+".c.x", "$JS.API.CONSUMER.DURABLE.CREATE."+s+".c",
			"$JS.API.CONSUMER.LIST."+s, "$JS.API.CONSUMER.MSG.NEXT."+s+".c", "$JS.FC."+s, "$JS.ACK."+s+".c.1.1.1.1.1", "$JS.SNAPSHOT.ACK."+s)
	}
	return append(all, "$JS.API.INFO", "$JS.API.ACCOUNT.PURGE.x", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.x", "$JS.EVENT.ADVISORY.x",
		"$SYS.REQ.USER.INFO", "$SYS.REQ.USER.AUTH", "$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.ACCOUNT.x.CONNECT", "$SYS.DEBUG.SUBSCRIBERS",
		"$SRV.PING", "$SRV.INFO", "$NRG.x", "$GNR.x", "$G.x", "$MQTT.x",
		"_INBOX.abc", "_R_.abc", "_GR_.abc", "cfg", "claim", "sprechprobe", "sprechprobe.v1", "sprechprobe.v2.acme.one.up.report", "anything", "any.thing")
}

// wide are subjects with wildcards, which only a subscription can have.
func wide(of ...device) []string {
	all := []string{">", "*", "*.>", "*.*", "sprechprobe.>", fleet.Prefix + ".>", fleet.Prefix + ".*.*.cmd.*", fleet.AllUp, fleet.AllHints, "cfg.>",
		fleet.AllAssignments, "$KV.>", "$JS.>", "$JS.API.>", "$SYS.>", "$SRV.>", "_INBOX.>", "_R_.>", "_INBOX_*.>", "*.abc", fleet.AllClaims, "claim.>", "$>", "$*.>"}
	for _, d := range of {
		all = append(all, d.Inbox()+".>", d.Inbox()+".*", d.Command("*"), d.Command(">"), strings.TrimSuffix(d.Up(), "*")+">",
			fleet.Prefix+"."+d.Tenant+".>", fleet.Prefix+"."+d.Tenant+".*.cmd.*", fleet.Prefix+".*."+d.Box+".cmd.*", "cfg."+d.Tenant+".*", "cfg.*."+d.Box,
			"$KV."+fleet.Assignments+"."+d.Tenant+".*", fleet.ClaimInbox(d.public)+".>")
	}
	return all
}

// A box that has been claimed can do what is its own, and nothing else of all that
// there is: not for the next box of its tenant, not for one of its own name with
// another tenant, not for itself where that is the vendor's.
func TestRights(t *testing.T) {
	for _, mode := range Modes {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t, mode)
			me, next, twin := w.claim("acme", "one"), w.claim("acme", "two"), w.claim("other", "one")
			longer, shorter := w.claim("acme", "one-x"), w.claim("acm", "one")
			w.reload()
			b := w.join(me)
			others := []device{next, twin, longer, shorter}
			pubs, subs := own(me.Address)
			checked := 0
			theirs := append(space(others...), wide(others...)...)
			for _, s := range append(space(others...), space(me)...) {
				checked += 2
				// Nothing of another box's is ever one's own.
				mark, may := []byte("by "+s), matches(pubs, s) && !slices.Contains(theirs, s)
				if err := b.Publish(s, mark); err != nil {
					t.Fatal(err)
				}
				if b.forbidden(t, fmt.Sprintf("Publish to %q", s)) == may {
					t.Errorf("publish to %s: allowed %v, want %v", s, !may, may)
				}
				if got := append(w.centre.with(t, mark), w.boxes.with(t, mark)...); !may && len(got) > 0 {
					t.Errorf("publish to %s: it arrived at %s", s, got[0].Subject)
				}
				b.subscribes(t, s, matches(subs, s) && !slices.Contains(theirs, s))
			}
			for _, s := range append(wide(others...), wide(me)...) {
				checked++
				b.subscribes(t, s, slices.Contains(append(subs, me.Inbox()+".*", me.Command(">")), s) && !slices.Contains(theirs, s))
			}
			t.Logf("%d subjects and directions", checked)
		})
	}
}

// subscribes tries to hear a subject, also as one of a group that shares it.
func (b *box) subscribes(t *testing.T, s string, may bool) {
	t.Helper()
	alone, err := b.SubscribeSync(s)
	if err != nil {
		t.Fatal(err)
	}
	if b.forbidden(t, fmt.Sprintf("Subscription to %q", s)) == may {
		t.Errorf("subscribe to %s: allowed %v, want %v", s, !may, may)
	}
	shared, err := b.QueueSubscribeSync(s, "group")
	if err != nil {
		t.Fatal(err)
	}
	if b.forbidden(t, fmt.Sprintf("Subscription to %q using queue \"group\"", s)) == may {
		t.Errorf("subscribe to %s as one of a group: allowed %v, want %v", s, !may, may)
	}
	for _, sub := range []*nats.Subscription{alone, shared} {
		_ = sub.Unsubscribe() // the client has dropped the one that was refused
	}
}

// matches reports whether one of the patterns covers a subject.
func matches(patterns []string, subject string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		a, b := strings.Split(p, "."), strings.Split(subject, ".")
		for i, token := range a {
			if token == ">" {
				return len(b) > i
			}
			if i >= len(b) || token != "*" && token != b[i] {
				return false
			}
		}
		return len(a) == len(b)
	})
}

// What a box may do works: its report is stored and acknowledged, it reads its own
// settings, hears its hint, and answers commands.
func TestOwnWays(t *testing.T) {
	for _, mode := range Modes {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t, mode)
			me := w.claim("acme", "one")
			w.reload()
			b := w.join(me)
			js, err := jetstream.New(b.Conn)
			if err != nil {
				t.Fatal(err)
			}
			report, err := fleet.ReportSubject("acme", "one")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(ctx(t), report, []byte("mine")); err != nil {
				t.Errorf("report: %v", err)
			}
			states, beats, err := fleet.BeatSubjects("acme", "one")
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{states, beats} { // without an answer
				if err := b.Publish(s, []byte("beat at "+s)); err != nil {
					t.Fatal(err)
				}
				until(t, "the beat is heard at "+s, func() bool { _ = b.Flush(); return len(w.centre.with(t, []byte("beat at "+s))) == 1 })
			}
			w.answers(b, map[string]string{fleet.Times: me.Time(), fleet.RelayAsks: me.RelayAsk(), fleet.OutageAsks: me.OutageAsk()})
			hint, err := b.SubscribeSync(me.Hint())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Subscribe(me.Command("*"), func(m *nats.Msg) { _ = m.Respond([]byte("done " + m.Subject)) }); err != nil {
				t.Fatal(err)
			}
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			if got, err := b.Request(me.DirectGet(), nil, patience); err != nil || got.Header.Get("Status") != "404" {
				t.Errorf("settings that are not there: %+v, %v", got, err)
			}
			if _, err := w.kv.PutString(ctx(t), me.Key(), "settings"); err != nil {
				t.Fatal(err)
			}
			if m, err := hint.NextMsg(patience); err != nil || len(m.Data) != 0 {
				t.Errorf("hint: %+v, %v; want one without contents", m, err)
			}
			if got, err := b.Request(me.DirectGet(), nil, patience); err != nil || string(got.Data) != "settings" {
				t.Errorf("settings: %+v, %v", got, err)
			}
			got, err := w.centre.conn.Request(me.Command(fleet.Check), nil, patience)
			if err != nil || string(got.Data) != "done "+me.Command(fleet.Check) {
				t.Errorf("command: %+v, %v", got, err)
			}
			w.centre.stop(t)
			w.boxes.stop(t) // who listens to everything counts as one who answers
			if _, err := w.centre.conn.Request(fleet.Address{Tenant: "acme", Box: "absent"}.Command(fleet.Check), nil, patience); err != nats.ErrNoResponders {
				t.Errorf("command for a box that is not there: %v, want no responders at once", err)
			}
		})
	}
}

// answers lets the centre answer what a box asks it, at the subjects for all boxes, and
// the box ask.
func (w *world) answers(b *box, asks map[string]string) {
	w.t.Helper()
	for all, mine := range asks {
		sub, err := w.centre.conn.Subscribe(all, func(m *nats.Msg) { _ = m.Respond([]byte("answer to " + m.Subject)) })
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.centre.conn.Flush(); err != nil {
			w.t.Fatal(err)
		}
		if got, err := b.Request(mine, nil, patience); err != nil || string(got.Data) != "answer to "+mine {
			w.t.Errorf("asked at %s: %+v, %v", mine, got, err)
		}
		_ = sub.Unsubscribe()
	}
}

// What docs/vendor.md says that a box may do is what the server lets it do.
func TestRightsAreThoseOfTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/vendor.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "| a box may | subject |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var said []string
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "`")
		if len(cells) != 3 {
			t.Fatalf("a row with another number of subjects than one: %s", row)
		}
		said = append(said, strings.NewReplacer("<tenant>", template.Tenant, "<box>", template.Box).Replace(cells[1]))
	}
	pub, sub := rights(template)
	has := slices.Concat(pub, sub)
	slices.Sort(said)
	slices.Sort(has)
	if !slices.Equal(said, has) {
		t.Errorf("the docs say %q, the server allows %q", said, has)
	}
	// What boxes publish is told one by one besides, and TestRights tries it.
	one := fleet.Address{Tenant: "acme", Box: "one"}
	tried := space(device{Address: one})
	for _, word := range []string{"report", "state", "hb", "time", "relay", "outage"} {
		if subject := strings.Replace(one.Up(), "*", word, 1); !slices.Contains(tried, subject) {
			t.Errorf("%s is not tried", subject)
		}
		if !strings.Contains(string(doc), "up."+word+"`") {
			t.Errorf("the docs do not say what up.%s is for", word)
		}
	}
}

// The server writes its answers wherever the reply subject of what it got says. In
// whichever way a box uses that, no other box's report, setting or stream changes;
// and what can land at another box's commands or hint has no reply subject.
func TestDeputy(t *testing.T) {
	for _, mode := range Modes {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t, mode)
			me, next, twin := w.claim("acme", "one"), w.claim("acme", "two"), w.claim("other", "one")
			w.reload()
			for _, d := range []device{me, next, twin} {
				if _, err := w.kv.PutString(ctx(t), d.Key(), "settings of "+d.String()); err != nil {
					t.Fatal(err)
				}
			}
			victims := map[string]*seen{}
			for _, d := range []device{next, twin} {
				v := w.join(d)
				s := &seen{conn: v.Conn}
				for _, subject := range []string{d.Command("*"), d.Hint(), d.Inbox() + ".>"} {
					if _, err := v.Subscribe(subject, s.take); err != nil {
						t.Fatal(err)
					}
				}
				if err := v.Flush(); err != nil {
					t.Fatal(err)
				}
				victims[d.String()] = s
			}
			if _, err := w.centre.conn.Subscribe(fleet.Times, func(m *nats.Msg) { _ = m.Respond([]byte("time for " + me.String())) }); err != nil {
				t.Fatal(err)
			}
			if err := w.centre.conn.Flush(); err != nil {
				t.Fatal(err)
			}
			b := w.join(me)
			report, _ := fleet.ReportSubject("acme", "one")
			sent := 0
			for _, to := range space(next, twin, me) {
				for _, subject := range []string{report, me.DirectGet(), me.Time()} {
					if err := b.PublishRequest(subject, to, []byte("forged")); err != nil {
						t.Fatal(err)
					}
					sent++
				}
			}
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			until(t, "the reports are stored", func() bool {
				info, err := w.stream.Info(ctx(t))
				return err == nil && info.State.Msgs >= uint64(len(space(next, twin, me)))/2
			})
			if m, err := b.Request(me.Time(), nil, patience); err != nil || string(m.Data) != "time for "+me.String() { // behind all others
				t.Fatalf("time: %+v, %v", m, err)
			}
			w.unharmed(me, next, twin)
			for name, v := range victims {
				for _, m := range v.with(t, nil) {
					if m.Reply != "" {
						t.Errorf("%s got %q at %s with the reply subject %s", name, m.Data, m.Subject, m.Reply)
					}
					if strings.HasPrefix(m.Subject, "_INBOX") && !strings.Contains(string(m.Data), "stream") && len(m.Data) > 0 && !strings.Contains(string(m.Data), me.String()) {
						t.Errorf("%s got %q at %s", name, m.Data, m.Subject)
					}
				}
			}
			t.Logf("%d attempts", sent)
		})
	}
}

// unharmed checks that reports lie under the sender's name only, and settings are
// as they were.
func (w *world) unharmed(me device, all ...device) {
	w.t.Helper()
	info, err := w.stream.Info(ctx(w.t), jetstream.WithSubjectFilter(">"))
	if err != nil {
		w.t.Fatal(err)
	}
	mine, _ := fleet.ReportSubject(me.Tenant, me.Box)
	for subject := range info.State.Subjects {
		if subject != mine {
			w.t.Errorf("a report lies under %s", subject)
		}
	}
	status, err := w.kv.Status(ctx(w.t))
	if err != nil || status.Values() != uint64(1+len(all)) {
		w.t.Errorf("%d settings, %v; want %d", status.Values(), err, 1+len(all))
	}
	for _, d := range append(all, me) {
		e, err := w.kv.Get(ctx(w.t), d.Key())
		if err != nil || string(e.Value()) != "settings of "+d.String() || e.Revision() > 3 {
			w.t.Errorf("settings of %s: %+v, %v", d, e, err)
		}
	}
}

// until polls what happens in the server.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Whatever the name, it is checked before anything is signed.
func TestClaimChecksNames(t *testing.T) {
	a, err := Init(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	k := a.public("serve/" + FleetKey)
	for _, at := range []fleet.Address{{Tenant: "acme", Box: "*"}, {Tenant: "*", Box: "one"}, {Tenant: "acme", Box: ">"}, {Tenant: "acme", Box: "a.b"}, {Tenant: "acme", Box: ""},
		{Tenant: "", Box: "one"}, {Tenant: "acme", Box: "-a"}, {Tenant: "acme", Box: "A"}, {Tenant: "acme", Box: "{{name()}}"}, {Tenant: "a:b", Box: "one"}, {Tenant: "acme", Box: "a b"}, {Tenant: "acme", Box: "a_b"}} {
		if _, err := a.Claim(k, at, true, time.Now()); err == nil || len(a.Boxes()) > 0 {
			t.Errorf("%+v: %v, %d boxes", at, err, len(a.Boxes()))
		}
	}
	for _, key := range []string{"", "*", a.VendorKey(), a.public(boxesKey), k[1:], strings.ToLower(k)} {
		if _, err := a.Claim(key, fleet.Address{Tenant: "acme", Box: "one"}, true, time.Now()); err == nil {
			t.Errorf("key %q is claimed", key)
		}
	}
	if _, err := a.Claim(k, fleet.Address{Tenant: "acme", Box: "one"}, false, time.Now()); err != nil {
		t.Error(err)
	}
	other := fmt.Sprint(kindOf(t))
	if _, err := a.Claim(other, fleet.Address{Tenant: "acme", Box: "one"}, false, time.Now()); err == nil || !strings.Contains(err.Error(), fleet.Code(k)) {
		t.Errorf("a name that is taken: %v, want an error with the code of the box that has it", err)
	}
}

func kindOf(t *testing.T) string {
	t.Helper()
	k, err := kinds["serve/"+FleetKey]()
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

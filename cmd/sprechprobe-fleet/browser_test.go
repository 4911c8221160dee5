package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/browser"
	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/farends"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/simulate"
)

var update = flag.Bool("update", false, "rewrite the pictures in docs")

const (
	// rewrite is the variable that passes the flag on.
	rewrite = "SPRECHPROBE_UPDATE"
	// axeFile is the variable that names axe-core's axe.min.js, where somebody has
	// fetched it: the pages are judged by that as well then.
	axeFile = "SPRECHPROBE_AXE"
)

// reader is a support person in front of a browser.
type reader struct {
	*testing.T
	*browser.Tab
	p   *practice
	axe string
}

// A support person claims a real box, sees its fault as it comes, finds it, looks at
// its page, commands it, and sees an outage that many boxes have in common; by
// keyboard, in both languages, by day and by night, and the browser has nothing to
// complain of.
func TestPagesInABrowser(t *testing.T) {
	lab.Program(t, "chromium", "chromium")
	if *update {
		t.Setenv(rewrite, "yes") // it gets inside
	}
	if !lab.Inside(t) {
		return
	}
	d := &reader{T: t, p: newPractice(t, func(keys string) []string { return []string{"--sign", keys} })}
	d.p.start()
	d.Tab = browser.Start(t).Tab()
	for _, domain := range []string{"Network", "Log", "Runtime", "Accessibility"} {
		d.Do(domain+".enable", nil, nil)
	}
	if file := os.Getenv(axeFile); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d.axe = string(b)
	}
	d.window(1280, 800, "light")
	d.claims()
	d.outage() // it takes a minute until the fleet is sure
	d.fault()
	d.finds()
	d.looks()
	d.incident()
	d.judges()
}

// window sets the size and the colours that the reader prefers.
func (d *reader) window(width, height int, scheme string) {
	d.Helper()
	d.Do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
	d.Do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// calm fails where the browser has complained since the page was opened.
func (d *reader) calm(where string) {
	d.Helper()
	for _, kind := range []string{"Log.entryAdded", "Runtime.exceptionThrown"} {
		for _, e := range d.Happened(kind) {
			d.Errorf("%s: %s: %s", where, kind, e)
		}
	}
	for _, e := range d.Happened("Runtime.consoleAPICalled") {
		d.Errorf("%s: %s", where, e)
	}
}

// visit opens a page of the dashboard.
func (d *reader) visit(path string) {
	d.Helper()
	d.Open(strings.TrimSuffix(d.p.page, "/") + path)
}

// fill types into the field with a name.
func (d *reader) fill(name, text string) {
	d.Helper()
	var ok bool
	d.Eval(fmt.Sprintf(`() => { const e = document.querySelector("[name=%s]"); e.focus(); e.select?.(); return document.activeElement === e; }`, name), &ok)
	if !ok {
		d.Fatalf("no field %s", name)
	}
	d.Do("Input.insertText", map[string]any{"text": text}, nil)
}

func (d *reader) enter() { d.Press("Enter", "Enter", 13, "\r") }

// is is a script that says whether an element is there, with a text in it.
func is(selector, text string) string {
	return fmt.Sprintf(`() => [...document.querySelectorAll(%q)].some(e => e.textContent.includes(%q))`, selector, text)
}

// marked leaves a mark in the page, that a reload would wipe out.
func (d *reader) marked() {
	var ok bool
	d.Eval(`() => window.here = true`, &ok)
}

func (d *reader) stays() {
	d.Helper()
	var ok bool
	d.Eval(`() => window.here === true`, &ok)
	if !ok {
		d.Error("the page was loaded again")
	}
}

// claims sees the box wait, live, and gives it to a customer.
func (d *reader) claims() {
	d.visit("/?lang=de")
	d.marked()
	until(d.T, "the box has a code", func() bool { return d.p.who().Code != "" })
	code := d.p.who().Code
	d.Until("the box waits on the page", is("#head .waiting code", code))
	d.stays()
	d.calm("overview of nothing")
	d.visit("/claim?lang=de&code=" + code)
	d.fill("tenant", "acme")
	d.fill("name", "nord")
	d.enter()
	d.Until("it is claimed", is("[role=status]", "acme/nord ist zugeordnet"))
	d.calm("claim")
	d.visit("/?lang=de")
	d.Until("the box is ready", is(`tr.s-ready[id="box.acme.nord"]`, "nord"))
	d.calm("overview")
}

// fault breaks the service for the practice and lets the box look.
func (d *reader) fault() {
	f, err := farends.FaultOf("udp-dead")
	if err == nil {
		err = d.p.ends.Break(f)
	}
	if err != nil {
		d.Fatal(err)
	}
	d.visit("/boxes/acme/nord?lang=de")
	var ok bool
	d.Eval(`() => { document.querySelector("button[name=name][value=check]").focus(); return true; }`, &ok)
	d.enter()
	d.Until("the box takes the command", is("#answer", "Jetzt messen: Die Box hat angenommen."))
	d.marked()
	d.Until("the fault is on the box's page", is("#now .findings code", string(f.Codes[0])))
	d.Until("the verdict changes", `() => document.querySelector("#now .verdict.s-limited, #now .verdict.s-blocked") !== null`)
	d.Until("the log tells of it", is("#past .log", string(f.Codes[0])))
	d.stays()
	d.calm("box")
	d.visit("/boxes/acme/nord/request?lang=de")
	d.Until("the release request names what is missing", is("pre.letter", "turn.demo.test"))
	d.calm("request")
}

// finds narrows the list by keyboard, and sees the row change when all is well again.
func (d *reader) finds() {
	d.visit("/?lang=de")
	d.Until("other boxes are there", is("#boxes tr", "tenant-1"))
	d.visit("/?lang=de") // the filters count what came meanwhile
	var ok bool
	d.Eval(`() => { const s = document.querySelector("select[name=finding]"); s.value = "udp-all-block"; s.focus(); return s.value === "udp-all-block"; }`, &ok)
	if !ok {
		d.Fatal("the finding is not among the filters")
	}
	d.fill("q", "nord")
	d.enter()
	d.Until("only the box with the finding is listed", `() => document.querySelectorAll("#boxes tr").length === 1 && document.getElementById("box.acme.nord") !== null && location.search.includes("udp-all-block")`)
	d.calm("filtered")
	d.visit("/?lang=de&tenant=acme")
	d.marked()
	if err := d.p.ends.Heal(); err != nil {
		d.Fatal(err)
	}
	d.p.look()
	d.Until("the row changes", `() => { const r = document.getElementById("box.acme.nord"); return r !== null && r.classList.contains("s-ready"); }`)
	d.stays()
	d.calm("live")
}

// looks reads the rest of the box's page.
func (d *reader) looks() {
	d.visit("/boxes/tenant-1/box-000001?lang=de")
	var seen struct {
		Lines, Rects, Rows, Named int
		Wide                      bool
	}
	d.Eval(`() => ({ Lines: document.querySelectorAll(".chart path.line").length, Rects: document.querySelectorAll("svg.timeline rect").length,
		Rows: document.querySelectorAll(".chart tbody tr").length, Named: document.querySelectorAll("svg[role=img][aria-labelledby]").length,
		Wide: document.scrollingElement.scrollWidth > innerWidth })`, &seen)
	if seen.Lines < 5 || seen.Rects < 1 || seen.Rows < 24 || seen.Named < 4 || seen.Wide {
		d.Errorf("the box's page shows %+v", seen)
	}
	d.calm("box with a past")
	d.picture("box-page.png", true)
	d.visit("/boxes/acme/nord?lang=en")
	var ok bool
	d.Eval(`() => { document.querySelector("button[name=name][value=identify]").click(); return true; }`, &ok)
	d.Until("the box takes the command", is("#answer", "Make the box blink: The box has accepted."))
	until(d.T, "the lamps blink", func() bool { return strings.Contains(d.p.log(), "(identify)") })
}

// outage lets twelve other practices report that they do not reach the service, and
// one of them that it did all day.
func (d *reader) outage() {
	now := time.Now().UTC()
	f := simulate.New(simulate.Config{Boxes: 12, Tenants: 1, Faulty: 1e-9, Outages: []simulate.Outage{
		{Cause: agent.CauseVendor, Service: 0, From: now.Add(-10 * time.Minute), Until: now.Add(time.Hour)}}})
	nc := d.p.join()
	send := func(i int, n uint64, at time.Time) {
		boot, r := f.Report(i, n, at)
		payload, err := json.Marshal(r)
		if err != nil {
			d.Fatal(err)
		}
		subject, err := fleet.ReportSubject(f.Address(i).Tenant, f.Address(i).Box)
		if err != nil {
			d.Fatal(err)
		}
		if _, err := nc.RequestMsg(&nats.Msg{Subject: subject, Data: payload, Header: nats.Header{fleet.HeaderBoot: {boot}}}, patience); err != nil {
			d.Fatal(err)
		}
	}
	const day = 288
	for n := range uint64(day) {
		if n < 100 || n > 112 { // it was unplugged for an hour
			send(0, n, now.Add(-time.Duration(day-n)*5*time.Minute))
		}
	}
	for i := range 12 {
		send(i, day, now)
	}
}

// incident waits until the fleet is sure of the outage, and it is told on the page.
func (d *reader) incident() {
	d.visit("/?lang=de")
	d.marked()
	d.Until("the outage is told", is("#head .incident", "Störung beim Dienst: turn.video.example:3478/udp. 12 Boxen betroffen"))
	d.Until("the findings name the cause", `() => [...document.querySelectorAll('tr[id^="box.tenant-1"] .cause')].some(e => e.textContent.includes("Videodienst") || e.textContent.includes("Anbieter"))`)
	d.stays()
	d.calm("incident")
	d.picture("dashboard.png", false)
}

// judges looks for what keeps people from using the pages.
func (d *reader) judges() {
	for _, path := range []string{"/", "/?q=nothing-like-it", "/claim", "/incidents", "/boxes/tenant-1/box-000001", "/boxes/acme/nord", "/boxes/tenant-1/box-000001/request"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, lang := range []string{"de", "en"} {
				where := strings.Join([]string{path, scheme, lang}, " ")
				d.window(1280, 800, scheme)
				sep := "?"
				if strings.Contains(path, "?") {
					sep = "&"
				}
				d.visit(path + sep + "lang=" + lang)
				d.judge(where, lang)
			}
		}
	}
	d.window(360, 740, "light")
	for _, path := range []string{"/", "/claim", "/boxes/tenant-1/box-000001"} {
		d.visit(path + "?lang=de")
		var wide float64
		d.Eval(`() => document.scrollingElement.scrollWidth - innerWidth`, &wide)
		if wide > 0 {
			d.Errorf("%s on a phone is %v pixels too wide", path, wide)
		}
	}
	d.window(1280, 800, "light")
	d.keyboard()
}

// structure is what screen readers find their way by.
func (d *reader) structure(where, lang string) {
	d.Helper()
	var faults []string
	d.Eval(`() => {
		const out = [], one = (s) => { const n = document.querySelectorAll(s).length; if (n !== 1) out.push(n + " of " + s); };
		one("main"); one("h1"); one("header"); one("head > title"); one(".skip");
		for (const e of document.querySelectorAll("input:not([type=hidden]), select")) if (!e.labels.length) out.push("no label: " + e.name);
		for (const t of document.querySelectorAll("table")) if (!t.querySelector("thead th[scope=col]")) out.push("a table without heads");
		for (const t of document.querySelectorAll("tbody tr")) if (!t.querySelector("th[scope=row]")) out.push("a row without a head");
		const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
		for (const id of new Set(ids)) if (ids.filter(i => i === id).length > 1) out.push("twice: " + id);
		for (const e of document.querySelectorAll("[aria-labelledby]")) for (const id of e.getAttribute("aria-labelledby").split(" ")) if (!document.getElementById(id)) out.push("named by nothing: " + id);
		out.push("lang " + document.documentElement.lang);
		return out;
	}`, &faults)
	for _, f := range faults {
		if f != "lang "+lang {
			d.Errorf("%s: %s", where, f)
		}
	}
}

// judgedByAxe runs axe-core in the page, where it is there.
func (d *reader) judgedByAxe(where string) {
	d.Helper()
	if d.axe == "" {
		return
	}
	d.Do("Runtime.evaluate", map[string]any{"expression": d.axe}, nil)
	var version string
	d.Eval(`() => axe.version`, &version)
	d.Logf("%s: judged by axe-core %s", where, version)
	var faults []string
	d.Eval(`async () => (await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })).violations
		.map(v => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(" | "))`, &faults)
	for _, f := range faults {
		d.Errorf("%s: axe: %s", where, f)
	}
}

// keyboard goes through a page without a mouse: first to the content, and what has the
// focus is to be seen.
func (d *reader) keyboard() {
	d.visit("/?lang=de")
	tab := func() { d.Press("Tab", "Tab", 9, "") }
	var at string
	look := `() => { const a = document.activeElement, s = getComputedStyle(a); return (s.outlineStyle === "none" ? "unseen " : "") + (a.className || a.id || a.name || a.tagName); }`
	tab()
	if d.Eval(look, &at); at != "skip" {
		d.Errorf("the first stop is %q, want the way to the content", at)
	}
	d.enter()
	tab()
	if d.Eval(look, &at); at != "count.all" && !strings.HasPrefix(at, "incident.") {
		d.Errorf("after the way to the content the next stop is %q", at)
	}
	for range 30 {
		tab()
		if d.Eval(look, &at); strings.HasPrefix(at, "unseen ") {
			d.Errorf("the focus is not to be seen on %s", at)
		}
	}
	var within bool
	if d.Eval(`() => document.activeElement.closest("#boxes") !== null`, &within); !within {
		d.Errorf("30 stops do not lead to the boxes, but to %s", at)
	}
}

// picture is for docs.
func (d *reader) picture(name string, whole bool) {
	d.Helper()
	b := d.Picture(whole)
	if !bytes.HasPrefix(b, []byte("\x89PNG")) || len(b) < 20_000 {
		d.Errorf("%s has %d bytes", name, len(b))
	}
	file := filepath.Join("..", "..", "docs", name)
	if os.Getenv(rewrite) != "" {
		if err := os.WriteFile(file, b, 0o666); err != nil {
			d.Fatal(err)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Size() > 300_000 {
		d.Errorf("docs has %v, %v; want at most 300 kB", info, err)
	}
}

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sprechprobe/sprechprobe/agent"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/browser"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/access"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/history"
)

// An administrator gives somebody access and takes it again, by keyboard, and looks an
// outage of the past up; the pages can be used by everybody, also on a phone.
func TestPeopleInABrowser(t *testing.T) {
	lab.Program(t, "chromium", "chromium")
	h := newHouse(t, nil)
	h.take("acme", "nord", nil)
	id := h.outage(history.Incident{Target: "nats1.video.example, nats2.video.example:8443", Cause: agent.CauseVendor, FromAt: opened.Add(-time.Hour)}, "acme/nord")
	h.token("viewer", "acme")
	right, err := access.NewRight("admin", []string{"*"})
	if err != nil {
		t.Fatal(err)
	}
	code, err := access.AddUser(h.store, "ada", right, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d := &reader{T: t, p: &practice{page: h.url + "/"}, Tab: browser.Start(t).Tab()}
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
	d.visit("/welcome?lang=de&code=" + code)
	d.fill("password", password)
	d.fill("again", password)
	d.enter()
	d.Until("she is in", `() => document.querySelector("nav.main a[href^='/people']") !== null`)

	d.visit("/people?lang=de")
	add := `form[aria-label="Person hinzufügen"] `
	d.focus(add + "[name=name]")
	d.Do("Input.insertText", map[string]any{"text": "vera"}, nil)
	d.focus(add + "[name=tenants]")
	d.Do("Input.insertText", map[string]any{"text": "acme"}, nil)
	d.focus(add + "button")
	d.enter()
	d.Until("the link is shown", is("code.secret", h.url+"/welcome?code="))
	d.judge("/people after an addition", "de")
	d.visit("/people?lang=de")
	d.Until("it is not shown again", `() => document.querySelector("code.secret") === null && document.querySelector("h1") !== null`)
	d.focus("tbody tr:nth-child(2) summary")
	d.enter()
	d.Until("what can be changed is shown", `() => document.querySelector("tbody tr:nth-child(2) details").open`)
	d.judge("/people with a form open", "de")
	d.focus("button[value=user-remove]")
	d.enter()
	d.Until("she has no access any more", is("[role=status]", "vera hat keinen Zugang mehr."))

	for _, path := range []string{"/people", "/account", "/incidents", "/incidents/" + id, "/boxes/acme/nord"} {
		for size, scheme := range map[[2]int]string{{1280, 800}: "light", {360, 740}: "dark"} {
			d.window(size[0], size[1], scheme)
			d.visit(path + "?lang=en")
			where := fmt.Sprint(path, " ", scheme, " ", size)
			d.judge(where, "en")
			var wide float64
			d.Eval(`() => document.scrollingElement.scrollWidth - innerWidth`, &wide)
			if wide > 0 {
				t.Errorf("%s is %v pixels too wide", where, wide)
			}
		}
	}
	var links string
	d.visit("/incidents?lang=de&from=2026-11-20")
	d.Eval(`() => document.querySelector("main").textContent`, &links)
	if !strings.Contains(links, "Störung beim Dienst: nats1.video.example, nats2.video.example:8443") {
		t.Errorf("the outage is not found: %s", links)
	}
}

// focus puts the focus where a reader's Tab key would, once that is there.
func (d *reader) focus(selector string) {
	d.Helper()
	d.Until("the focus is on "+selector, fmt.Sprintf(`() => { const e = document.querySelector(%q); e?.focus(); return e !== null && document.activeElement === e; }`, selector))
}

// judge looks for what keeps people from using the page that is open.
func (d *reader) judge(where, lang string) {
	d.Helper()
	for _, s := range d.Faint() {
		d.Errorf("%s: contrast %s", where, s)
	}
	for _, s := range d.Nameless() {
		d.Errorf("%s: no name: %s", where, s)
	}
	d.structure(where, lang)
	d.judgedByAxe(where)
	d.calm(where)
}

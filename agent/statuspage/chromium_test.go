package statuspage_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/lab/browser"
	"github.com/sprechprobe/sprechprobe/agent/statuspage"
)

var update = flag.Bool("update", false, "rewrite the pictures in docs")

// rewrite is the variable that passes the flag on.
const rewrite = "SPRECHPROBE_UPDATE"

// inspect reads off the page what is wrong with it for somebody with a phone.
const inspect = `() => {
	const faults = [], said = [];
	const root = document.documentElement, wide = screen.width; // innerWidth grows with what does not fit
	if (document.scrollingElement.scrollWidth > wide) faults.push("scrolls sideways: " + document.scrollingElement.scrollWidth + " of " + wide);
` + browser.Contrast + `	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walk.nextNode();) {
		const text = n.data.trim().replace(/\s+/g, " "), e = n.parentElement, style = getComputedStyle(e);
		if (!text) continue;
		const range = document.createRange(); range.selectNodeContents(n);
		const boxes = e.tagName === "TEXTAREA" ? [e.getBoundingClientRect()] : [...range.getClientRects()];
		if (!boxes.length || boxes.some(b => b.width < 1 || b.height < 1) || style.visibility !== "visible" || +style.opacity !== 1) { faults.push("not to be seen: " + text); continue; }
		if (boxes.some(b => b.left < 0 || b.right > wide + .5)) faults.push("beyond the edge: " + text);
		if (parseFloat(style.fontSize) < 13) faults.push("too small: " + text);
		const back = ground(e), c = contrast(over(rgba(style.color), back), back);
		if (c < 4.5) faults.push("contrast " + c.toFixed(2) + ": " + text);
		if (!e.closest("[aria-hidden=true]")) said.push(text);
	}
	for (const e of document.querySelectorAll("main *")) {
		const style = getComputedStyle(e);
		if (style.overflow !== "visible" && e.tagName !== "TEXTAREA" && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)) faults.push("cut off: " + e.textContent);
	}
	for (const e of document.querySelectorAll("section")) {
		if (!e.classList.contains("verdict") && !e.querySelector("h2")?.textContent.trim() || e.innerText.trim().length < 40) faults.push("an empty part: " + e.textContent);
	}
	for (const e of document.querySelectorAll("a")) {
		const b = e.getBoundingClientRect();
		if (b.height < 24 || b.width < 24) faults.push("too small for a finger: " + e.textContent + " " + b.width + "x" + b.height);
	}
	let cookie = ""; try { cookie = document.cookie; } catch { /* a document without an origin has none */ }
	if (document.scripts.length || cookie) faults.push("scripts or cookies");
	if (ground(document.body).join() === "255,255,255,1" || ground(document.body).join() === "0,0,0,1") faults.push("the style is not applied");
	return { faults, said, lang: root.lang, height: root.scrollHeight };
}`

type seen struct {
	Faults, Said []string
	Lang         string
	Height       int
}

// A phone shows every state in both languages, by day and by night: nothing is
// missing, too faint, too small or beyond the edge, and nothing else is loaded.
func TestOnAPhone(t *testing.T) {
	if *update {
		t.Setenv(rewrite, "yes") // it gets inside
	}
	if !ownLoopback(t) {
		return
	}
	pages := map[string]*statuspage.Page{
		"looking": showing(looking(t)), "healthy": showing(healthy(t)), "blocked": aDay(t, blocked(t)),
		"nothing": showing(statuspage.State{}), "offline": showing(offline(t)),
	}
	tb := tab{browser.Start(t).Tab(), t}
	tb.Do("Network.enable", nil, nil)
	tb.Do("Log.enable", nil, nil)
	for name, p := range pages {
		base := "http://" + serve(t, p)
		for _, path := range []string{"/", "/request"} {
			if path == "/request" && name != "healthy" && name != "blocked" {
				continue
			}
			said := map[string][]string{}
			for _, lang := range []string{"de", "en"} {
				tb.Do("Network.setUserAgentOverride", map[string]any{"userAgent": "Mozilla/5.0 (phone)", "acceptLanguage": lang + "-XX," + lang + ";q=0.9"}, nil)
				for _, scheme := range []string{"light", "dark"} {
					where := strings.Join([]string{name, path, lang, scheme}, " ")
					tb.phone(320, 640, 2, scheme)
					tb.Open(base + path)
					var s seen
					tb.Eval(inspect, &s)
					for _, f := range s.Faults {
						t.Errorf("%s: %s", where, f)
					}
					if s.Lang != lang || len(s.Said) < 3 {
						t.Errorf("%s: language %q, says %q", where, s.Lang, s.Said)
					}
					said[lang] = s.Said
					tb.alone(where, base+path)
				}
			}
			translated(t, name+" "+path, said["de"], said["en"])
			if name == "blocked" && path == "/" {
				tb.pictures(base)
			}
		}
	}
}

// ownLoopback reports whether this is a run in a network of its own with a
// browser in it, which reaches nobody else.
func ownLoopback(t *testing.T) bool {
	t.Helper()
	lab.Program(t, "chromium", "chromium")
	if !lab.Inside(t) {
		return false
	}
	lab.IP(t, "link set lo up")
	return true
}

// What the inspection finds fault with, so that its silence means something.
func TestTheInspectionSeesFaults(t *testing.T) {
	if !ownLoopback(t) {
		return
	}
	tb := tab{browser.Start(t).Tab(), t}
	tb.phone(320, 640, 2, "light")
	var frames struct {
		FrameTree struct{ Frame struct{ ID string } }
	}
	tb.Do("Page.getFrameTree", nil, &frames)
	for fault, body := range map[string]string{
		"scrolls sideways":       `<p style="width:400px">wide</p>`,
		"beyond the edge":        `<p style="position:relative;left:-40px">off</p>`,
		"not to be seen":         `<p style="visibility:hidden">hidden</p>`,
		"too small:":             `<p style="font-size:9px">small</p>`,
		"contrast 3.":            `<p style="color:#888;background:#fff">faint</p>`,
		"contrast 1.":            `<div style="background:#000"><div style="background:rgba(0,0,0,.1)"><p style="color:#222">dark</p></div></div>`,
		"cut off":                `<main><p style="overflow:hidden;height:5px">cut</p></main>`,
		"an empty part":          `<section><h2></h2></section>`,
		"too small for a finger": `<a href="/">x</a>`,
		"scripts or cookies":     `<script>1</script>`,
		"style is not applied":   `<style>body{background:#fff}</style>`,
	} {
		page := `<!doctype html><meta name="viewport" content="width=device-width"><style>body{background:#fefefe;font-size:16px}a{font-size:10px}</style><body>` + body
		tb.Do("Page.setDocumentContent", map[string]any{"frameId": frames.FrameTree.Frame.ID, "html": page}, nil)
		var s seen
		tb.Eval(inspect, &s)
		if len(s.Faults) == 0 || !strings.Contains(strings.Join(s.Faults, "\n"), fault) {
			t.Errorf("%s: found %q, want %q", body, s.Faults, fault)
		}
	}
}

// tab is one page of a browser.
type tab struct {
	*browser.Tab
	t *testing.T
}

// phone makes the tab one of so many pixels in width and height.
func (tb tab) phone(width, height int, scale float64, scheme string) {
	tb.t.Helper()
	tb.Do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": true}, nil)
	tb.Do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	tb.Do("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
}

// alone fails where the page asked for anything but itself, or was refused
// something by its own policy.
func (tb tab) alone(where, url string) {
	tb.t.Helper()
	requests := tb.Happened("Network.requestWillBeSent")
	if len(requests) == 0 {
		tb.t.Errorf("%s: the browser tells nothing of its requests", where)
	}
	for _, r := range requests {
		var e struct{ Request struct{ URL string } }
		if err := json.Unmarshal(r, &e); err != nil || e.Request.URL != url {
			tb.t.Errorf("%s asks for %s, %v", where, e.Request.URL, err)
		}
	}
	for _, l := range tb.Happened("Log.entryAdded") {
		tb.t.Errorf("%s: %s", where, l)
	}
}

// translated fails where a text is the same in both languages that should not be.
func translated(t *testing.T, where string, de, en []string) {
	t.Helper()
	same := []string{"Sprechprobe", "Router", "Name", "Version", "✓", "✗", "?", "–", "…"}
	for _, s := range de {
		value := strings.ContainsAny(s, "0123456789") || strings.Contains(s, "-") || strings.HasPrefix(s, "Praxis Nord") || strings.HasPrefix(s, "webPRAX") || strings.HasPrefix(s, "ZPP HD")
		if slices.Contains(en, s) && !slices.Contains(same, s) && !value {
			t.Errorf("%s: %q is in both languages", where, s)
		}
	}
	if len(de) != len(en) {
		t.Errorf("%s: %d texts in German, %d in English", where, len(de), len(en))
	}
}

// pictures are what a phone shows first, for docs.
func (tb tab) pictures(base string) {
	for _, lang := range []string{"de", "en"} {
		tb.phone(390, 844, 1.5, "light")
		tb.Open(base + "/?lang=" + lang)
		b := tb.Picture(false)
		if len(b) < 20_000 {
			tb.t.Errorf("the picture has %d bytes", len(b))
		}
		file := filepath.Join("..", "..", "docs", "page-"+lang+".png")
		if os.Getenv(rewrite) != "" {
			if err := os.WriteFile(file, b, 0o666); err != nil {
				tb.t.Fatal(err)
			}
		}
		if info, err := os.Stat(file); err != nil || info.Size() > 150_000 {
			tb.t.Errorf("docs has %v, %v; want at most 150 kB", info, err)
		}
	}
}

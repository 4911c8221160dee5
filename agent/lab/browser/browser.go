// Package browser runs Chromium for tests and drives it by the DevTools protocol
// (https://chromedevtools.github.io/devtools-protocol). It judges no page.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// Browser is one that runs until its test ends.
type Browser struct {
	t    testing.TB
	conn *websocket.Conn
	ctx  context.Context

	mu      sync.Mutex
	next    int
	waiting map[int]chan message
	events  []message
}

type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

var listening = regexp.MustCompile(`DevTools listening on (ws://\S+)`)

// patience is how long a browser may be driven.
const patience = 5 * time.Minute

// Start starts Chromium. It ends with the test.
func Start(t testing.TB) *Browser {
	t.Helper()
	cmd := exec.Command(lab.Program(t, "chromium", "chromium"),
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-port=0", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.WaitDelay = 10 * time.Second
	p := lab.Start(t, cmd, func(p *lab.Process) bool { return listening.MatchString(p.Said()) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, listening.FindStringSubmatch(p.Said())[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(16 << 20)
	c := &Browser{t: t, conn: conn, ctx: ctx, waiting: map[int]chan message{}}
	go c.read()
	t.Cleanup(func() { _ = conn.CloseNow() })
	return c
}

func (c *Browser) read() {
	for {
		_, b, err := c.conn.Read(c.ctx)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(b, &m) != nil {
			continue
		}
		c.mu.Lock()
		if m.ID == 0 {
			c.events = append(c.events, m)
		} else if w := c.waiting[m.ID]; w != nil {
			w <- m
		}
		c.mu.Unlock()
	}
}

// Tab is one page of a browser.
type Tab struct {
	*Browser
	session string
}

// Tab opens a page.
func (c *Browser) Tab() *Tab {
	c.t.Helper()
	var target struct{ TargetID string }
	var attached struct{ SessionID string }
	tb := &Tab{Browser: c}
	tb.Do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	tb.Do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	tb.session = attached.SessionID
	return tb
}

// Do calls a method and waits for its result.
func (tb *Tab) Do(method string, params map[string]any, result any) {
	tb.t.Helper()
	if err := tb.call(method, params, result); err != nil {
		tb.t.Fatal(err)
	}
}

func (tb *Tab) call(method string, params map[string]any, result any) error {
	b, err := json.Marshal(params)
	if err != nil {
		return err
	}
	w := make(chan message, 1)
	tb.mu.Lock()
	tb.next++
	m := message{ID: tb.next, SessionID: tb.session, Method: method, Params: b}
	tb.waiting[m.ID] = w
	tb.mu.Unlock()
	if b, err = json.Marshal(m); err == nil {
		err = tb.conn.Write(tb.ctx, websocket.MessageText, b)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m = <-w:
	case <-tb.ctx.Done():
		return fmt.Errorf("%s: no answer", method)
	}
	if m.Error != nil {
		return fmt.Errorf("%s: %s", method, m.Error.Message)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(m.Result, result); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// Eval runs a function in the page and reads what it returns.
func (tb *Tab) Eval(script string, result any) {
	tb.t.Helper()
	if err := tb.eval(script, result); err != nil {
		tb.t.Fatal(err)
	}
}

func (tb *Tab) eval(script string, result any) error {
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	err := tb.call("Runtime.evaluate", map[string]any{"expression": "(" + script + ")()", "returnByValue": true, "awaitPromise": true}, &out)
	if err != nil {
		return err
	}
	if out.ExceptionDetails != nil {
		return fmt.Errorf("script: %s", out.ExceptionDetails.Exception.Description)
	}
	if err := json.Unmarshal(out.Result.Value, result); err != nil {
		return fmt.Errorf("script: %w in %s", err, out.Result.Value)
	}
	return nil
}

// Open goes to a page and waits until it is there.
func (tb *Tab) Open(url string) {
	tb.t.Helper()
	tb.Do("Page.enable", nil, nil)
	tb.mu.Lock()
	tb.events = nil
	tb.mu.Unlock()
	tb.Do("Page.navigate", map[string]any{"url": url}, nil)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(tb.Happened("Page.loadEventFired")) == 0 {
		select {
		case <-tick.C:
		case <-tb.ctx.Done():
			tb.t.Fatalf("%s does not load", url)
		}
	}
}

// Happened are the parameters of a kind of event since open.
func (tb *Tab) Happened(method string) []json.RawMessage {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	var out []json.RawMessage
	for _, e := range tb.events {
		if e.Method == method && e.SessionID == tb.session {
			out = append(out, e.Params)
		}
	}
	return out
}

// Until waits until a function in the page returns true. The page may go to another
// meanwhile.
func (tb *Tab) Until(what, script string) {
	tb.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(90 * time.Second); ; {
		ok := false
		err := tb.eval(script, &ok)
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			tb.t.Fatalf("waited in vain: %s (%v)", what, err)
		}
	}
}

// Press presses a key, as a keyboard does.
func (tb *Tab) Press(key, code string, number int, text string) {
	tb.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		tb.Do("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "text": text}, nil)
	}
}

// Picture is what the page shows as PNG, within the window or whole.
func (tb *Tab) Picture(whole bool) []byte {
	tb.t.Helper()
	var shot struct{ Data []byte }
	tb.Do("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &shot)
	return shot.Data
}

// Contrast is a piece of a script: rgba reads a colour, over lays one over another,
// ground is what an element stands on, and contrast is how two colours differ (WCAG
// 2.2, contrast ratio).
const Contrast = `
	const rgba = s => { const m = s.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
	const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
	const ground = e => { const layers = []; for (; e; e = e.parentElement) layers.unshift(rgba(getComputedStyle(e).backgroundColor));
		return layers.reduce((b, a) => over(a, b), matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0, 1] : [255, 255, 255, 1]); };
	const light = c => { const l = c.slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * l[0] + .7152 * l[1] + .0722 * l[2]; };
	const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
`

// Faint lists the texts of a page that cannot be read well (WCAG 2.2, 1.4.3).
func (tb *Tab) Faint() []string {
	tb.t.Helper()
	var out []string
	tb.Eval(`() => {
	const out = [];`+Contrast+`
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walk.nextNode();) {
		const text = n.data.trim(), e = n.parentElement, style = getComputedStyle(e);
		if (!text || e.closest("noscript, template, script") || !e.checkVisibility({ visibilityProperty: true })) continue;
		if (e instanceof SVGElement) continue; // its ground is what is drawn below it
		const back = ground(e), c = contrast(over(rgba(style.color), back), back);
		if (c < 4.5) out.push(c.toFixed(2) + ": " + text);
	}
	return out;
}`, &out)
	return out
}

// Nameless lists what of a page can be used, but has no name for those who do not see
// it, by Chromium's own accessibility tree.
func (tb *Tab) Nameless() []string {
	tb.t.Helper()
	type value struct{ Value any }
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name value
			NodeID     string `json:"nodeId"`
			Backend    int    `json:"backendDOMNodeId"`
		}
	}
	tb.Do("Accessibility.getFullAXTree", nil, &tree)
	used := []string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "DisclosureTriangle", "image", "table", "navigation", "region"}
	var out []string
	for _, n := range tree.Nodes {
		role, _ := n.Role.Value.(string)
		if name, _ := n.Name.Value.(string); !n.Ignored && slices.Contains(used, role) && strings.TrimSpace(name) == "" {
			out = append(out, fmt.Sprintf("%s, node %d", role, n.Backend))
		}
	}
	return out
}

package statuspage_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// chromium is a browser, driven by the DevTools protocol
// (https://chromedevtools.github.io/devtools-protocol).
type chromium struct {
	t    *testing.T
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

// browser starts Chromium. It ends with the test.
func browser(t *testing.T) *chromium {
	t.Helper()
	cmd := exec.Command(lab.Program(t, "chromium", "chromium"),
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-port=0", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.WaitDelay = 10 * time.Second
	p := lab.Start(t, cmd, func(p *lab.Process) bool { return listening.MatchString(p.Said()) })
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, listening.FindStringSubmatch(p.Said())[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(16 << 20)
	c := &chromium{t: t, conn: conn, ctx: ctx, waiting: map[int]chan message{}}
	go c.read()
	t.Cleanup(func() { _ = conn.CloseNow() })
	return c
}

func (c *chromium) read() {
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

// tab is one page of the browser.
type tab struct {
	*chromium
	session string
}

func (c *chromium) tab() *tab {
	c.t.Helper()
	var target struct{ TargetID string }
	var attached struct{ SessionID string }
	tb := &tab{chromium: c}
	tb.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	tb.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	tb.session = attached.SessionID
	return tb
}

// do calls a method and waits for its result.
func (tb *tab) do(method string, params map[string]any, result any) {
	tb.t.Helper()
	b, err := json.Marshal(params)
	if err != nil {
		tb.t.Fatal(err)
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
		tb.t.Fatalf("%s: %v", method, err)
	}
	select {
	case m = <-w:
	case <-tb.ctx.Done():
		tb.t.Fatalf("%s: no answer", method)
	}
	if m.Error != nil {
		tb.t.Fatalf("%s: %s", method, m.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(m.Result, result); err != nil {
			tb.t.Fatalf("%s: %v", method, err)
		}
	}
}

// eval runs a function in the page and reads what it returns.
func (tb *tab) eval(script string, result any) {
	tb.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	tb.do("Runtime.evaluate", map[string]any{"expression": "(" + script + ")()", "returnByValue": true, "awaitPromise": true}, &out)
	if out.ExceptionDetails != nil {
		tb.t.Fatalf("script: %s", out.ExceptionDetails.Exception.Description)
	}
	if err := json.Unmarshal(out.Result.Value, result); err != nil {
		tb.t.Fatalf("script: %v in %s", err, out.Result.Value)
	}
}

// open goes to a page and waits until it is there.
func (tb *tab) open(url string) {
	tb.t.Helper()
	tb.do("Page.enable", nil, nil)
	tb.mu.Lock()
	tb.events = nil
	tb.mu.Unlock()
	tb.do("Page.navigate", map[string]any{"url": url}, nil)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(tb.happened("Page.loadEventFired")) == 0 {
		select {
		case <-tick.C:
		case <-tb.ctx.Done():
			tb.t.Fatalf("%s does not load", url)
		}
	}
}

// happened are the parameters of a kind of event since open.
func (tb *tab) happened(method string) []json.RawMessage {
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

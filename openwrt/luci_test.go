package openwrt_test

import (
	"context"
	"encoding/json"
	"html"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/config"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/uci"
)

const (
	luci  = "luci-app-sprechprobe/"
	views = luci + "htdocs/luci-static/resources/view/sprechprobe/"
)

// shown is what became of the views in a browser.
type shown struct {
	Options []struct {
		Section, Name, Kind, Example string
		Values                       []string
		Accepts, Refuses             bool
	}
	Pages []struct {
		Text, HTML string
		Rhythms    []string
		Colours    int
		Execs      []string
		Told       []string
	}
	Untranslated []string
	Error        string
}

// browse runs the views in Chromium, in a page that has as much of LuCI as they
// use. The texts are those of the German translation.
func browse(t *testing.T) shown {
	t.Helper()
	chromium := lab.Program(t, "chromium", "chromium")
	harness, err := os.ReadFile("testdata/luci.html")
	if err != nil {
		t.Fatal(err)
	}
	page := string(harness)
	for place, value := range map[string]any{
		"SETTINGS": readFile(t, views+"settings.js"), "STATUS": readFile(t, views+"status.js"),
		"GERMAN": translations(t, luci+"po/de/sprechprobe.po"), "STOPPED": stopped(t),
	} {
		b, err := json.Marshal(value) // which leaves no < for the page's own parser
		if err != nil {
			t.Fatal(err)
		}
		page = strings.Replace(page, "@"+place+"@", string(b), 1)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "luci.html")
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "-rn", chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-dev-shm-usage", "--user-data-dir="+filepath.Join(dir, "data"),
		"--virtual-time-budget=5000", "--dump-dom", "file://"+file)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	m := regexp.MustCompile(`(?s)<pre id="result">(.*?)</pre>`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("the views came to no end: %s", out)
	}
	var s shown
	if err := json.Unmarshal([]byte(html.UnescapeString(string(m[1]))), &s); err != nil {
		t.Fatalf("%v: %s", err, m[1])
	}
	if s.Error != "" {
		t.Fatalf("the views fail: %s", s.Error)
	}
	return s
}

// stopped is what the program says of a box that does not run.
func stopped(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "sprechprobe")
	inRepository(t, nil, "go", "build", "-o", program, "./cmd/sprechprobe")
	cmd := exec.Command(program, "status", "--format", "json", "--lang", "de")
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+t.TempDir())
	out, _ := cmd.Output()
	if cmd.ProcessState.ExitCode() != 3 || !json.Valid(out) {
		t.Fatalf("status: exit %d, %s", cmd.ProcessState.ExitCode(), out)
	}
	return string(out)
}

func TestViews(t *testing.T) {
	s := browse(t)
	t.Run("settings", func(t *testing.T) { settings(t, s) })
	t.Run("status", func(t *testing.T) { status(t, s) })
	if len(s.Untranslated) > 0 {
		t.Errorf("shown in English to Germans: %q", s.Untranslated)
	}
}

// settings checks that the form and the program know the same options, and that
// what the form offers is what the program takes.
func settings(t *testing.T, s shown) {
	var got []string
	for _, o := range s.Options {
		name, word := o.Section+"."+o.Name, "option"
		if o.Kind == "DynamicList" || o.Kind == "MultiValue" {
			name, word = name+"[]", "list"
		}
		got = append(got, name)
		for _, v := range append(o.Values, o.Example) {
			if v == "" {
				continue
			}
			text := "config " + o.Section + "\n\t" + word + " " + o.Name + " '" + v + "'\n"
			f, err := uci.Render("f", []byte(text))
			if err == nil {
				_, err = config.Parse("f", f.Text)
			}
			// Others may be missing beside it.
			if err != nil && regexp.MustCompile(`\b`+o.Name+`( \d+)?: .*want (one of|a |1|host)`).MatchString(err.Error()) {
				t.Errorf("the form offers %q for %s, which the program refuses: %v", v, name, err)
			}
		}
		if !o.Accepts || !o.Refuses {
			t.Errorf("%s: the form accepts its own example: %v; refuses nonsense: %v", name, o.Accepts, o.Refuses)
		}
	}
	want := uci.Options()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options of the form (+) beside those of the program (-):\n%s", diff)
	}
}

func status(t *testing.T, s shown) {
	const hostile = "<img src=x onerror=hacked()>"
	for i, tt := range []struct {
		name    string
		want    []string
		rhythms int
		told    string
	}{
		{"does not run", []string{"Die Box arbeitet nicht, gleich in welcher Farbe", "Die Box hat noch nicht geprüft.", "Jetzt prüfen"}, 3, "Die Box arbeitet nicht."},
		{"blocked", []string{"Ein Satz.", "Was zu ändern ist", "Titel " + hostile, "Für die IT der Praxis", "Die Box hat vor 42 Sekunden geprüft.",
			"Was die Lichter sagen: Vier Blitze", "Diese Box gehört zu: acme"}, 3, ""},
		{"unclaimed, wrong settings", []string{"Der Code, mit dem der Anbieter diese Box übernimmt: 7K4-QX2", "Die Einstellungen sind falsch", "f:3: schedule.every: \"" + hostile + "\""}, 3, ""},
		{"no program", []string{"Das Programm antwortet nicht.", "exec: " + hostile}, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := s.Pages[i]
			for _, want := range tt.want {
				if !strings.Contains(p.Text, want) {
					t.Errorf("the page lacks %q: %s", want, p.Text)
				}
			}
			if strings.Contains(p.HTML, "<img") {
				t.Errorf("what the program says became HTML: %s", p.HTML)
			}
			if len(p.Rhythms) != tt.rhythms || slices.Contains(p.Rhythms, "") {
				t.Errorf("lamps blink %q", p.Rhythms)
			}
			if want := []string{"/usr/bin/sprechprobe status --format json --lang de", "/etc/init.d/sprechprobe check", "/etc/init.d/sprechprobe identify"}; !slices.Equal(p.Execs, want) {
				t.Errorf("the page runs %q, want %q", p.Execs, want)
			}
			if tt.told != "" && !slices.Contains(p.Told, tt.told) {
				t.Errorf("a press on a button told %q", p.Told)
			}
		})
	}
	if s.Pages[1].Colours < 2 {
		t.Errorf("the lamp of a blocked box shows %d colours over time, want it to blink", s.Pages[1].Colours)
	}
	allowed := readFile(t, luci+"root/usr/share/rpcd/acl.d/luci-app-sprechprobe.json")
	for _, p := range s.Pages {
		for _, line := range p.Execs {
			if !strings.Contains(allowed, strconv.Quote(line)+`: [ "exec" ]`) {
				t.Errorf("rpcd does not allow %s", line)
			}
		}
	}
	for _, line := range []string{`"/usr/bin/sprechprobe status --format json --lang en": [ "exec" ]`, `"/var/run/sprechprobe/settings-wrong": [ "read" ]`, `"/sys/class/leds": [ "list" ]`} {
		if !strings.Contains(allowed, line) {
			t.Errorf("rpcd does not allow %s", line)
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var entry = regexp.MustCompile(`(?m)^msgid ("(?:[^"\\]|\\.)+")\nmsgstr ("(?:[^"\\]|\\.)*")$`)

// translations reads the entries of a file of one line each.
func translations(t *testing.T, name string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range entry.FindAllStringSubmatch(readFile(t, name), -1) {
		id, err1 := strconv.Unquote(m[1])
		str, err2 := strconv.Unquote(m[2])
		if _, twice := all[id]; twice || err1 != nil || err2 != nil {
			t.Errorf("%s: %s stands there twice, or is none (%v, %v)", name, m[1], err1, err2)
		}
		all[id] = str
	}
	return all
}

// Every text of the pages is translated, and nothing else is.
func TestTranslations(t *testing.T) {
	used := map[string]bool{}
	text := regexp.MustCompile(`_\('([^']*)'\)`)
	call := regexp.MustCompile(`\b_\(`)
	for _, name := range []string{"settings.js", "status.js"} {
		js := readFile(t, views+name)
		found := text.FindAllStringSubmatch(js, -1)
		if n := len(call.FindAllString(js, -1)); n != len(found) {
			t.Errorf("%s: %d of %d texts are in a form that is found", name, len(found), n)
		}
		for _, m := range found {
			used[m[1]] = true
		}
	}
	for _, m := range regexp.MustCompile(`"(?:title|description)": "([^"]+)"`).FindAllStringSubmatch(
		readFile(t, luci+"root/usr/share/luci/menu.d/luci-app-sprechprobe.json")+readFile(t, luci+"root/usr/share/rpcd/acl.d/luci-app-sprechprobe.json"), -1) {
		used[m[1]] = true
	}
	german, template := translations(t, luci+"po/de/sprechprobe.po"), translations(t, luci+"po/templates/sprechprobe.pot")
	for id := range used {
		if german[id] == "" {
			t.Errorf("no German for %q", id)
		}
		if strings.Count(german[id], "%") != strings.Count(id, "%") {
			t.Errorf("other places to fill in: %q, %q", id, german[id])
		}
		if s, ok := template[id]; !ok || s != "" {
			t.Errorf("the template lacks %q", id)
		}
	}
	if len(german) != len(used) || len(template) != len(used) {
		t.Errorf("%d texts, %d in German, %d in the template", len(used), len(german), len(template))
	}
}

// What rpcd and LuCI read is JSON, and the menu shows what there is.
func TestMenuAndRights(t *testing.T) {
	err := filepath.WalkDir(luci+"root", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !json.Valid([]byte(readFile(t, path))) {
			t.Errorf("%s is not JSON", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var menu map[string]struct {
		Action  struct{ Type, Path string }
		Depends struct{ ACL []string }
	}
	var rights map[string]any
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(json.Unmarshal([]byte(readFile(t, luci+"root/usr/share/luci/menu.d/luci-app-sprechprobe.json")), &menu))
	must(json.Unmarshal([]byte(readFile(t, luci+"root/usr/share/rpcd/acl.d/luci-app-sprechprobe.json")), &rights))
	for at, m := range menu {
		if m.Action.Type == "view" {
			if _, err := os.Stat(luci + "htdocs/luci-static/resources/view/" + m.Action.Path + ".js"); err != nil {
				t.Errorf("%s: %v", at, err)
			}
		} else if _, ok := menu[m.Action.Path]; !ok {
			t.Errorf("%s leads to %q, which is not there", at, m.Action.Path)
		}
		for _, acl := range m.Depends.ACL {
			if rights[acl] == nil {
				t.Errorf("%s asks for rights that are not defined: %s", at, acl)
			}
		}
	}
}

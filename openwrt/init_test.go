package openwrt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/lab"
)

// router is a root directory like OpenWrt's, with a program and a procd that only
// note what they are asked to do. Scripts run there under busybox's own shell.
type router struct {
	root string
	log  string
}

// procd stands for /lib/functions/procd.sh: each call is a line, its arguments
// in brackets. rc.common and config_load are as little as the script needs of
// them.
const procd = `
_note() {
	local name=$1 arg; shift
	printf '%s' "$name"
	for arg in "$@"; do printf ' [%s]' "$arg"; done
	echo
} >>"$LOG"
for f in procd_open_instance procd_close_instance procd_set_param procd_append_param procd_add_jail \
	procd_add_jail_mount procd_add_jail_mount_rw procd_add_reload_trigger procd_add_raw_trigger procd_send_signal; do
	eval "$f() { _note $f \"\$@\"; }"
done
config_load() { _note config_load "$@"; }
config_foreach() { local call=$1 type=$2; [ -z "$SECTION" ] || [ "$type" != sprechprobe ] || $call "$SECTION"; }
config_get_bool() { eval "$1=\${ENABLED:-$4}"; }
config_get() { eval "$1=\${DEV:-}"; }
reload() { _note reload; }
start() { _note start; }
enabled() { [ -z "${DISABLED:-}" ]; }
sleep() { _note sleep "$@"; }
logger() { local line; while read -r line; do _note logger "$@" "$line"; done; }
. "$ROOT$initscript"
$action
code=$?
wait
exit $code
`

func newRouter(t *testing.T) *router {
	t.Helper()
	lab.Program(t, "busybox", "busybox")
	r := &router{root: t.TempDir()}
	r.log = filepath.Join(r.root, "log")
	init, err := os.ReadFile("sprechprobe/files/sprechprobe.init")
	if err != nil {
		t.Fatal(err)
	}
	// The script has absolute paths in one place, and in the list of mounts.
	var moves []string
	for _, path := range []string{"/usr/bin/", "/etc/", "/var/run/", "/sbin/", "/sys/", "/tmp/", "/boot/", "/usr/share/"} {
		for _, before := range []string{"=", " ", "\t"} {
			moves = append(moves, before+path, before+r.root+path)
		}
	}
	r.write(t, "etc/init.d/sprechprobe", strings.NewReplacer(moves...).Replace(string(init)), 0o755)
	r.write(t, "procd", procd, 0o755)
	r.program(t, "true")
	r.write(t, "etc/config/sprechprobe", "config sprechprobe", 0o600)
	return r
}

func (r *router) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(r.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (r *router) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(r.root, name))
	return string(b)
}

// program puts a box's program there that makes what is in the file "toml" of
// the settings, whose check comes out as given.
func (r *router) program(t *testing.T, check string) {
	t.Helper()
	r.write(t, "usr/bin/sprechprobe", `#!/bin/sh
root=`+r.root+`
echo "program $*" >>"$root/log"
case "$1 $2" in
"config from-uci") [ ! -e "$root/bad" ] || { cat "$root/bad" >&2; exit 64; }; cat "$root/toml" 2>/dev/null; exit 0 ;;
"config check") `+check+` || { echo "no such profile" >&2; exit 64; } ;;
esac
`, 0o755)
}

// do runs an action of the init script and returns what it asked for, with the
// root directory left out.
func (r *router) do(t *testing.T, action string, env ...string) (calls []string, code int) {
	t.Helper()
	_ = os.Remove(r.log)
	cmd := exec.Command("busybox", "sh", "-u", filepath.Join(r.root, "procd"))
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "ROOT=" + r.root, "initscript=/etc/init.d/sprechprobe",
		"LOG=" + r.log, "action=" + action, "SECTION=main"}, env...)
	out, err := cmd.CombinedOutput()
	if len(out) > 0 {
		t.Errorf("%s printed %s", action, out)
	}
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(r.read("log"), r.root, "")
	for line := range strings.Lines(text) {
		calls = append(calls, strings.TrimSuffix(line, "\n"))
	}
	return calls, cmd.ProcessState.ExitCode()
}

var made = []string{
	"config_load [sprechprobe]",
	"program config from-uci /etc/config/sprechprobe",
	"program config check --config /var/run/sprechprobe/sprechprobe.toml",
}

var started = []string{
	"procd_open_instance [main]",
	"procd_set_param [command] [/usr/bin/sprechprobe] [run] [--config] [/etc/sprechprobe/sprechprobe.toml]",
	"procd_set_param [env] [PROCD_SERVICE=sprechprobe/main]",
	"procd_set_param [respawn] [3600] [5] [0]",
	"procd_set_param [term_timeout] [5]",
	"procd_set_param [stdout] [1]",
	"procd_set_param [stderr] [1]",
	"procd_set_param [file] [/etc/sprechprobe/sprechprobe.toml]",
}

var ended = []string{"procd_close_instance"}

func want(t *testing.T, got []string, parts ...[]string) {
	t.Helper()
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Errorf("the script asked for other things (-want +got):\n%s", diff)
	}
}

func TestStart(t *testing.T) {
	r := newRouter(t)
	r.write(t, "toml", "language = \"de\"\n", 0o644)
	got, code := r.do(t, "start_service")
	want(t, got, made, started, ended)
	if code != 0 || r.read("etc/sprechprobe/sprechprobe.toml") != "language = \"de\"\n" {
		t.Errorf("exit %d, configuration %q", code, r.read("etc/sprechprobe/sprechprobe.toml"))
	}
}

func TestNotEnabled(t *testing.T) {
	r := newRouter(t)
	got, code := r.do(t, "start_service", "ENABLED=0")
	want(t, got, made[:1])
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	if got, _ := r.do(t, "start_service", "SECTION="); len(got) != len(made)+len(started)+len(ended) {
		t.Errorf("settings without a section for the box did not start it: %q", got)
	}
}

func TestNetdev(t *testing.T) {
	r := newRouter(t)
	got, _ := r.do(t, "start_service", "DEV=br-lan")
	want(t, got, made, started, []string{"procd_set_param [netdev] [br-lan]"}, ended)
}

// Wrong settings are told, and leave the configuration that was right before.
func TestWrongSettings(t *testing.T) {
	r := newRouter(t)
	r.write(t, "toml", "good\n", 0o644)
	r.do(t, "start_service")
	for _, tt := range []struct {
		name, bad, check, told string
		calls                  int
	}{
		{"a form's slip", "/etc/config/sprechprobe:3: schedule.evry: unknown option\n", "true", "schedule.evry", 2},
		{"a profile that is not there", "", "false", "no such profile", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r.program(t, tt.check)
			r.write(t, "toml", "bad\n", 0o644)
			if tt.bad != "" {
				r.write(t, "bad", tt.bad, 0o644)
				defer os.Remove(filepath.Join(r.root, "bad"))
			}
			got, code := r.do(t, "start_service")
			logged := got[tt.calls]
			if !strings.HasPrefix(logged, "logger [-t] [sprechprobe] [-p] [daemon.err] [") || !strings.Contains(logged, tt.told) {
				t.Errorf("logged %q, want %q in it", logged, tt.told)
			}
			want(t, got, made[:tt.calls], []string{logged}, started, ended)
			if code != 0 || r.read("etc/sprechprobe/sprechprobe.toml") != "good\n" || !strings.Contains(r.read("var/run/sprechprobe/settings-wrong"), tt.told) {
				t.Errorf("exit %d, configuration %q, told %q", code, r.read("etc/sprechprobe/sprechprobe.toml"), r.read("var/run/sprechprobe/settings-wrong"))
			}
		})
	}
	r.program(t, "true")
	r.do(t, "start_service")
	if r.read("var/run/sprechprobe/settings-wrong") != "" {
		t.Error("settings that were mended are still called wrong")
	}
}

// Without any configuration that was ever right nothing starts, and no lamp
// stays lit for a box that does not run.
func TestNothingToStartFrom(t *testing.T) {
	r := newRouter(t)
	r.write(t, "bad", "wrong\n", 0o644)
	got, code := r.do(t, "start_service")
	want(t, got, made[:2], []string{"logger [-t] [sprechprobe] [-p] [daemon.err] [wrong]", "program lights show stopped"})
	if code != 1 {
		t.Errorf("exit %d, want 1", code)
	}
}

// While the package is changed the lamps say so; in the end there is a box again,
// unless its owner wants none. A box that has not run has no lamps to lose.
func TestUpdating(t *testing.T) {
	r := newRouter(t)
	if got, code := r.do(t, "updating"); len(got) > 0 || code != 0 {
		t.Errorf("a box that has not run: exit %d, %q", code, got)
	}
	r.write(t, "var/run/sprechprobe/run.lock", "", 0o644)
	shown := []string{"sleep [5]", "program lights show updating --config /etc/sprechprobe/sprechprobe.toml"}
	got, _ := r.do(t, "updating")
	want(t, got, shown, []string{"start"})
	got, _ = r.do(t, "updating", "DISABLED=1")
	want(t, got, shown)
	r.write(t, "usr/bin/sprechprobe", "#!/bin/sh\nexit 1\n", 0o755) // no lamps, or a box that drives them
	got, _ = r.do(t, "updating")
	want(t, got, shown[:1], []string{"sleep [600]", "start"})
}

// Flash is written only where something has changed.
func TestFlashIsSpared(t *testing.T) {
	r := newRouter(t)
	r.write(t, "toml", "same\n", 0o644)
	r.do(t, "start_service")
	path := filepath.Join(r.root, "etc/sprechprobe/sprechprobe.toml")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	r.do(t, "start_service")
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the same configuration was written again (%v)", err)
	}
	r.write(t, "toml", "other\n", 0o644)
	r.do(t, "start_service")
	if after, err := os.Stat(path); err != nil || os.SameFile(before, after) {
		t.Errorf("another configuration was not written to a file of its own (%v)", err)
	}
}

const jailed = `profile_dir = "/etc/sprechprobe/profiles.d"
state_dir = "/etc/sprechprobe/state"

[relay]
password_file = "ROOT/srv/pw"

[spool]
dir = "ROOT/srv/spool"

[lights]
driver = "auto"
`

func TestJail(t *testing.T) {
	r := newRouter(t)
	toml := strings.NewReplacer("ROOT", r.root, `"/etc`, `"`+r.root+`/etc`).Replace(jailed)
	r.write(t, "toml", toml, 0o644)
	r.write(t, "sbin/ujail", "", 0o755)
	r.write(t, "etc/resolv.conf", "", 0o644)
	r.write(t, "srv/pw", "", 0o600)
	r.write(t, "sys/devices/platform/leds/green", "", 0o644)
	if err := os.MkdirAll(filepath.Join(r.root, "sys/class/leds"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../devices/platform/leds/green", filepath.Join(r.root, "sys/class/leds/green:power")); err != nil {
		t.Fatal(err)
	}
	got, _ := r.do(t, "start_service")
	want(t, got, made, started, []string{
		"procd_add_jail [sprechprobe] [log] [ubus] [procfs] [sysfs]",
		"procd_set_param [capabilities] [/etc/capabilities/sprechprobe.json]",
		"procd_set_param [no_new_privs] [1]",
		"procd_add_jail_mount [/etc/resolv.conf]",
		"procd_add_jail_mount [/srv/pw]",
		"procd_add_jail_mount_rw [/etc/sprechprobe] [/var/run/sprechprobe]",
		"procd_add_jail_mount_rw [/srv/spool]",
		"procd_add_jail_mount_rw [/sys/devices/platform/leds/green]",
		"procd_append_param [file] [/tmp/resolv.conf.d/resolv.conf.auto]",
	}, ended)
	for _, free := range []string{
		"[panel]\nport = \"/dev/ttyUSB0\"\n",
		"[button]\ngpio = \"GPIO3\"\n",
		"[lights]\ndriver = \"gpio\"\n",
		"[central]\nca = \"/etc/my keys/ca.pem\"\n",
		"[relay]\npassword_file = \"/etc/a\\\"; reboot; \\\"\"\n",
	} {
		r.write(t, "toml", toml+free, 0o644)
		got, _ := r.do(t, "start_service")
		want(t, got, made, started, ended)
	}
	// What only looks like such a thing is none: it stands within a value.
	r.write(t, "toml", toml+"[box]\nname = \"x\\u000Aport = \\\"y\\\"\"\n", 0o644)
	if got, _ := r.do(t, "start_service"); len(got) < 15 {
		t.Errorf("a name with the text of an entry in it opened the jail: %q", got)
	}
}

func TestTriggers(t *testing.T) {
	got, _ := newRouter(t).do(t, "service_triggers")
	want(t, got, []string{
		"procd_add_reload_trigger [sprechprobe] [system]",
		"procd_add_raw_trigger [interface.*.up] [2000] [/etc/init.d/sprechprobe] [follow]",
	})
}

// A network that comes up again as it was starts nothing again.
func TestFollow(t *testing.T) {
	r := newRouter(t)
	const servers = "tmp/resolv.conf.d/resolv.conf.auto"
	reloads := func(n int, when string) {
		t.Helper()
		if got, code := r.do(t, "follow"); len(got) != n || code != 0 || n > 0 && got[0] != "reload" {
			t.Errorf("%s: asked for %q, exit %d", when, got, code)
		}
	}
	reloads(0, "before the first start")
	r.write(t, servers, "nameserver 192.168.1.1\n", 0o644)
	r.do(t, "start_service")
	reloads(0, "the same network")
	r.write(t, servers, "nameserver 10.0.0.1\n", 0o644)
	reloads(1, "other name servers")
	r.do(t, "start_service")
	reloads(0, "after that")
	r.write(t, "sys/class/net/eth1/ifindex", "7\n", 0o644)
	reloads(1, "another interface")
}

// A signal goes only to a program that runs and takes it.
func TestSignals(t *testing.T) {
	r := newRouter(t)
	for action, signal := range map[string]string{"check": "USR1", "identify": "USR2"} {
		got, code := r.do(t, action)
		want(t, got)
		if code == 0 {
			t.Errorf("%s of a box that does not run: exit 0", action)
		}
		r.write(t, "var/run/sprechprobe/run.lock", "", 0o644)
		if got, _ = r.do(t, action); len(got) > 0 {
			t.Errorf("%s asked a dead box: %q", action, got)
		}
		holder := exec.Command("flock", "-s", filepath.Join(r.root, "var/run/sprechprobe/run.lock"), "sh", "-c", "echo; read x")
		in, err1 := holder.StdinPipe()
		out, err2 := holder.StdoutPipe()
		if err1 != nil || err2 != nil || holder.Start() != nil {
			t.Fatal("no holder of the lock", err1, err2)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		got, code = r.do(t, action)
		want(t, got, []string{"procd_send_signal [sprechprobe] [main] [" + signal + "]"})
		if code != 0 {
			t.Errorf("%s: exit %d", action, code)
		}
		_ = in.Close()
		_ = holder.Wait()
		_ = os.Remove(filepath.Join(r.root, "var/run/sprechprobe/run.lock"))
	}
}

// The hotplug script has the box look when a network comes or goes, and at
// nothing else.
func TestHotplug(t *testing.T) {
	script, err := os.ReadFile("sprechprobe/files/sprechprobe.hotplug")
	if err != nil {
		t.Fatal(err)
	}
	r := newRouter(t)
	r.write(t, "hotplug", strings.ReplaceAll(string(script), "/etc/init.d", r.root+"/etc/init.d"), 0o755)
	r.write(t, "etc/init.d/sprechprobe", "#!/bin/sh\necho \"$*\" >>'"+r.log+"'\nexit 1\n", 0o755)
	for _, tt := range []struct{ action, iface, want string }{
		{"ifup", "wan", "check\n"},
		{"ifdown", "lan", "check\n"},
		{"ifup", "loopback", ""},
		{"ifupdate", "wan", ""},
		{"", "", ""},
	} {
		_ = os.Remove(r.log)
		cmd := exec.Command("busybox", "sh", filepath.Join(r.root, "hotplug"))
		cmd.Env = []string{"ACTION=" + tt.action, "INTERFACE=" + tt.iface}
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%+v: %v, %s", tt, err, out)
		}
		if got := r.read("log"); got != tt.want {
			t.Errorf("%+v: asked %q", tt, got)
		}
	}
}

// A box gets a name of its own once, and keeps one that it was given.
func TestDefaults(t *testing.T) {
	run := func(t *testing.T, id string) string {
		dir := t.TempDir()
		uci := "#!/bin/sh\ncase \"$*\" in '-q get sprechprobe.box.id') echo '" + id + "' ;; '-q batch') cat >" + dir + "/batch ;; *) exit 9 ;; esac\n"
		if err := os.WriteFile(filepath.Join(dir, "uci"), []byte(uci), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(lab.Program(t, "busybox", "busybox"), "sh", "sprechprobe/files/sprechprobe.defaults")
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %s", err, out)
		}
		b, _ := os.ReadFile(filepath.Join(dir, "batch"))
		return string(b)
	}
	if got := run(t, "praxis-nord"); got != "" {
		t.Errorf("a box with a name was given another: %s", got)
	}
	first, second := run(t, ""), run(t, "")
	const head, tail = "set sprechprobe.box=box\nset sprechprobe.box.id='box-", "'\ncommit sprechprobe\n"
	if len(first) != len(head)+12+len(tail) || !strings.HasPrefix(first, head) || !strings.HasSuffix(first, tail) {
		t.Errorf("uci was told %q", first)
	}
	if first == second {
		t.Errorf("two boxes got the same name: %q", first)
	}
}

func TestShellcheck(t *testing.T) {
	shellcheck := lab.Program(t, "shellcheck", "shellcheck")
	for _, args := range [][]string{
		// local is of every shell that OpenWrt has had; the rest rc.common reads or sets.
		{"-s", "sh", "-e", "SC2034,SC3043", "sprechprobe/files/sprechprobe.init"},
		{"sprechprobe/files/sprechprobe.defaults", "sprechprobe/files/sprechprobe.hotplug"},
	} {
		if out, err := exec.Command(shellcheck, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

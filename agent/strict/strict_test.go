package strict_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pelletier/go-toml/v2"

	"github.com/sprechprobe/sprechprobe/agent/strict"
)

// file has a field of every kind that files of ours use.
type file struct {
	Name   string   `toml:"name"`
	On     bool     `toml:"on"`
	Maybe  *bool    `toml:"maybe"`
	Port   uint16   `toml:"port"`
	Level  int8     `toml:"level"`
	Big    int64    `toml:"big"`
	Huge   uint64   `toml:"huge"`
	Ratio  *float64 `toml:"ratio"`
	Words  []string `toml:"words"`
	Nested [][]int  `toml:"nested"`
	Box    *box     `toml:"box"`
	Target []target `toml:"target"`
}

type box struct {
	ID     string `toml:"id"`
	Inside target `toml:"inside"`
}

type target struct {
	Host  string   `toml:"host"`
	Ports []uint16 `toml:"ports"`
}

func TestDecode(t *testing.T) {
	yes, half, ten := true, 0.5, 10.0
	tests := []struct {
		name, in string
		want     file
	}{
		{"empty", "", file{}},
		{"byte order mark and comments", "\ufeff# note\r\nname = 'a'\r\n", file{Name: "a"}},
		{"values", "name='Süd'\non=true\nmaybe=true\nport=65_535\nlevel=-128\nbig=0xFF\nhuge=9223372036854775807\nratio=0.5\nwords=['a',\"b\\u0063\"]\nnested=[[1],[],[2,3]]",
			file{Name: "Süd", On: true, Maybe: &yes, Port: 65535, Level: -128, Big: 255, Huge: 9223372036854775807, Ratio: &half, Words: []string{"a", "bc"}, Nested: [][]int{{1}, {}, {2, 3}}}},
		{"exponent", "ratio = 5e-1", file{Ratio: &half}},
		{"whole number where a fraction may stand", "ratio = 1_0", file{Ratio: &ten}},
		{"headers", "[box]\nid='x'\n[box.inside]\nhost='h'\n[[target]]\nhost='a'\n[[target]]\nports=[1]",
			file{Box: &box{ID: "x", Inside: target{Host: "h"}}, Target: []target{{Host: "a"}, {Ports: []uint16{1}}}}},
		{"inner header first", "[box.inside]\nhost='h'\n[box]\nid='x'", file{Box: &box{ID: "x", Inside: target{Host: "h"}}}},
		{"dotted and in braces", "box.id='x'\nbox.inside={host='h'}\ntarget=[{host='a'},{host='b'}]",
			file{Box: &box{ID: "x", Inside: target{Host: "h"}}, Target: []target{{Host: "a"}, {Host: "b"}}}},
		{"empty list is set", "words=[]", file{Words: []string{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got file
			if _, err := strict.Decode("f.toml", []byte(tt.in), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"unknown", "name='a'\nport_=1", "f.toml:2: port_: unknown entry (known here: name, on, maybe, port,"},
		{"unknown in a table", "[box]\n\nid='a'\nidd='b'", "f.toml:4: box.idd: unknown entry (known here: id, inside)"},
		{"unknown in an item", "[[target]]\n[[target]]\nhost='a'\nhots='b'", "f.toml:4: target 2, hots: unknown entry"},
		{"unknown table", "[boxes]", "f.toml:1: boxes: unknown entry"},
		{"unknown in braces", "target=[\n{host='a'},\n{hots='b'}]", "f.toml:3: target 2, hots: unknown entry"},
		{"capitals count", "Name='a'", "f.toml:1: Name: unknown entry"},
		{"twice", "name='a'\n\nname='b'", "f.toml:3: name: already set in line 1"},
		{"twice in an item", "[[target]]\nhost='a'\n[[target]]\nhost='a'\nhost='b'", "f.toml:5: target 2, host: already set in line 4"},
		{"twice in braces", "box={id='a',\nid='b'}", "f.toml:2: box.id: already set in line 1"},
		{"table twice", "[box]\n[box]", "f.toml:2: box: already set in line 1"},
		{"table and list of it", "[target]\n[[target]]", "f.toml:2: target: already set in line 1"},
		{"list and table of it", "[[target]]\n[target]", "f.toml:2: target: already set in line 1"},
		{"table over a value", "box='a'\n[box]", "f.toml:2: box: already set in line 1"},
		{"table within a value", "name='a'\n[name.b]", "f.toml:2: name: already set in line 1, and complete there"},
		{"table within braces", "box={id='a'}\n[box.inside]", "f.toml:2: box: already set in line 1, and complete there"},
		{"key within braces", "box={id='a'}\nbox.x=1", "f.toml:2: box: already set in line 1"},
		{"dotted into a table of another header", "[box.inside]\n[box]\ninside.host='a'", "f.toml:3: box.inside: already set in line 1"},
		{"list in brackets goes on", "target=[]\n[[target]]", "f.toml:2: target: already set in line 1"},
		{"text for a number", "port='443'", "f.toml:1: port: is text in quotes, want a whole number"},
		{"number for text", "\nname=1", "f.toml:2: name: is a whole number, want text in quotes"},
		{"number for a truth", "on=1", "f.toml:1: on: is a whole number, want true or false"},
		{"fraction for a whole number", "port=1.0", "f.toml:1: port: is a number, want a whole number"},
		{"text for a fraction", "ratio='1'", "f.toml:1: ratio: is text in quotes, want a number"},
		{"date", "name=2026-02-18", "f.toml:1: name: is a date, want text in quotes"},
		{"text for a list", "words='a'", "f.toml:1: words: is text in quotes, want a list"},
		{"item of a list", "words=['a',\n'b',\n3]", "f.toml:3: words 3: is a whole number, want text in quotes"},
		{"item of a list in a list", "nested=[[1],[2,'x']]", "f.toml:1: nested 2 2: is text in quotes"},
		{"list for a table", "[[box]]", "f.toml:1: box: is a list of tables, want a table"},
		{"value for a table", "box=1", "f.toml:1: box: is a whole number, want a table"},
		{"table for a list", "[target]", "f.toml:1: target: is a table, want a list"},
		{"table for text", "[name]", "f.toml:1: name: is a table, want text in quotes"},
		{"too large", "port=65536", "f.toml:1: port: 65536: want 0 to 65535"},
		{"negative", "port=-1", "f.toml:1: port: -1: want 0 to 65535"},
		{"too small", "level=-129", "f.toml:1: level: -129: want -128 to 127"},
		{"beyond 64 bits", "big=9223372036854775808", "f.toml:1: big: 9223372036854775808: want -9223372036854775808 to 9223372036854775807"},
		{"beyond 64 bits, no sign", "huge=18446744073709551615", "f.toml:1: huge: 18446744073709551615: want 0 to 9223372036854775807"},
		{"infinite", "ratio=inf", "f.toml:1: ratio: inf: want a finite decimal number"},
		{"no number", "ratio=nan", "f.toml:1: ratio: nan: want a finite decimal number"},
		{"overflow", "ratio=1e999", "f.toml:1: ratio: 1e999: want a finite decimal number"},
		{"syntax", "name='a'\n[box]\nid=", "f.toml:3: box: "},
		{"no quotes", "name = a", "f.toml:1: unexpected character"},
		{"no quotes around a duration", "\nname = 5m", "f.toml:2: strings must be quoted"},
		{"open quote at the end", "name='a'\nname=\"", "f.toml:2: unterminated basic string"},
		{"open list at the end", "words=[\n\n", "f.toml:2: array is incomplete"},
		{"NUL", "name='a'\n#\x00", "f.toml:2: NUL byte"},
		{"not UTF-8", "name='a'\n# \xe4", "f.toml:2: byte 0xe4 is not UTF-8"},
		{"too big", strings.Repeat("#", strict.MaxSize+1), "f.toml: file of more than 65536 bytes"},
		{"too many", strings.Repeat("[[target]]\n", 5000), "f.toml:4097: more than 4096 entries"},
		{"too deep", "nested=" + strings.Repeat("[", 20) + strings.Repeat("]", 20), "f.toml:1: nested 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1: more than 16 entries within entries"},
		{"too many dots", "a" + strings.Repeat(".a", 20) + "=1", "f.toml:1: a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a: more than 16 entries within entries"},
		{"too many dots in a header", "\n[a" + strings.Repeat(".a", 20) + "]", "f.toml:2: a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a: more than 16 entries within entries"},
		{"far too deep", "nested=" + strings.Repeat("[", 30000), "nested more than"},
		{"control characters in a key", `"\u001b[31m"=1`, `f.toml:1: "\x1b[31m": unknown entry`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := strict.Decode("f.toml", []byte(tt.in), new(file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v, want %q", err, tt.want)
			}
			if doc != nil {
				t.Error("a document came with the error")
			}
		})
	}
}

func TestAllErrorsAtOnceByLine(t *testing.T) {
	const in = "port='a'\n[[target]]\nhots='b'\n[box]\nid=1\n"
	_, err := strict.Decode("f.toml", []byte(in), new(file))
	var got []int
	for _, e := range strict.Errors(err) {
		got = append(got, e.Line)
	}
	if diff := cmp.Diff([]int{1, 3, 5}, got); diff != "" {
		t.Errorf("lines of %v (-want +got):\n%s", err, diff)
	}
}

func TestManyErrorsAreCounted(t *testing.T) {
	_, err := strict.Decode("f.toml", []byte(strings.Repeat("[[target]]\nx=1\n", 1000)), new(file))
	if got, want := len(strict.Errors(err)), 33; got != want {
		t.Errorf("got %d errors, want %d", got, want)
	}
	if want := "f.toml: 968 more errors"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want it to end in %q", err, want)
	}
}

func TestPlace(t *testing.T) {
	const in = "name = 'a'\n\n[[target]]\nhost = 'a'\nports = [1,\n2]\n[box]\nid='x'\n"
	doc, err := strict.Decode("f.toml", []byte(in), new(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Err(); err != nil {
		t.Fatalf("no mistakes noted, got %v", err)
	}
	first := doc.Key("target").Item(0)
	doc.Key("box").Key("id").Errorf("bad %q", "x")
	first.Key("ports").Item(1).Errorf("second port")
	first.Key("service").Errorf("missing")
	doc.Key("title").Errorf("missing")
	doc.Key("box").Key("inside").Key("host").Errorf("missing")
	doc.Errorf("nothing\nto see")

	want := []string{
		"f.toml:1: title: missing",
		"f.toml:1: nothing\ufffdto see",
		"f.toml:3: target 1, service: missing",
		"f.toml:6: target 1, ports 2: second port",
		"f.toml:7: box.inside.host: missing",
		`f.toml:8: box.id: bad "x"`,
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), doc.Err().Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !first.Key("host").Set() || first.Key("service").Set() || doc.Key("target").Item(1).Set() || doc.Key("target").Item(-1).Set() {
		t.Error("Set does not tell what is in the file")
	}
	var e *strict.Error
	if !errors.As(doc.Err(), &e) || e.File != "f.toml" || e.Line != 1 || e.Entry != "title" {
		t.Errorf("errors.As gave %+v", e)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, size int) {
		if err := os.WriteFile(path(name), bytes.Repeat([]byte("#"), size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("full", strict.MaxSize)
	write("over", strict.MaxSize+1)
	if err := os.Symlink("full", path("link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, wantErr string }{
		{name: "full"},
		{name: "link"},
		{name: "over", wantErr: "file of more than 65536 bytes"},
		{name: "pipe", wantErr: "pipe: not a regular file"},
		{name: ".", wantErr: "not a regular file"},
		{name: "none", wantErr: "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := strict.ReadFile(path(tt.name))
			switch {
			case tt.wantErr == "" && (err != nil || len(data) != strict.MaxSize):
				t.Errorf("got %d bytes and %v", len(data), err)
			case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Errorf("got %v, want %q", err, tt.wantErr)
			}
		})
	}
	if _, err := strict.ReadFile(path("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if _, err := strict.ReadFile("/dev/zero"); err == nil {
		t.Error("a device was read")
	}
}

// What Decode accepts, the TOML library accepts too, with the same result; and
// every error says where and is fit to print.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("name='a'\non=true\nport=0x1F\nratio=1_0.5e-3\nnested=[[1],[2,3]]\n[box]\nid=\"\\u00e4\"\ninside.host='b'\n[[target]]\nports=[1,\n2]\n"))
	f.Add([]byte("target=[{host='a'},{ports=[]}]\nbox={id='x'}\n"))
	f.Add([]byte("[box.inside]\n[box]\n[box]\n"))
	f.Add([]byte("a.b.c=1\n[a.b]\n\"\\u001b\"=2"))
	f.Add([]byte("\ufeffname=\"\"\"\nx\\\n y\"\"\"\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var got, want file
		_, err := strict.Decode("f.toml", in, &got)
		if err != nil {
			checkErrors(t, in, err)
			return
		}
		in = bytes.TrimPrefix(in, []byte("\ufeff"))
		if err := toml.NewDecoder(bytes.NewReader(in)).DisallowUnknownFields().Decode(&want); err != nil {
			t.Fatalf("accepted what the library refuses: %v", err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-library +ours):\n%s", diff)
		}
	})
}

func checkErrors(t *testing.T, in []byte, err error) {
	t.Helper()
	all := strict.Errors(err)
	if len(all) == 0 {
		t.Fatalf("no *strict.Error in %v", err)
	}
	for _, e := range all {
		if e.File != "f.toml" || e.Line < 0 || e.Line > 1+bytes.Count(in, []byte("\n")) {
			t.Errorf("place of %+v", e)
		}
		if strings.IndexFunc(e.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 || len(e.Error()) > 2000 {
			t.Errorf("not fit to print: %q", e.Error())
		}
	}
}

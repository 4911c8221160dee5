package sheet_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/light/sheet"
)

var update = flag.Bool("update", false, "rewrite the sheets")

// The sheet is part of the documentation.
func TestHTML(t *testing.T) {
	for _, l := range advice.Langs {
		file := filepath.Join("..", "..", "..", "docs", "lights."+string(l)+".html")
		if *update {
			if err := os.WriteFile(file, []byte(sheet.HTML(l)), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), sheet.HTML(l)); diff != "" {
			t.Errorf("differs from %s (-want +got; -update rewrites):\n%s", file, diff)
		}
	}
}

// The sheet is one page on paper; a second one would be lost.
func TestSheetIsOnePage(t *testing.T) {
	chromium := lab.Program(t, "chromium", "chromium")
	for _, l := range advice.Langs {
		dir := t.TempDir()
		page, pdf := filepath.Join(dir, "sheet.html"), filepath.Join(dir, "sheet.pdf")
		if err := os.WriteFile(page, []byte(sheet.HTML(l)), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu",
			"--user-data-dir="+dir, "--no-pdf-header-footer", "--print-to-pdf="+pdf, "file://"+page)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
		b, err := os.ReadFile(pdf)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte("/Count 1\n")) && !bytes.Contains(b, []byte("/Count 1>")) {
			t.Errorf("%s: the sheet is not one page", l)
		}
	}
}

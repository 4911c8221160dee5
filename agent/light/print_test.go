package light_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/advice"
	"github.com/sprechprobe/sprechprobe/agent/lab"
	"github.com/sprechprobe/sprechprobe/agent/light"
)

// The sheet is one page on paper; a second one would be lost.
func TestSheetIsOnePage(t *testing.T) {
	chromium := lab.Program(t, "chromium", "chromium")
	for _, l := range advice.Langs {
		dir := t.TempDir()
		page, pdf := filepath.Join(dir, "sheet.html"), filepath.Join(dir, "sheet.pdf")
		if err := os.WriteFile(page, []byte(light.Sheet(l)), 0o644); err != nil {
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

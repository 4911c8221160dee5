package dashboard_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sprechprobe/sprechprobe/agent/wire/fleet"
	"github.com/sprechprobe/sprechprobe/cmd/sprechprobe-fleet/internal/dashboard"
)

// All that is kept of a box can be had and deleted on its page, the latter by whoever
// types its name.
func TestExportAndDelete(t *testing.T) {
	var b *bench
	b = newBench(t, dashboard.Config{Forget: func(ctx context.Context, a fleet.Address) error { return b.db.Delete(ctx, a) }})
	b.take("acme", "nord", broken(report("Nord")))
	_, page := b.get("/boxes/acme/nord?lang=en")
	contains(t, page, "Data of this box", "To be sure: type acme/nord")
	checkMarkup(t, "box", page)
	if code, all := b.get("/boxes/acme/nord/export"); code != 200 || strings.Count(all, `{"report":`) != 1 || !strings.Contains(all, "turn.demo.test") {
		t.Errorf("export: %d %s", code, all)
	}
	for _, tt := range []struct {
		path, site, sure string
		code             int
		want             string
	}{
		{"/boxes/acme/nord/delete?lang=en", "same-origin", "nord", 200, "Nothing was deleted: please type acme/nord."},
		{"/boxes/acme/nord/delete?lang=en", "cross-site", "acme/nord", 403, ""},
		{"/boxes/acme/none/delete?lang=en", "same-origin", "acme/none", 404, ""},
	} {
		code, page := b.post(tt.path, tt.site, url.Values{"sure": {tt.sure}})
		if code != tt.code {
			t.Errorf("%+v: %d", tt, code)
		}
		contains(t, page, tt.want)
	}
	if code, _ := b.get("/boxes/acme/nord"); code != 200 {
		t.Fatal("the box is gone without its name typed")
	}
	b.post("/boxes/acme/nord/delete", "same-origin", url.Values{"sure": {"acme/nord"}})
	if code, _ := b.get("/boxes/acme/nord/export"); code != http.StatusNotFound {
		t.Errorf("a deleted box: %d", code)
	}
}

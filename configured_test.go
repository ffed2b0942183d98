package strata_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/graphdriver"
)

// Every setting of a file that says how a store is opened reaches the options.
func TestConfiguredOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "storage.conf")
	text := `[storage]
driver = "overlay"
graphroot = "/g"
runroot = "/r"
imagestore = "/i"
driver_priority = ["overlay", "vfs"]
transient_store = true
[storage.options]
disable-volatile = true
additionalimagestores = ["/a"]
root-auto-userns-user = "u"
auto-userns-max-size = 5000
[storage.options.overlay]
mountopt = "nodev"
[storage.options.strata]
sync = "none"
max_entries = "7"
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadFile(config.Env{Getenv: func(string) (string, bool) { return "", false }}, path)
	if err != nil {
		t.Fatal(err)
	}
	got := strata.ConfiguredOptions(cfg)
	want := strata.Options{
		GraphRoot: "/g", RunRoot: "/r", ImageStore: "/i", Driver: "overlay", DriverPriority: []string{"overlay", "vfs"},
		DriverOptions: got.DriverOptions, Transient: true, DisableVolatile: true, Sync: graphdriver.SyncNone,
		Rootless: got.Rootless, Limits: archive.Limits{MaxEntries: 7},
		AutoUserns: strata.AutoUserns{User: "u", MinSize: 1024, MaxSize: 5000},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(got.DriverOptions) != 2 {
		t.Errorf("driver options %q", got.DriverOptions)
	}
}

package ontop

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/mountapi"
)

var longAgo = time.Now().Add(-time.Hour)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// setup makes a driver and a base with the file "file" that says "base".
func setup(t *testing.T) (d *Driver, base string) {
	t.Helper()
	base = filepath.Join(t.TempDir(), "base,with:odd\\name")
	must(t, os.Mkdir(base, 0o755), os.WriteFile(base+"/file", []byte("base"), 0o644), os.Mkdir(base+"/dir", 0o755),
		os.WriteFile(base+"/dir/inner", []byte("base"), 0o644))
	must(t, os.Chown(base, 12, 34), os.Chmod(base, os.ModeSticky|0o777))
	return open(t, filepath.Join(t.TempDir(), "state")), base
}

func open(t *testing.T, root string) *Driver {
	t.Helper()
	d, err := New(t.Context(), Options{Root: root})
	must(t, err)
	t.Cleanup(func() {
		points, _ := filepath.Glob(filepath.Join(d.opts.Root, "*", mountDir))
		for _, point := range points {
			for range 3 {
				_ = mountapi.Detach(point)
			}
		}
		must(t, d.Close())
	})
	return d
}

func mount(t *testing.T, d *Driver, id string) string {
	t.Helper()
	path, err := d.Mount(t.Context(), "v", id)
	must(t, err)
	if !isOverlay(path) {
		t.Fatalf("%s is no overlay", path)
	}
	return path
}

func unmount(t *testing.T, d *Driver, id string) {
	t.Helper()
	must(t, d.Unmount(t.Context(), "v", id))
}

func (d *Driver) mounted() bool { return isOverlay(d.place("v").path(mountDir)) }

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		return "<" + err.Error()[strings.LastIndex(err.Error(), ":")+2:] + ">"
	}
	return string(data)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

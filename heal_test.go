package strata_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
)

// TestHealBesideAnImageStore: layers that are older than the image store are healed where
// they are, be the image store on another disk.
func TestHealBesideAnImageStore(t *testing.T) {
	for _, driver := range []string{"vfs", "overlay"} {
		t.Run(driver, func(t *testing.T) {
			before := storetest.New(t, driver)
			opts := before.Options
			opts.ImageStore = t.TempDir()
			must(t, unix.Mount("tmpfs", opts.ImageStore, "tmpfs", 0, ""))
			t.Cleanup(func() { must(t, unix.Unmount(opts.ImageStore, unix.MNT_DETACH)) })
			data := testTar("x")
			l, err := before.ImportLayer(t.Context(), strata.LayerOptions{Image: true, DeriveID: true}, bytes.NewReader(data))
			must(t, err)
			files := map[string]string{"vfs": "dir/" + string(l.ID), "overlay": string(l.ID) + "/diff"}[driver]
			tree := filepath.Join(before.GraphRoot(), driver, files)
			must(t, os.WriteFile(filepath.Join(tree, "more"), nil, 0o600))
			s := storetest.Open(t, opts)
			must(t, s.HealLayer(t.Context(), l.ID, bytes.NewReader(data)))
			if _, err := os.Stat(filepath.Join(tree, "more")); !os.IsNotExist(err) {
				t.Errorf("a file too many: %v", err)
			}
		})
	}
}

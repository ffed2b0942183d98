package strata_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/layer"
)

// TestGCKeepsSplitsOfImageStores opens a store with and without its image store: the
// tar-splits in the graph root are not orphans because their records are elsewhere.
func TestGCKeepsSplitsOfImageStores(t *testing.T) {
	images := t.TempDir()
	with := storetest.New(t, "vfs", func(o *strata.Options) { o.ImageStore = images })
	data := testTar("x")
	l, err := with.ImportLayer(t.Context(), strata.LayerOptions{Image: true, DeriveID: true}, bytes.NewReader(data))
	must(t, err)
	split := filepath.Join(with.GraphRoot(), "vfs-layers", string(l.ID)+".tar-split.gz")
	opts := with.Options
	opts.ImageStore = ""
	without := storetest.Open(t, opts)
	without.Tolerate()
	must(t, errOf(without.GC(t.Context(), strata.GCOptions{})))
	must(t, errOf(os.Stat(split)))

	// Nor when the image store is on a disk that is not mounted.
	away := images + ".away"
	must(t, os.Rename(images, away))
	must(t, errOf(without.GC(t.Context(), strata.GCOptions{})))
	must(t, errOf(os.Stat(split)))
	must(t, os.Rename(away, images))

	must(t, with.DeleteLayer(t.Context(), string(l.ID)))
	if _, err := os.Stat(split); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("deleted with its layer: %v", err)
	}
	if _, err := with.Layer(t.Context(), string(l.ID)); !errors.Is(err, layer.ErrUnknown) {
		t.Error(err)
	}
}

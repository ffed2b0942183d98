package strata_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/layer"
)

// To the other engines registered and read-write layers are layers like any other.
// What they rewrite keeps its marks, and what they build on is not removed.
func TestStorageCommandOnRegisteredLayers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		e := engines(t, s, "containers-storage")
		ctx := t.Context()
		chains := s.Substores().Chains
		a := registered(t, s, "", "a")
		b := registered(t, s, a.ChainID(), "b")
		m, err := chains.CreateRWLayer(ctx, "m", b.ChainID(), layer.RWOptions{})
		must(t, err)

		for _, id := range []layer.ID{a.CacheID(), b.CacheID(), m.MountID()} {
			if !slices.Contains(e.list("layers"), string(id)) {
				t.Errorf("layer %s is not listed", id)
			}
		}
		e.storage("add-names", "-n", "theirs", string(b.CacheID())) // rewrites all records
		dir := e.storage("mount", string(m.MountID()))
		must(t, os.WriteFile(filepath.Join(dir, "written"), []byte("12345"), 0o600))
		if _, err := chains.ReleaseRWLayer(ctx, m); !errors.Is(err, layer.ErrMounted) {
			t.Errorf("release while the other engine has it mounted: %v", err)
		}
		e.storage("unmount", string(m.MountID()))
		if size, err := m.Size(ctx); err != nil || size != 5 {
			t.Errorf("size %d, %v", size, err)
		}

		e.storage("create-image", "--id", strayID, "-n", "img", string(b.CacheID()))
		released(t, s, a)
		released(t, s, b)
		if gone, err := chains.ReleaseRWLayer(ctx, m); err != nil || len(gone) != 0 {
			t.Errorf("removed below the other engine's image: %v, %v", gone, err)
		}
		held, err := chains.Get(ctx, b.ChainID())
		must(t, err)
		e.storage("delete-image", strayID)
		released(t, s, held) // it went with the image: they know no leases
		report, err := s.GC(ctx, strata.GCOptions{})
		must(t, err)
		if left := layerIDs(t, s); len(left) != 0 {
			t.Errorf("layers %v, collected %v", left, report.Removed)
		}
	})
}

package strata_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
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

// TestOwnStoreAsAdditional: a store that is to read itself as an additional store would wait
// for its own locks, so it is refused, under whatever path.
func TestOwnStoreAsAdditional(t *testing.T) {
	images := t.TempDir()
	s := storetest.New(t, "vfs", func(o *strata.Options) { o.ImageStore = images })
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(s.GraphRoot(), link))
	for name, change := range map[string]func(*strata.Options){
		"graph root":               func(o *strata.Options) { o.AdditionalImageStores = []string{s.GraphRoot()} },
		"graph root as an option":  func(o *strata.Options) { o.DriverOptions = []string{"vfs.imagestore=" + s.GraphRoot() + "/"} },
		"graph root behind a link": func(o *strata.Options) { o.AdditionalImageStores = []string{link} },
		"image store":              func(o *strata.Options) { o.AdditionalImageStores = []string{images} },
	} {
		t.Run(name, func(t *testing.T) {
			opts := s.Options
			change(&opts)
			other, err := strata.Open(t.Context(), opts)
			if err == nil {
				must(t, other.Close(t.Context()))
			}
			if !errors.Is(err, errdefs.ErrInvalid) || errdefs.Hint(err) == "" {
				t.Errorf("error %v, want ErrInvalid with a hint", err)
			}
		})
	}
	must(t, errOf(s.CreateLayer(t.Context(), strata.LayerOptions{})))
}

// TestImageStoreIsTheGraphRoot: not under another path either.
func TestImageStoreIsTheGraphRoot(t *testing.T) {
	testutil.RequireRoot(t)
	s := storetest.New(t, "vfs")
	bound := t.TempDir()
	must(t, unix.Mount(s.GraphRoot(), bound, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(bound, unix.MNT_DETACH)) })
	opts := s.Options
	opts.ImageStore = bound
	if _, err := strata.Open(t.Context(), opts); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
}

package dockerroot_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/dockerroot"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// mountedTree is what a container of the image sees, without its root.
func mountedTree(t *testing.T, s *storetest.Store, id string) []string {
	t.Helper()
	img, err := s.Image(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.Driver().Get(t.Context(), graphdriver.ID(img.TopLayer), graphdriver.MountOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	lines := testutil.Tree(t, dir, testutil.IgnoreRoot, testutil.CoarseMtime)
	if err := s.Driver().Put(t.Context(), graphdriver.ID(img.TopLayer)); err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestRehash: an image that lost what its tars are put together with is taken as its files are,
// under a new ID and the old names.
func TestRehash(t *testing.T) {
	for _, driver := range []string{"overlay2", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			whole := newMade(t, driver)
			id, _ := whole.build("app:1", baseTar(t), topTar(t))
			reference := newStore(t, "overlay")
			r := whole.open(dockerroot.Options{})
			if results := importAll(t, r, reference, r.Images(false)); results[0].Err != nil {
				t.Fatal(results[0].Err)
			}
			want := mountedTree(t, reference, id.Encoded())
			for _, tt := range []struct {
				name  string
				spoil func(m *madeRoot, base, top layer.ChainID) error
				lost  int
				same  bool
			}{
				{"nothing", func(*madeRoot, layer.ChainID, layer.ChainID) error { return nil }, 0, true},
				{"the top's tar-split", func(m *madeRoot, _, top layer.ChainID) error { return os.Remove(m.split(top)) }, 1, true},
				{"the base's tar-split is cut", func(m *madeRoot, base, _ layer.ChainID) error { return os.Truncate(m.split(base), 30) }, 1, true},
				{"both", func(m *madeRoot, base, top layer.ChainID) error {
					return errors.Join(os.Remove(m.split(base)), os.Remove(m.split(top)))
				}, 2, true},
				{"a file has changed", func(m *madeRoot, _, top layer.ChainID) error {
					return os.WriteFile(filepath.Join(m.files(top), "data/new"), []byte("other\n"), 0o644)
				}, 1, false},
			} {
				t.Run(tt.name, func(t *testing.T) {
					m := newMade(t, driver)
					id, top := m.build("app:1", baseTar(t), topTar(t))
					base := layer.ChainID("").Child(layer.DiffID(testutil.Digest(baseTar(t))))
					m.ok(tt.spoil(m, base, top))
					before := testutil.Tree(t, m.dir)
					s, r := newStore(t, "overlay"), m.open(dockerroot.Options{})
					if tt.lost > 0 {
						if results := importAll(t, r, s, r.Images(false)); !errors.Is(results[0].Err, errdefs.ErrCorrupt) {
							t.Errorf("without rehash: %v", results[0].Err)
						}
					}
					results, err := r.Import(t.Context(), s, r.Images(false), dockerroot.ImportOptions{Rehash: true})
					if err != nil || results[0].Err != nil || len(results[0].Rehashed) != tt.lost {
						t.Fatalf("%+v, %v", results, err)
					}
					got := string(results[0].Loaded.ID)
					if (got == id.Encoded()) != (tt.lost == 0) || !cmp.Equal(results[0].Loaded.Names, []string{"docker.io/library/app:1"}) {
						t.Errorf("ID %s, names %q", got, results[0].Loaded.Names)
					}
					if diff := cmp.Diff(want, mountedTree(t, s, got)); (diff == "") != tt.same {
						t.Errorf("tree:\n%s", diff)
					}
					if diff := cmp.Diff(before, testutil.Tree(t, m.dir)); diff != "" {
						t.Errorf("the data root was changed:\n%s", diff)
					}
					wantConfig(t, s, m, id.Encoded(), got)
				})
			}
		})
	}
}

// wantConfig: a new configuration is the old one but for the layers.
func wantConfig(t *testing.T, s *storetest.Store, m *madeRoot, before, now string) {
	t.Helper()
	config, err := s.BigData(t.Context(), strata.KindImage, now, "sha256:"+now)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(m.image("imagedb/content/sha256/" + before))
	if err != nil {
		t.Fatal(err)
	}
	var documents [2]map[string]any
	for i, text := range [][]byte{old, config} {
		if err := json.Unmarshal(text, &documents[i]); err != nil {
			t.Fatal(err)
		}
		delete(documents[i], "rootfs")
	}
	if diff := cmp.Diff(documents[0], documents[1]); diff != "" || bytes.Equal(old, config) != (before == now) {
		t.Errorf("configuration: %s", diff)
	}
}

// TestNoRehash: where files do not say what was in a tar, there is none.
func TestNoRehash(t *testing.T) {
	lost := func(m *madeRoot, dir string, opts dockerroot.Options) error {
		r, err := dockerroot.Open(dir, opts)
		m.ok(err)
		defer func() { m.ok(r.Close()) }()
		results, err := r.Import(m.t.Context(), newStore(m.t, "overlay"), r.Images(false), dockerroot.ImportOptions{Rehash: true})
		m.ok(err)
		return results[0].Err
	}
	t.Run("fuse-overlayfs", func(t *testing.T) {
		m := newMade(t, "fuse-overlayfs")
		_, top := m.build("app:1", baseTar(t))
		m.ok(os.Remove(m.split(top)))
		if err := lost(m, m.dir, dockerroot.Options{}); !errors.Is(err, errdefs.ErrUnsupported) {
			t.Error(err)
		}
	})
	t.Run("remapped users", func(t *testing.T) {
		dir := t.TempDir()
		m := newMadeIn(t, filepath.Join(dir, "1000.1000"), "overlay2")
		_, top := m.build("app:1", baseTar(t))
		m.ok(os.Remove(m.split(top)))
		for _, root := range []string{dir, m.dir} {
			if err := lost(m, root, dockerroot.Options{}); !errors.Is(err, errdefs.ErrUnsupported) || !strings.Contains(err.Error(), "remapped") {
				t.Error(err)
			}
		}
	})
	t.Run("no folder", func(t *testing.T) {
		m := newMade(t, "overlay2")
		_, top := m.build("app:1", baseTar(t))
		m.ok(os.RemoveAll(m.files(top)))
		if err := lost(m, m.dir, dockerroot.Options{}); !errors.Is(err, errdefs.ErrCorrupt) {
			t.Error(err)
		}
	})
}

package oci_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/oci"
)

// filesOf is where the driver keeps a layer's files.
func filesOf(s *storetest.Store, id layer.ID) string {
	if s.DriverName() == "vfs" {
		return filepath.Join(s.GraphRoot(), "vfs/dir", string(id))
	}
	return filepath.Join(s.GraphRoot(), "overlay", string(id), "diff")
}

func TestLoadAgainHeals(t *testing.T) {
	type target struct {
		s         *storetest.Store
		img       image.Image
		base, top layer.ID
	}
	tests := []struct {
		name   string
		damage func(x target) error
		healed int
	}{
		{"nothing", func(target) error { return nil }, 0},
		{"a changed byte", func(x target) error {
			return os.WriteFile(filepath.Join(filesOf(x.s, x.base), "bin/a"), []byte("Program"), 0o755)
		}, 1},
		{"a missing file", func(x target) error { return os.Remove(filepath.Join(filesOf(x.s, x.top), "etc/new")) }, 1},
		{"no files at all", func(x target) error { return os.RemoveAll(filesOf(x.s, x.base)) }, 1},
		{"no tar-split", func(x target) error {
			return os.Remove(filepath.Join(x.s.GraphRoot(), x.s.DriverName()+"-layers", string(x.top)+".tar-split.gz"))
		}, 1},
		{"no digest in the record", func(x target) error {
			path := filepath.Join(x.s.GraphRoot(), x.s.DriverName()+"-layers", "layers.json")
			data, err := os.ReadFile(path)
			data = regexp.MustCompile(`"diff-digest":"[^"]*",?`).ReplaceAll(data, nil)
			return errors.Join(err, os.WriteFile(path, data, 0o600))
		}, 2},
		{"both layers", func(x target) error {
			return errors.Join(os.Remove(filepath.Join(filesOf(x.s, x.base), "bin/a")), os.Remove(filepath.Join(filesOf(x.s, x.top), "etc/new")))
		}, 2},
		{"a data item", func(x target) error {
			return os.WriteFile(filepath.Join(x.s.Substores().Images.DataDir(x.img), "manifest"), []byte("{}"), 0o600)
		}, 0},
	}
	base, top := twoLayers(t)
	layout := newBuilder(t)
	layout.name(layout.image(amd64, base, top), "example.org/app:1")
	path := pack(t, layout.files(), nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				first, err := load(t, s, path, oci.LoadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				img, err := s.Image(t.Context(), string(first[0].ID))
				if err != nil {
					t.Fatal(err)
				}
				l, err := s.Layer(t.Context(), string(img.TopLayer))
				if err != nil {
					t.Fatal(err)
				}
				if err := test.damage(target{s, img, l.Parent, l.ID}); err != nil {
					t.Fatal(err)
				}
				again, err := load(t, s, path, oci.LoadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got := again[0]; !got.Existed || got.HealedLayers != test.healed || got.ReusedLayers != 2 || got.NewLayers != 0 {
					t.Errorf("loaded again: %+v, want %d healed", got, test.healed)
				}
				report, err := s.Store.Check(t.Context(), strata.CheckOptions{})
				if err != nil || len(report.Findings) > 0 {
					t.Errorf("afterwards: %v, %v", report.Findings, err)
				}
				if got := s.Tars(t, "example.org/app:1"); !slices.EqualFunc(got, [][]byte{base, top}, slices.Equal[[]byte]) {
					t.Error("the diffs are not what was loaded")
				}
			})
		})
	}
}

// What is mounted is not pulled away under its users.
func TestLoadAgainWhileMounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		base, top := twoLayers(t)
		path := pack(t, dockerFiles(t, []string{"localhost/app:1"}, base, top), nil)
		if _, err := load(t, s, path, oci.LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateContainer(t.Context(), strata.ContainerOptions{Image: "localhost/app:1", Names: []string{"c"}}); err != nil {
			t.Fatal(err)
		}
		img, err := s.Image(t.Context(), "localhost/app:1")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(filesOf(s, img.TopLayer), "etc/new")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Mount(t.Context(), "c", strata.MountOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err = load(t, s, path, oci.LoadOptions{})
		if !errors.Is(err, layer.ErrMounted) || errdefs.Hint(err) == "" {
			t.Errorf("while mounted: %v, hint %q", err, errdefs.Hint(err))
		}
		if _, err := s.Unmount(t.Context(), "c", strata.UnmountOptions{}); err != nil {
			t.Fatal(err)
		}
		if again, err := load(t, s, path, oci.LoadOptions{}); err != nil || again[0].HealedLayers != 1 {
			t.Errorf("afterwards: %+v, %v", again, err)
		}
	})
}

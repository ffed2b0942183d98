package oci_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/oci"
)

func TestImportAndCommit(t *testing.T) {
	for _, driver := range storetest.Drivers() {
		t.Run(driver, func(t *testing.T) {
			s := storetest.New(t, driver)
			base, _ := twoLayers(t)
			in, err := oci.Import(t.Context(), s, bytes.NewReader(gzipped(t, base)), oci.ImportOptions{Names: []string{"localhost/base:1"}})
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.CreateContainer(t.Context(), strata.ContainerOptions{Image: string(in.ID), Names: []string{"c"}})
			if err != nil {
				t.Fatal(err)
			}
			dir, err := s.Mount(t.Context(), string(c.ID), strata.MountOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "etc/new"), []byte("new"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, "etc/gone")); err != nil {
				t.Fatal(err)
			}
			want := testutil.Tree(t, dir, testutil.IgnoreRoot, testutil.CoarseMtime) // computed diffs have whole seconds
			out, err := oci.Commit(t.Context(), s, "c", oci.CommitOptions{Names: []string{"localhost/app:1"}, Author: "me", Message: "why"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Unmount(t.Context(), string(c.ID), strata.UnmountOptions{}); err != nil {
				t.Fatal(err)
			}
			mounted, err := s.MountImage(t.Context(), string(out.ID), strata.MountOptions{ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, testutil.Tree(t, mounted, testutil.IgnoreRoot, testutil.CoarseMtime)); diff != "" {
				t.Errorf("the committed image's tree (-container +image):\n%s", diff)
			}
			if _, err := s.Unmount(t.Context(), string(out.ID), strata.UnmountOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := s.Tars(t, "localhost/app:1"); len(got) != 2 || !bytes.Equal(got[0], base) {
				t.Error("the base layer is not what was imported")
			}
		})
	}
}

// TestDerivedIDs: an image that was built here and the same one loaded elsewhere have the same layers.
func TestDerivedIDs(t *testing.T) {
	base, _ := twoLayers(t)
	s := storetest.New(t, "vfs")
	in, err := oci.Import(t.Context(), s, bytes.NewReader(base), oci.ImportOptions{Names: []string{"localhost/base:1"}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "saved")
	if err := oci.SaveFile(t.Context(), s, path, []oci.Selected{{Image: string(in.ID)}}, oci.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	other := storetest.New(t, "vfs")
	if _, err := load(t, other, path, oci.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	a, err1 := s.Image(t.Context(), string(in.ID))
	b, err2 := other.Image(t.Context(), string(in.ID))
	if err1 != nil || err2 != nil || a.TopLayer != b.TopLayer {
		t.Errorf("top layers %q and %q (%v, %v)", a.TopLayer, b.TopLayer, err1, err2)
	}
	again, err := oci.Import(t.Context(), s, bytes.NewReader(base), oci.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Image(t.Context(), string(again.ID)); err != nil || c.TopLayer != a.TopLayer {
		t.Errorf("imported again: top layer %q, %v; want %q", c.TopLayer, err, a.TopLayer)
	}
}

package overlay

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// entryNames reads a tar.
func entryNames(t *testing.T, r io.Reader) (names []string) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		must(t, err)
		names = append(names, hdr.Name)
	}
}

// TestCompareLiveLayer: two layers that are not parent and child, one of them mounted and
// changed, and unmounted while its diff is read.
func TestCompareLiveLayer(t *testing.T) {
	dir := root(t)
	d := openAt(t, dir)
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"}, testutil.Entry{Name: "gone", Body: "x"})
	layer(t, d, "image", "base", testutil.Entry{Name: "g", Body: "2"})
	must(t, d.Create(t.Context(), "container", "image", graphdriver.CreateOptions{}))
	path, err := d.Get(t.Context(), "container", graphdriver.MountOptions{})
	must(t, err)
	write(t, filepath.Join(path, "new"), "3")
	must(t, os.Remove(filepath.Join(path, "gone")))
	before := mountsBelow(t, dir)
	same(t, "changes", changes(t, d, "container", "base"), []string{`Add "/g"`, `Delete "/gone"`, `Add "/new"`})
	r, err := d.Diff(t.Context(), "container", "", graphdriver.DiffOptions{})
	must(t, err)
	same(t, "mounts while a diff is read", mountsBelow(t, dir), before)
	must(t, d.Put(t.Context(), "container"))
	same(t, "layer is mounted", mountpoint(t, path), false)
	same(t, "entries", entryNames(t, r), []string{"f", "g", "new"})
	must(t, r.Close())
	same(t, "changes of the unmounted layer", changes(t, d, "container", "base"), []string{`Add "/g"`, `Delete "/gone"`, `Add "/new"`})
	mounts, err := d.DiffMounts(t.Context(), "container", "base")
	must(t, err)
	same(t, "DiffMounts", mounts, false)
}

// TestDiffAndDeletion: a layer that is deleted while its diff is read can not be deleted twice,
// and the reader ends.
func TestDiffAndDeletion(t *testing.T) {
	d := openAt(t, root(t))
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	layer(t, d, "child", "base", testutil.Entry{Name: "g", Body: "2"})
	r, err := d.Diff(t.Context(), "child", "", graphdriver.DiffOptions{})
	must(t, err)
	remove, err := d.Trash(t.Context(), "child")
	must(t, err)
	must(t, remove())
	_, err = io.Copy(io.Discard, r)
	t.Logf("rest of the diff: %v", err) // whole or an error, but an end
	must(t, r.Close())
	if _, err := os.Stat(d.homes[0].layer("child").dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("deleted layer: %v", err)
	}
}

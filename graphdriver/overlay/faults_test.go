package overlay

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/testutil"
)

// TestFaults fails every step of making, mounting and deleting a layer: what was there before
// is there afterwards, and doing it again works.
func TestFaults(t *testing.T) {
	create := func(t *testing.T, d *driver) error {
		return d.Create(t.Context(), "new", "child", graphdriver.CreateOptions{})
	}
	adopt := func(t *testing.T, d *driver) error {
		st, err := d.Stage(t.Context(), "child", graphdriver.CreateOptions{})
		if err != nil {
			return err
		}
		err = st.Adopt(t.Context(), "new")
		return errors.Join(err, st.Discard())
	}
	get := func(t *testing.T, d *driver) error {
		_, err := d.Get(t.Context(), "child", graphdriver.MountOptions{})
		if err == nil {
			err = d.Put(t.Context(), "child")
		}
		return err
	}
	remove := func(t *testing.T, d *driver) error { return d.Remove(t.Context(), "top") }
	tests := []struct {
		name, point string
		skip        int
		do          func(t *testing.T, d *driver) error
	}{
		{"write link", "overlay.note", 0, create},
		{"write list", "overlay.note", 1, create},
		{"sync layer", "atomicfile.syncdir", 0, create},
		{"sync links", "atomicfile.syncdir", 1, create},
		{"sync home", "atomicfile.syncdir", 2, create},
		{"write link of stage", "overlay.note", 0, adopt},
		{"rename", "overlay.rename", 0, adopt},
		{"sync after rename", "atomicfile.syncdir", 0, adopt},
		{"sync home after rename", "atomicfile.syncdir", 1, adopt},
		{"mount", "overlay.mount", 0, get},
		{"trash", "overlay.trash", 0, remove},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := root(t)
			d := openAt(t, dir)
			layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
			layer(t, d, "child", "base", testutil.Entry{Name: "g", Body: "2"})
			must(t, d.Create(t.Context(), "top", "child", graphdriver.CreateOptions{}))
			before := testutil.Tree(t, d.homes[0].path, testutil.IgnoreMtime)
			links := len(shapeNames(t, d.homes[0].linkDir()))
			off := faults.Enable(faults.Rule{Point: tt.point, Under: dir, Skip: tt.skip, Times: 1, Err: unix.ENOSPC})
			err := tt.do(t, d)
			off()
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("error %v, want ENOSPC", err)
			}
			if tt.name != "trash" { // there the link goes first
				same(t, "left behind", testutil.Tree(t, d.homes[0].path, testutil.IgnoreMtime), before)
				same(t, "links", len(shapeNames(t, d.homes[0].linkDir())), links)
			}
			same(t, "files in top", len(tree(t, d, "top")), 2)
			must(t, tt.do(t, d))
			if tt.name != "trash" {
				same(t, "files in top", len(tree(t, d, "top")), 2)
			}
		})
	}
}

// TestFullDisk: a layer can be deleted when there is no room for a directory.
func TestFullDisk(t *testing.T) {
	dir := root(t)
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,nr_inodes=100"))
	t.Cleanup(func() { unmountBelow(t, dir) })
	d := openAt(t, dir)
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	var err error
	for n := 0; err == nil; n++ {
		err = unix.Mknod(d.homes[0].layer("base").diff()+"/"+string(newLinkID()), unix.S_IFREG|0o600, 0)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	must(t, d.Remove(t.Context(), "base"))
	if ok, err := d.Exists(t.Context(), "base"); ok || err != nil {
		t.Errorf("removed layer exists: %v, %v", ok, err)
	}
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
}

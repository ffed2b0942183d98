package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume"
)

func TestCloneRenameAndFill(t *testing.T) {
	ctx := t.Context()
	root, source := t.TempDir(), t.TempDir()
	d, err := New(ctx, Options{Root: root, UID: os.Getuid(), GID: os.Getgid()})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(source, "file"), []byte("text"), 0o640))
	must(t, os.Mkdir(filepath.Join(source, "dir"), 0o711))
	made, err := d.CreateFrom(ctx, "filled", nil, source)
	must(t, err)
	want := testutil.Tree(t, source)
	same := func(name string) {
		t.Helper()
		info, err := d.Get(ctx, name)
		must(t, err)
		if diff := cmp.Diff(want, testutil.Tree(t, info.Mountpoint)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	same(made.Name)
	_, err = d.Clone(ctx, "filled", "cloned")
	must(t, err, d.Rename(ctx, "filled", "renamed"))
	same("cloned")
	same("renamed")
	for _, err := range []error{
		d.Rename(ctx, "renamed", "cloned"),
		second(d.Clone(ctx, "renamed", "cloned")),
		second(d.CreateFrom(ctx, "cloned", nil, source)),
	} {
		if !errors.Is(err, volume.ErrExists) {
			t.Errorf("a name that is taken: %v", err)
		}
	}
	if _, err := d.CreateFrom(ctx, "mount", map[string]string{"type": "tmpfs", "device": "tmpfs"}, source); !errors.Is(err, ErrOption) {
		t.Errorf("a filled mount: %v", err)
	}
	if err := d.Rename(ctx, "filled", "again"); !errors.Is(err, volume.ErrNoSuchVolume) {
		t.Error(err)
	}
	for _, bad := range []string{"x", "metadata.db", "../up"} {
		if err := d.Rename(ctx, "cloned", bad); !errors.Is(err, volume.ErrInvalidName) {
			t.Errorf("%s: %v", bad, err)
		}
		if _, err := d.Clone(ctx, "cloned", bad); !errors.Is(err, volume.ErrInvalidName) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := d.CreateFrom(ctx, "none", nil, filepath.Join(source, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	d, err = New(ctx, Options{Root: root})
	must(t, err)
	same("cloned")
	same("renamed")
	if left, _ := os.ReadDir(root); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

func second(_ volume.Info, err error) error { return err }

func TestCopiesOfMounts(t *testing.T) {
	testutil.RequireRoot(t)
	ctx := t.Context()
	d, err := New(ctx, Options{Root: t.TempDir()})
	must(t, err)
	_, err = d.Create(ctx, "mem", map[string]string{"type": "tmpfs", "device": "tmpfs"})
	must(t, err)
	path, err := d.Mount(ctx, "mem", "A")
	must(t, err, os.WriteFile(filepath.Join(path, "file"), nil, 0o600))
	if _, err := d.Clone(ctx, "mem", "copy"); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("clone in use: %v", err)
	}
	if err := d.Rename(ctx, "mem", "moved"); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("rename in use: %v", err)
	}
	must(t, d.Unmount(ctx, "mem", "A"), d.Rename(ctx, "mem", "moved"))
	_, err = d.Clone(ctx, "moved", "copy")
	must(t, err)
	for _, name := range []string{"moved", "copy"} {
		path, err := d.Mount(ctx, name, "A")
		must(t, err)
		if left, _ := os.ReadDir(path); len(left) != 0 {
			t.Errorf("%s has %v", name, left)
		}
		must(t, d.Unmount(ctx, name, "A"))
	}
}

package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill makes a layer with one file.
func fill(t testing.TB, d graphdriver.Driver, id, parent graphdriver.ID, opts graphdriver.CreateOptions) {
	t.Helper()
	must(t, d.Create(t.Context(), id, parent, opts))
	diff := testutil.Tar(t, testutil.Entry{Name: string(id), Body: string(id)})
	_, err := d.ApplyDiff(t.Context(), id, parent, bytes.NewReader(diff), graphdriver.ApplyOptions{})
	must(t, err)
}

// TestOnDisk: on-disk format, 1.2.
func TestOnDisk(t *testing.T) {
	testutil.RequireRoot(t)
	root := filepath.Join(t.TempDir(), "graph")
	d := open(t, root)
	fill(t, d, "base", "", graphdriver.CreateOptions{})
	fill(t, d, "child", "base", graphdriver.CreateOptions{})
	for path, want := range map[string]string{
		"vfs":                "drwx------",
		"vfs/dir":            "drwx------",
		"vfs/tempdirs":       "drwx------",
		"vfs/dir/base":       "dr-xr-xr-x",
		"vfs/dir/base/base":  "-rw-r--r--",
		"vfs/dir/child":      "dr-xr-xr-x",
		"vfs/dir/child/base": "-rw-r--r--",
	} {
		fi, err := os.Lstat(filepath.Join(root, path))
		must(t, err)
		if fi.Mode().String() != want {
			t.Errorf("%s is %v, want %s", path, fi.Mode(), want)
		}
	}
	if dir, err := d.Get(t.Context(), "child", graphdriver.MountOptions{}); err != nil || dir != filepath.Join(root, "vfs/dir/child") {
		t.Errorf("Get = %q, %v", dir, err)
	}
}

// TestHomes: layers of images go to the image store, and read-only stores are only read.
func TestHomes(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	extra := open(t, filepath.Join(dir, "extra"))
	fill(t, extra, "shared", "", graphdriver.CreateOptions{})
	root := filepath.Join(dir, "graph")
	d := open(t, root, func(c *graphdriver.Config) {
		c.ImageHome = filepath.Join(dir, "images/vfs")
		c.AdditionalHomes = []string{filepath.Join(dir, "missing/vfs"), filepath.Join(dir, "extra/vfs")}
	})
	before := testutil.Tree(t, filepath.Join(dir, "extra"))
	fill(t, d, "image", "shared", graphdriver.CreateOptions{Image: true})
	fill(t, d, "zcontainer", "image", graphdriver.CreateOptions{})
	for id, want := range map[graphdriver.ID]string{
		"shared": "extra/vfs/dir/shared", "image": "images/vfs/dir/image", "zcontainer": "graph/vfs/dir/zcontainer",
	} {
		if got, err := d.Get(t.Context(), id, graphdriver.MountOptions{}); err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s is at %s, %v; want %s", id, got, err, want)
		}
	}
	ids, err := d.(graphdriver.Lister).List(t.Context())
	if err != nil || fmt.Sprint(ids) != "[image zcontainer]" {
		t.Errorf("List = %v, %v", ids, err)
	}
	_, err = d.ApplyDiff(t.Context(), "shared", "", strings.NewReader(""), graphdriver.ApplyOptions{})
	for what, err := range map[string]error{"apply": err, "remove": d.Remove(t.Context(), "shared")} {
		if !errors.Is(err, errdefs.ErrReadOnly) {
			t.Errorf("%s in a read-only store: %v", what, err)
		}
	}
	must(t, d.Create(t.Context(), "shared", "", graphdriver.CreateOptions{})) // comes first from now on
	if got, err := d.Get(t.Context(), "shared", graphdriver.MountOptions{}); err != nil || got != filepath.Join(dir, "graph/vfs/dir/shared") {
		t.Errorf("shared is at %s, %v", got, err)
	}
	must(t, d.Remove(t.Context(), "shared"))
	must(t, d.Remove(t.Context(), "zcontainer"))
	must(t, d.Remove(t.Context(), "image"))
	if after := testutil.Tree(t, filepath.Join(dir, "extra")); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the read-only store changed:\n%q\n%q", before, after)
	}
}

func TestOptions(t *testing.T) {
	tests := []struct {
		key, value string
		ok         bool
	}{
		{"sync", "none", true}, {"sync", "filesystem", true}, {"sync", "sometimes", false},
		{"ignore_chown_errors", "true", true}, {"ignore_chown_errors", "maybe", false},
		{"mountopt", "nodev", false}, {"size", "10G", false},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			root := t.TempDir()
			_, err := newDriver(t, root, graphdriver.Option{Key: tt.key, Value: tt.value})
			if tt.ok && err != nil || !tt.ok && !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("error %v, want success: %v", err, tt.ok)
			}
			if entries, _ := os.ReadDir(root); !tt.ok && len(entries) != 0 {
				t.Errorf("a refused option left %v", entries)
			}
		})
	}
}

func TestMountOptions(t *testing.T) {
	testutil.RequireRoot(t)
	d := open(t, t.TempDir())
	must(t, d.Create(t.Context(), "base", "", graphdriver.CreateOptions{}))
	mapping := idmap.Mapping{UIDs: []idmap.Range{{HostID: 1000, Size: 10}}, GIDs: []idmap.Range{{HostID: 1000, Size: 10}}}
	for _, tt := range []struct {
		name string
		opts graphdriver.MountOptions
		ok   bool
	}{
		{"ro", graphdriver.MountOptions{Options: []string{"ro"}, ReadOnly: true, Volatile: true, MountLabel: "x"}, true},
		{"nodev", graphdriver.MountOptions{Options: []string{"ro", "nodev"}}, false},
		{"mapping", graphdriver.MountOptions{Mapping: mapping}, false},
	} {
		_, err := d.Get(t.Context(), "base", tt.opts)
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, errdefs.ErrUnsupported) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestFullDisk: making a layer on a full disk leaves nothing, and removing one works.
func TestFullDisk(t *testing.T) {
	testutil.RequireRoot(t)
	mnt := t.TempDir()
	if err := unix.Mount("tmpfs", mnt, "tmpfs", 0, "size=1m,nr_inodes=60"); err != nil {
		t.Skip("no tmpfs: ", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(mnt, unix.MNT_DETACH)) })
	root := filepath.Join(mnt, "graph")
	d := open(t, root)
	must(t, d.Create(t.Context(), "base", "", graphdriver.CreateOptions{}))
	big := testutil.Tar(t, testutil.Entry{Name: "big", Body: strings.Repeat("x", 600<<10)})
	_, err := d.ApplyDiff(t.Context(), "base", "", bytes.NewReader(big), graphdriver.ApplyOptions{})
	must(t, err)
	before := testutil.Tree(t, root, testutil.IgnoreMtime)
	if err := d.Create(t.Context(), "child", "base", graphdriver.CreateOptions{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("create: %v, want ENOSPC", err)
	}
	if after := testutil.Tree(t, root, testutil.IgnoreMtime); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("left behind:\n%q\n%q", before, after)
	}
	for n := 0; err == nil; n++ { // not even an inode is free
		err = os.WriteFile(filepath.Join(mnt, fmt.Sprint("filler", n)), nil, 0o600)
	}
	must(t, d.Remove(t.Context(), "base"))
	if ok, err := d.Exists(t.Context(), "base"); ok || err != nil {
		t.Errorf("still there: %v, %v", ok, err)
	}
}

// TestStageTakenAway: other engines' garbage collection may remove what is being staged
// (on-disk format, 9.21).
func TestStageTakenAway(t *testing.T) {
	testutil.RequireRoot(t)
	root := t.TempDir()
	d := open(t, root)
	st, err := d.(graphdriver.Stager).Stage(t.Context(), "", graphdriver.CreateOptions{})
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(root, "vfs/tempdirs")))
	if err := st.Adopt(t.Context(), "base"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "removed by another program") {
		t.Errorf("adopt: %v", err)
	}
	must(t, st.Discard())
	must(t, d.Create(t.Context(), "base", "", graphdriver.CreateOptions{})) // tempdirs is made again
}

// TestLeftoversDoNotStopOpening: what can not be removed is for a person to look at.
func TestLeftoversDoNotStopOpening(t *testing.T) {
	testutil.RequireRoot(t)
	root := t.TempDir()
	busy := filepath.Join(root, "vfs/tempdirs/temp-dir-1/busy")
	must(t, os.MkdirAll(busy, 0o700))
	if err := unix.Mount("tmpfs", busy, "tmpfs", 0, ""); err != nil {
		t.Skip("no tmpfs: ", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(busy, unix.MNT_DETACH)) })
	var log bytes.Buffer
	open(t, root, func(c *graphdriver.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if !strings.Contains(log.String(), "temp-dir-1") {
		t.Errorf("log: %q", log.String())
	}
}

package overlay

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

// TestHomeIsMountedOnce: however many processes open the driver, there is one private mount.
func TestHomeIsMountedOnce(t *testing.T) {
	dir := root(t)
	var drivers []*driver
	for range 5 {
		d, err := open(t.Context(), config(dir), mountapi.Auto)
		must(t, err)
		drivers = append(drivers, d)
	}
	home := filepath.Join(dir, Name)
	same(t, "mounts", mountsBelow(t, dir), []string{home})
	for _, d := range drivers {
		must(t, d.Cleanup(t.Context()))
	}
	same(t, "mounts after clean-up", mountsBelow(t, dir), []string{})
	must(t, drivers[0].Create(t.Context(), "base", "", graphdriver.CreateOptions{}))
	mounted(t, drivers[0], "base", graphdriver.MountOptions{}, func(path string) {
		same(t, "mounts when used after all", mountsBelow(t, dir), []string{path, home})
	})
	must(t, drivers[0].Cleanup(t.Context()))
}

// TestHomeStaysWhileInUse: other processes' layers and stages keep the private mount.
func TestHomeStaysWhileInUse(t *testing.T) {
	dir := root(t)
	d := openAt(t, dir)
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	other := openAt(t, dir)
	path, err := other.Get(t.Context(), "base", graphdriver.MountOptions{})
	must(t, err)
	must(t, d.Cleanup(t.Context()))
	same(t, "content after another process's clean-up", read(t, filepath.Join(path, "f")), "1")
	must(t, other.Put(t.Context(), "base"))
	st, err := other.Stage(t.Context(), "base", graphdriver.CreateOptions{})
	must(t, err)
	must(t, d.Cleanup(t.Context()))
	same(t, "home is mounted while a layer is staged", mountpoint(t, d.homes[0].path), true)
	must(t, st.Adopt(t.Context(), "top"))
	must(t, st.Discard())
	must(t, d.Cleanup(t.Context()))
	same(t, "home is mounted", mountpoint(t, d.homes[0].path), false)
}

// TestLinkedHome: a home that is a link to a directory elsewhere works, and nothing is mounted on
// the link itself.
func TestLinkedHome(t *testing.T) {
	dir := root(t)
	elsewhere := filepath.Join(dir, "elsewhere")
	must(t, os.Mkdir(elsewhere, 0o755))
	must(t, os.Symlink(elsewhere, filepath.Join(dir, Name)))
	d := openAt(t, dir)
	same(t, "mounts", mountsBelow(t, dir), []string{})
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	mounted(t, d, "base", graphdriver.MountOptions{}, func(path string) {
		same(t, "content", read(t, filepath.Join(path, "f")), "1")
	})
	same(t, "mounts", mountsBelow(t, dir), []string{})
	must(t, d.Cleanup(t.Context()))
}

func TestSkipMountHome(t *testing.T) {
	dir := root(t)
	d := openAt(t, dir, graphdriver.Option{Key: "skip_mount_home", Value: "true"})
	same(t, "mounts", mountsBelow(t, dir), []string{})
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	path, err := d.Get(t.Context(), "base", graphdriver.MountOptions{})
	must(t, err)
	// A process that has no such setting must not hide what is mounted already.
	plain := openAt(t, dir)
	same(t, "mounts", mountsBelow(t, dir), []string{path})
	same(t, "content", read(t, filepath.Join(path, "f")), "1")
	must(t, d.Put(t.Context(), "base"))
	must(t, plain.Cleanup(t.Context()))
}

// TestFilesystemOfItsOwn: what an administrator mounted at the home is left alone, and
// tmpfs carries an overlay.
func TestFilesystemOfItsOwn(t *testing.T) {
	dir := root(t)
	home := filepath.Join(dir, Name)
	must(t, os.Mkdir(home, 0o700))
	must(t, unix.Mount("tmpfs", home, "tmpfs", 0, "size=1m"))
	d := openAt(t, dir)
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	same(t, "files", len(tree(t, d, "base")), 1)
	same(t, "status", d.Status()[0], graphdriver.StatusItem{Key: "Backing Filesystem", Value: "tmpfs"})
	must(t, d.Cleanup(t.Context()))
	same(t, "mounts", mountsBelow(t, dir), []string{home})
}

func TestRefusedFilesystem(t *testing.T) {
	dir := root(t)
	var names []string
	for _, name := range []string{"a", "b", "u", "w", "m"} {
		path := filepath.Join(dir, name)
		must(t, os.Mkdir(path, 0o700))
		names = append(names, path)
	}
	var m mountapi.Mounter
	must(t, m.Overlay(&mountapi.Overlay{Lowers: names[:2], Upper: names[2], Work: names[3]}, names[4]))
	_, err := New(t.Context(), config(names[4]))
	if !graphdriver.IsNotSupported(err) {
		t.Errorf("home on an overlay: %v, want one of the class not supported", err)
	}
	if slices.Contains(mountsBelow(t, dir), filepath.Join(names[4], Name)) {
		t.Error("the home was mounted")
	}
}

// TestRemoveSparesMounts: what is still mounted in a layer's directory, like the shifted view of
// a killed process, is not emptied with it.
func TestRemoveSparesMounts(t *testing.T) {
	d := openAt(t, root(t))
	layer(t, d, "keep", "", testutil.Entry{Name: "f", Body: "1"})
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	base := d.homes[0].layer("base")
	for _, name := range []string{"mapped/0", "mapped/1", "composefs-layers/0", "merged", "merged"} {
		must(t, os.MkdirAll(base.path(name), 0o700))
		must(t, unix.Mount(d.homes[0].layer("keep").dir(), base.path(name), "", unix.MS_BIND, ""))
	}
	must(t, d.Remove(t.Context(), "base"))
	same(t, "content of the other layer", len(tree(t, d, "keep")), 1)
	if ok, err := d.Exists(t.Context(), "base"); ok || err != nil {
		t.Errorf("removed layer exists: %v, %v", ok, err)
	}
}

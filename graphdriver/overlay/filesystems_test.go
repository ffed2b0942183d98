package overlay

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// onImage makes a file system in a file and mounts it.
func onImage(t *testing.T, mib int64, mkfs string, args ...string) string {
	t.Helper()
	program, mount := testutil.RequireProgram(t, mkfs), testutil.RequireProgram(t, "mount")
	dir := root(t)
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "point")
	write(t, image, "")
	must(t, os.Truncate(image, mib<<20))
	must(t, os.Mkdir(point, 0o700))
	if out, err := exec.Command(program, append(args, image)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", mkfs, err, out)
	}
	if out, err := exec.Command(mount, "-o", "loop", image, point).CombinedOutput(); err != nil {
		t.Skipf("no loop device for a file system of one's own: %v: %s", err, out)
	}
	t.Cleanup(func() { must(t, unix.Unmount(point, unix.MNT_DETACH)) })
	return filepath.Join(point, "graph")
}

// TestWithoutEntryTypes: overlayfs can not tell whiteouts there.
func TestWithoutEntryTypes(t *testing.T) {
	graph := onImage(t, 64, "mkfs.ext4", "-q", "-O", "^filetype")
	_, err := New(t.Context(), config(graph))
	if !graphdriver.IsNotSupported(err) || !strings.Contains(err.Error(), "d_type") {
		t.Errorf("error %v, want one of the class not supported that names d_type", err)
	}
	home := filepath.Join(graph, Name)
	same(t, "home is mounted", mountpoint(t, home), false)
	must(t, filepath.WalkDir(home, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			t.Errorf("%s makes the home look used", path)
		}
		return err
	}))
}

func TestXFS(t *testing.T) {
	graph := onImage(t, 400, "mkfs.xfs", "-q")
	d := openAt(t, graph, graphdriver.Option{Key: "size", Value: "1G"})
	same(t, "status", d.Status()[0], graphdriver.StatusItem{Key: "Backing Filesystem", Value: "xfs"})
	must(t, d.Create(t.Context(), "base", "", graphdriver.CreateOptions{Image: true}))
	same(t, "files", tree(t, d, "base"), []string(nil))
	err := d.Create(t.Context(), "container", "base", graphdriver.CreateOptions{})
	if err == nil || !strings.Contains(err.Error(), "quota") {
		t.Errorf("writable layer that should be limited: %v", err)
	}
}

// TestForcedMode: files are open to all on disk, and a mount program shows what they should be
// (on-disk format, 4.8).
func TestForcedMode(t *testing.T) {
	d := openAt(t, root(t), graphdriver.Option{Key: "mount_program", Value: fuse(t)}, graphdriver.Option{Key: "force_mask", Value: "shared"})
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1", Mode: 0o600, UID: 7, GID: 8}, testutil.Entry{Name: "d/", Mode: 0o700, UID: 9})
	same(t, "on disk", shape(t, d.homes[0].layer("base").diff()), []string{"d 40755 0:0", "f 100755 0:0"})
	must(t, d.Create(t.Context(), "child", "base", graphdriver.CreateOptions{}))
	attr, err := readRoot(d.homes[0].layer("child").diff())
	must(t, err)
	same(t, "root of the child", []int{int(attr.mode), attr.uid, attr.gid}, []int{0o555, 0, 0})
	same(t, "root of the child on disk", shape(t, d.homes[0].layer("child").dir())[0], "diff 40755 0:0")
	mounted(t, d, "child", graphdriver.MountOptions{}, func(path string) {
		same(t, "mounted", shape(t, path), []string{"d 40700 9:0", "f 100600 7:8"})
		must(t, os.Chmod(filepath.Join(path, "f"), 0o640))
	})
	same(t, "changes", changes(t, d, "child", "base"), []string{`Modify "/f"`})
}

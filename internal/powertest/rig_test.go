package powertest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// rig is a file system on a recorded disk, mounted on a bench.
type rig struct {
	*bench
	fsys fileSystem
	rec  *recorder
	dir  string // the file system
	tmp  string // a place on no disk, for images and run roots
}

// newRig makes the file system. Everything is taken down when the test ends.
func newRig(t *testing.T, fsys fileSystem) *rig {
	t.Helper()
	testutil.RequireRoot(t)
	testutil.RequireProgram(t, fsys.mkfs[0])
	r := &rig{bench: newBench(t), fsys: fsys, rec: newRecorder(fsys.size), tmp: memoryDir(t)}
	r.dir = filepath.Join(r.tmp, "fs")
	fuseDir := filepath.Join(r.tmp, "fuse")
	for _, dir := range []string{r.dir, fuseDir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := r.do(func() error {
		_, err := serve(fuseDir, r.rec)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.unmount(t, fuseDir) })
	var dev *os.File
	err = r.do(func() (err error) {
		dev, err = attachLoop(filepath.Join(fuseDir, diskName))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close() // the mount keeps it
	if err := r.fsys.format(r.bench, dev.Name()); err != nil {
		t.Fatal(err)
	}
	if err := r.do(func() error { return r.fsys.mount(dev.Name(), r.dir) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.unmount(t, r.dir) })
	return r
}

func (r *rig) unmount(t *testing.T, dir string) {
	t.Helper()
	if err := r.do(func() error { return unix.Unmount(dir, unix.MNT_DETACH) }); err != nil {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

// memoryDir is a temporary directory in memory where there is one: images of disks
// are many and short-lived.
func memoryDir(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "strata-power-") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

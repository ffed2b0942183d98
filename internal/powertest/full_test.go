package powertest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// exitNoSpace is the command's exit code for a full disk.
const exitNoSpace = 11

// smallDisk is a small file system without any recording, on a bench of its own.
type smallDisk struct {
	*bench
	fsys       fileSystem
	driver     string
	image, dir string
	tmp        string
	from       materials
}

// fullFileSystems have no blocks set aside for root, and few inodes.
func fullFileSystems() []fileSystem {
	return []fileSystem{
		{"ext4", 24 << 20, []string{"mkfs.ext4", "-q", "-F", "-m", "0", "-N", "1200", "-J", "size=1", "-E", "nodiscard"}},
		{"xfs", 64 << 20, []string{"mkfs.xfs", "-q", "-f", "-K", "--unsupported", "-l", "size=8m", "-d", "agcount=2", "-i", "maxpct=1"}},
	}
}

// newSmallDisk makes the file system and a store on it, not mounted.
func newSmallDisk(t *testing.T, fsys fileSystem, driver string) *smallDisk {
	t.Helper()
	testutil.RequireRoot(t)
	testutil.RequireProgram(t, fsys.mkfs[0])
	tmp := memoryDir(t)
	d := &smallDisk{bench: newBench(t), fsys: fsys, driver: driver, tmp: tmp, image: filepath.Join(tmp, "image"), dir: filepath.Join(tmp, "fs")}
	d.from = newMaterials(t, tmp)
	err := errors.Join(os.Mkdir(d.dir, 0o755), os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, fsys.size))
	if err != nil {
		t.Fatal(err)
	}
	if err := fsys.format(d.bench, d.image); err != nil {
		t.Fatal(err)
	}
	return d
}

// mounted runs f with the file system mounted; the store is shut down after it.
func (d *smallDisk) mounted(t *testing.T, f func()) {
	t.Helper()
	err := d.do(func() error {
		dev, err := attachLoop(d.image)
		if err != nil {
			return err
		}
		defer dev.Close() // the mount keeps it
		return d.fsys.mount(dev.Name(), d.dir)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if out, err := d.strata("shutdown", "--force"); err != nil {
			t.Errorf("shutdown: %v\n%s", err, out)
		}
		if err := d.do(func() error { return testutil.Unmount(d.dir) }); err != nil {
			t.Errorf("unmount: %v", err)
		}
	}()
	f()
}

func (d *smallDisk) graph() string { return filepath.Join(d.dir, "graph") }

func (d *smallDisk) strata(args ...string) (string, error) {
	all := append([]string{"--graph", d.graph(), "--run", filepath.Join(d.tmp, "run"), "-s", d.driver}, args...)
	out, err := d.run([]string{"CONTAINERS_STORAGE_CONF=/dev/null"}, binary, all...)
	return strings.TrimSpace(out), err
}

func (d *smallDisk) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.strata(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (d *smallDisk) observe(t *testing.T) (state storeState) {
	t.Helper()
	err := d.do(func() (err error) {
		state, err = observe(d.graph(), d.driver)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// furnish makes objects to delete: two images that share a layer, one of which a
// container stands on, an image and a container without others, and a bare layer.
func (d *smallDisk) furnish(t *testing.T) {
	t.Helper()
	d.must(t, "load", d.from.archives[1])
	d.must(t, "load", d.from.archives[2])
	d.must(t, "load", d.from.archives[3])
	d.must(t, "create-container", "--name", "box", "localhost/image1:latest")
	d.must(t, "create-layer", "--name", "bare")
	d.must(t, "add-names", "--name", "second", "bare")
	d.must(t, "mount", "box")
	d.must(t, "unmount", "box")
}

// fill takes every block, or every inode, and returns what gives them back.
func (d *smallDisk) fill(t *testing.T, what string) (release func()) {
	t.Helper()
	dir := filepath.Join(d.dir, "ballast")
	err := d.do(func() error {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if what == "inodes" {
			return takeInodes(dir)
		}
		return takeBlocks(dir)
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := d.do(func() error { return os.RemoveAll(dir) }); err != nil {
			t.Fatal(err)
		}
	}
}

func takeBlocks(dir string) error {
	for _, piece := range []int{1 << 20, 64 << 10, page, 1} {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(piece)))
		if err != nil {
			return unexpected(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, piece))
			if err == nil && piece == 1 {
				_, err = f.Seek(page, io.SeekCurrent) // each byte takes a block
			}
		}
		if err = errors.Join(f.Sync(), f.Close(), unexpected(err)); err != nil {
			return err
		}
	}
	return nil
}

func takeInodes(dir string) error {
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return unexpected(err)
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
}

// unexpected is nil for a full disk.
func unexpected(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return err
}

// deletion is a command that has to work on a full disk, and what has to be gone
// after it.
type deletion struct {
	name string
	args []string
	gone map[string]int // by kind, how many objects fewer there are
}

func deletions() []deletion {
	return []deletion{
		{"delete-image", []string{"delete-image", "localhost/image2:latest"}, map[string]int{"image": 1, "layer": 1}},
		{"delete-image whose layers others need", []string{"delete", "localhost/image3:latest"}, map[string]int{"image": 1}},
		{"delete-container", []string{"delete-container", "box"}, map[string]int{"container": 1, "layer": 1}},
		{"delete-layer", []string{"delete-layer", "bare"}, map[string]int{"layer": 1}},
		{"delete of a container", []string{"delete", "box"}, map[string]int{"container": 1, "layer": 1}},
		{"delete of a layer", []string{"delete", "bare"}, map[string]int{"layer": 1}},
		{"remove-names", []string{"remove-names", "--name", "second", "bare"}, nil},
		{"unmount", []string{"unmount", "box"}, nil},
		{"wipe", []string{"wipe"}, map[string]int{"image": 3, "container": 1, "layer": 7}},
	}
}

// tried are all deletions, or some of them in a short run.
func tried() []deletion {
	all := deletions()
	if testing.Short() {
		return []deletion{all[0], all[len(all)-1]}
	}
	return all
}

// TestFullDisk: nothing is lost or left by what does not fit, and every deletion
// works at zero bytes, or zero inodes, free.
func TestFullDisk(t *testing.T) {
	for _, fsys := range fullFileSystems() {
		for _, driver := range []string{"overlay", "vfs"} {
			t.Run(fsys.name+" "+driver, func(t *testing.T) {
				d := newSmallDisk(t, fsys, driver)
				d.mounted(t, func() { d.furnish(t) })
				base, err := os.ReadFile(d.image)
				if err != nil {
					t.Fatal(err)
				}
				for _, what := range []string{"blocks", "inodes"} {
					for _, del := range tried() {
						t.Run(what+" "+del.name, func(t *testing.T) {
							if err := os.WriteFile(d.image, base, 0o600); err != nil {
								t.Fatal(err)
							}
							d.deleteOnFull(t, what, del)
							d.examine(t)
						})
					}
				}
			})
		}
	}
}

func (d *smallDisk) deleteOnFull(t *testing.T, what string, del deletion) {
	t.Helper()
	d.mounted(t, func() {
		if del.name == "unmount" {
			d.must(t, "mount", "box")
		}
		release := d.fill(t, what)
		before := d.observe(t)
		d.refused(t, "load", d.from.archives[0])
		d.refused(t, "import", d.from.tars[1])
		if diff := d.observe(t).differences(before); len(diff) > 0 {
			t.Errorf("the failed commands changed: %s", strings.Join(diff, "\n"))
		}
		if _, err := d.strata(del.args...); err != nil {
			t.Error(err)
		}
		after := d.observe(t)
		for _, kind := range kinds {
			if got := len(before.ids(kind)) - len(after.ids(kind)); got != del.gone[kind] {
				t.Errorf("%d objects of kind %s are gone, want %d", got, kind, del.gone[kind])
			}
		}
		release()
		d.must(t, "load", d.from.archives[0])
	})
}

// refused demands that a command finds no room, and says so.
func (d *smallDisk) refused(t *testing.T, args ...string) {
	t.Helper()
	_, err := d.strata(args...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitNoSpace || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%s on a full disk: %v", describe(args), err)
	}
}

// examine recovers the disk in a process of its own and demands that nothing is wrong.
func (d *smallDisk) examine(t *testing.T) {
	t.Helper()
	out, err := examine(examination{Image: d.image, FileSystem: d.fsys.name, Driver: d.driver, Dir: mountPoint})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range slices.Concat(out.Errors, out.Findings) {
		t.Error(text)
	}
}

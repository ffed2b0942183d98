package archive_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
)

// step is one change to a tree, and the paths whose times it decides.
type step struct {
	paths []string
	do    func(root string) error
}

func in(root, path string) string { return filepath.Join(root, path) }

func mkdir(path string, mode uint32) step {
	return step{[]string{path}, func(r string) error {
		return errors.Join(os.Mkdir(in(r, path), 0o755), unix.Chmod(in(r, path), mode))
	}}
}

// file replaces whatever non-directory has the path.
func file(path, content string) step {
	return step{[]string{path}, func(r string) error {
		os.Remove(in(r, path))
		return os.WriteFile(in(r, path), []byte(content), 0o644)
	}}
}

// write writes into the file that is there.
func write(path, content string) step {
	return step{[]string{path}, func(r string) error { return os.WriteFile(in(r, path), []byte(content), 0o644) }}
}

func remove(path string) step {
	return step{[]string{path}, func(r string) error { return os.RemoveAll(in(r, path)) }}
}

func symlink(target, path string) step {
	return step{[]string{path}, func(r string) error { return os.Symlink(target, in(r, path)) }}
}

func link(old, path string) step {
	return step{[]string{path}, func(r string) error { return os.Link(in(r, old), in(r, path)) }}
}

func rename(old, path string) step {
	return step{[]string{old, path}, func(r string) error { return os.Rename(in(r, old), in(r, path)) }}
}

// special makes a fifo, a socket or a device.
func special(path string, mode uint32, major, minor uint32) step {
	return step{[]string{path}, func(r string) error {
		return unix.Mknod(in(r, path), mode, int(unix.Mkdev(major, minor)))
	}}
}

func chmod(path string, mode uint32) step {
	return step{nil, func(r string) error { return unix.Chmod(in(r, path), mode) }}
}

func chown(path string, uid, gid int) step {
	return step{nil, func(r string) error { return os.Lchown(in(r, path), uid, gid) }}
}

func setXattr(path, name, value string) step {
	return step{nil, func(r string) error { return unix.Lsetxattr(in(r, path), name, []byte(value), 0) }}
}

func removeXattr(path, name string) step {
	return step{nil, func(r string) error { return unix.Lremovexattr(in(r, path), name) }}
}

// touch sets the time of path to one that nothing else sets.
func touch(path string, sec, nsec int64) step {
	return step{nil, func(r string) error { return setTime(in(r, path), sec, nsec) }}
}

func setTime(path string, sec, nsec int64) error {
	ts := []unix.Timespec{{Sec: sec, Nsec: nsec}, {Sec: sec, Nsec: nsec}}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW)
}

// capNetRaw is cap_net_raw=ep as struct vfs_cap_data.
const capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// run does the steps, and then gives their paths and the directories around
// these a time that depends on nothing but the layer's number.
func run(t testing.TB, root string, layer int, steps []step) {
	t.Helper()
	settled := map[string]bool{}
	for _, s := range steps {
		for _, path := range s.paths {
			settled[path], settled[filepath.Dir(path)] = true, true
		}
		if s.paths != nil {
			check(t, s.do(root))
		}
	}
	for path := range settled {
		err := setTime(in(root, path), 1_700_000_000+int64(layer), 123_456_789)
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			t.Fatalf("set time of %s: %v", path, err)
		}
	}
	for _, s := range steps {
		if s.paths == nil {
			check(t, s.do(root))
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tempDir is a directory whose name can stand in mount options; t.TempDir's has
// the test's name in it, commas and colons included.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "archive-") //nolint:usetesting // for its name, see above
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

// subdir makes a directory in a temporary one.
func subdir(t testing.TB, elem ...string) string {
	t.Helper()
	dir := filepath.Join(elem...)
	check(t, os.MkdirAll(dir, 0o755))
	return dir
}

// mount mounts an overlay until the test ends. Lowers are nearest parent first;
// without an upper directory the mount is read-only.
func mount(t testing.TB, lowers []string, upper, options string) string {
	t.Helper()
	dir := tempDir(t)
	target := subdir(t, dir, "merged")
	data := "lowerdir=" + strings.Join(lowers, ":") + options
	if upper != "" {
		data += ",upperdir=" + upper + ",workdir=" + subdir(t, dir, "work")
	}
	mountAt(t, target, data)
	return target
}

func mountAt(t testing.TB, target, data string) {
	t.Helper()
	err := unix.Mount("overlay", target, "overlay", 0, data)
	// A program that made a mount namespace while a directory was mounted keeps it in use.
	for start := time.Now(); errors.Is(err, unix.EBUSY) && time.Since(start) < 3*time.Minute; time.Sleep(10 * time.Millisecond) {
		err = unix.Mount("overlay", target, "overlay", 0, data)
	}
	if err != nil {
		t.Fatalf("mount overlay with %s: %v", data, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Errorf("unmount %s: %v", target, err)
		}
	})
}

// merged shows directories as the kernel merges them; one alone is itself.
func merged(t testing.TB, dirs []string, options string) string {
	t.Helper()
	if len(dirs) == 1 {
		return dirs[0]
	}
	return mount(t, dirs, "", options)
}

// copyTree copies everything about a tree.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", "--preserve=all", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("cp -a: %v: %s", err, out)
	}
}

func lines(changes []archive.Change) []string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		out = append(out, c.String())
	}
	return out
}

func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// packed packs changes and returns the tar.
func packed(t testing.TB, dir string, changes []archive.Change, opts archive.PackOptions) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := archive.PackChanges(context.Background(), &buf, dir, changes, opts); err != nil {
		t.Fatalf("pack %s: %v", dir, err)
	}
	return buf.Bytes()
}

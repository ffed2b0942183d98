package rootfd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// ways are the forms of a Root that must all behave alike.
var ways = map[string]func(t *testing.T, dir string) *Root{
	"openat2":        func(t *testing.T, dir string) *Root { return mustOpen(t, dir, Options{}) },
	"openat2, cache": func(t *testing.T, dir string) *Root { return mustOpen(t, dir, Options{Cache: 2}) },
	"by components": func(t *testing.T, dir string) *Root {
		r := mustOpen(t, dir, Options{})
		r.walk.Store(true)
		return r
	},
}

func mustOpen(t *testing.T, dir string, opts Options) *Root {
	t.Helper()
	r, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func eachWay(t *testing.T, test func(t *testing.T, r *Root, dir string)) {
	for name, open := range ways {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test(t, open(t, dir), dir)
		})
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestRootOperations(t *testing.T) {
	eachWay(t, func(t *testing.T, r *Root, dir string) {
		when := time.Unix(-5, 123456789)
		must(t,
			r.MkdirAll("a/b/c", 0o755), r.MkdirAll("a/b/c", 0o755), r.Mkdir("/a/d/", 0o700),
			r.Symlink("../nowhere", "a/link"), r.Link("a/link", "a/link2"),
			r.Mknod("a/fifo", unix.S_IFIFO|0o600, 0),
			r.Utimes("a/link", when, when), r.Chmod("a/fifo", 0o640),
		)
		f, err := r.OpenFile("a/b/c/file", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		must(t, err)
		_, err = f.WriteString("hello")
		must(t, err, f.Close(), r.Rename("a/b/c/file", "a/d/moved"), r.Chmod("a/d/moved", 0o4711))

		got, err := os.ReadFile(filepath.Join(dir, "a/d/moved"))
		if string(got) != "hello" || err != nil {
			t.Errorf("content %q, %v", got, err)
		}
		st, err := r.Lstat("a/link")
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK || st.Mtim.Sec != -5 || st.Mtim.Nsec != 123456789 || st.Nlink != 2 {
			t.Errorf("link: %+v, %v", st, err)
		}
		if target, err := r.Readlink("a/link2"); target != "../nowhere" || err != nil {
			t.Errorf("target %q, %v", target, err)
		}
		if st, err := r.Lstat("a/d/moved"); err != nil || st.Mode&0o7777 != 0o4711 {
			t.Errorf("moved: %+v, %v", st, err)
		}
		must(t, r.Remove("a/d/moved"), r.Remove("a/d"), r.RemoveAll("a"), r.RemoveAll("a"), r.RemoveAll("x/y"))
		if names, err := os.ReadDir(dir); len(names) != 0 || err != nil {
			t.Errorf("left: %v, %v", names, err)
		}
	})
}

func TestRootXattrs(t *testing.T) {
	eachWay(t, func(t *testing.T, r *Root, _ string) {
		must(t, r.Mkdir("d", 0o755), r.Mknod("f", unix.S_IFREG|0o600, 0))
		large := []byte(strings.Repeat("v", 2000))
		for _, name := range []string{"d", "f"} {
			if err := r.Setxattr(name, "user.large", large); errors.Is(err, unix.ENOTSUP) {
				t.Skip("no xattrs here")
			} else if err != nil {
				t.Fatal(err)
			}
			must(t, r.Setxattr(name, "user.empty", nil))
			got, err := r.Getxattr(name, "user.large")
			if string(got) != string(large) || err != nil {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			names, err := r.Listxattr(name)
			slices.Sort(names)
			if !slices.Equal(names, []string{"user.empty", "user.large"}) || err != nil {
				t.Errorf("%s: %q, %v", name, names, err)
			}
			if _, err := r.Getxattr(name, "user.none"); !errors.Is(err, unix.ENODATA) {
				t.Errorf("%s: %v, want ENODATA", name, err)
			}
		}
	})
}

// No operation follows a link, be it in the middle or at the end of a name.
func TestRootFollowsNothing(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *Root, top string) {
		outside, inside := filepath.Join(top, "outside"), filepath.Join(top, "inside")
		must(t, os.Mkdir(outside, 0o755), os.Mkdir(inside, 0o755), os.WriteFile(filepath.Join(outside, "f"), []byte("x"), 0o600))
		r := mustOpen(t, inside, Options{})
		for name, target := range map[string]string{"abs": outside, "rel": "../outside", "file": outside + "/f", "proc": "/proc/self/cwd"} {
			must(t, os.Symlink(target, filepath.Join(inside, name)))
		}
		now := time.Now()
		for _, via := range []string{"abs", "rel", "proc"} {
			name := via + "/f"
			_, open := r.OpenFile(name, os.O_RDONLY, 0)
			_, lstat := r.Lstat(name)
			_, dir := r.Dir(via)
			_, get := r.Getxattr(name, "user.x")
			for i, err := range []error{
				open, lstat, dir, get, r.Mkdir(via+"/d", 0o755), r.MkdirAll(via+"/d/e", 0o755), r.Symlink("x", via+"/l"),
				r.Link(name, "stolen"), r.Link("file", via+"/l"), r.Rename(name, "stolen"), r.Rename("file", via+"/l"),
				r.Mknod(via+"/p", unix.S_IFIFO|0o600, 0), r.Remove(name), r.RemoveAll(name), r.Chown(name, 1, 1),
				r.Chmod(name, 0o777), r.Utimes(name, now, now), r.Setxattr(name, "user.x", []byte("y")),
			} {
				if !errors.Is(err, unix.ELOOP) {
					t.Errorf("operation %d through %s: error = %v, want ELOOP", i, via, err)
				}
			}
		}
		if _, err := r.OpenFile("file", os.O_RDONLY, 0); !errors.Is(err, unix.ELOOP) {
			t.Errorf("open of link: %v", err)
		}
		if _, err := r.OpenFile("file", os.O_CREATE|os.O_WRONLY, 0o600); !errors.Is(err, unix.ELOOP) {
			t.Errorf("create through link: %v", err)
		}
		if err := r.Chmod("file", 0o777); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("chmod of link: %v", err)
		}
		must(t, r.Chown("file", os.Getuid(), os.Getgid()), r.Utimes("file", now, now), r.RemoveAll("abs"), r.Remove("file"))
		if st, err := os.Stat(filepath.Join(outside, "f")); err != nil || st.Mode() != 0o600 || time.Since(st.ModTime()) < 0 {
			t.Errorf("outside changed: %v, %v", st, err)
		}
		if names, err := os.ReadDir(outside); len(names) != 1 || err != nil {
			t.Errorf("outside has %v, %v", names, err)
		}
	})
}

func TestRootRefusesNames(t *testing.T) {
	eachWay(t, func(t *testing.T, r *Root, _ string) {
		for _, name := range []string{"..", "../x", "a/../../x", "/..", "a\x00"} {
			_, err := r.Lstat(name)
			for _, err := range []error{err, r.Mkdir(name, 0o755), r.MkdirAll(name, 0o755), r.RemoveAll(name), r.Rename(name, "x"), r.Link("x", name)} {
				if err == nil || !errors.Is(err, errdefs.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%q: error = %v", name, err)
				}
			}
		}
	})
}

// The root may be renamed or replaced: it stays the directory that was opened.
func TestRootIsPinned(t *testing.T) {
	top := t.TempDir()
	dir, moved := filepath.Join(top, "dir"), filepath.Join(top, "moved")
	must(t, os.Mkdir(dir, 0o755))
	r := mustOpen(t, dir, Options{})
	must(t, os.Rename(dir, moved), os.Symlink("/nowhere", dir), r.MkdirAll("a/b", 0o755))
	if _, err := os.Stat(filepath.Join(moved, "a/b")); err != nil {
		t.Error(err)
	}
}

// Somebody swaps a directory for a link all the time; nothing ever lands where
// the link leads.
func TestRootUnderSwaps(t *testing.T) {
	eachWay(t, func(t *testing.T, r *Root, dir string) {
		outside := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755), os.Symlink(outside, filepath.Join(dir, "link")))
		stop := make(chan struct{})
		var swapper sync.WaitGroup
		swapper.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "a"), unix.AT_FDCWD, filepath.Join(dir, "link"), unix.RENAME_EXCHANGE)
				}
			}
		})
		for i := range 2000 {
			name := fmt.Sprintf("a/f%d", i)
			if f, err := r.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
				f.Close()
			}
			r.RemoveAll(name)
			r.MkdirAll("a/b/c", 0o755)
		}
		close(stop)
		swapper.Wait()
		if names, err := os.ReadDir(outside); len(names) != 0 || err != nil {
			t.Errorf("outside has %v, %v", names, err)
		}
	})
}

func TestRootLongNames(t *testing.T) {
	eachWay(t, func(t *testing.T, r *Root, _ string) {
		name := strings.TrimSuffix(strings.Repeat(strings.Repeat("n", 254)+"/", 40), "/")
		must(t, r.MkdirAll(name, 0o755))
		d, err := r.Dir(name)
		must(t, err)
		d.Release()
		f, err := r.OpenFile(name+"/file", os.O_CREATE|os.O_WRONLY, 0o600)
		must(t, err, f.Close(), r.RemoveAll(name[:254]))
		if err := r.Mkdir(strings.Repeat("n", 256), 0o755); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("error = %v, want ENAMETOOLONG", err)
		}
		if err := r.Mkdir(strings.Repeat("n", 5000)+"/x", 0o755); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("error = %v, want ENAMETOOLONG", err)
		}
	})
}

// Removing works on wide and on deep trees and names what it can not remove.
func TestRootRemoveAll(t *testing.T) {
	eachWay(t, func(t *testing.T, r *Root, dir string) {
		must(t, r.MkdirAll("wide/in", 0o755), r.MkdirAll(strings.Repeat("deep/", 600), 0o755))
		for i := range 1500 {
			must(t, r.Mknod(fmt.Sprintf("wide/in/file%d", i), unix.S_IFREG|0o600, 0))
		}
		must(t, r.RemoveAll("wide"), r.RemoveAll("deep"))
		if names, err := os.ReadDir(dir); len(names) != 0 || err != nil {
			t.Errorf("left: %v, %v", names, err)
		}
		if err := r.RemoveAll("."); err == nil {
			t.Error("the root itself was removed")
		}
	})
}

// A tree deeper than there are descriptors, as a container's processes can make
// one.
func TestRootRemoveAllWithFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir, Options{})
	must(t, r.MkdirAll(strings.Repeat("deep/", 500), 0o755), r.Mkdir(".removed-1", 0o755))
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	few := unix.Rlimit{Cur: 250, Max: limit.Max}
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	must(t, r.RemoveAll("deep"))
	if names, err := os.ReadDir(dir); len(names) != 1 || err != nil {
		t.Errorf("left: %v, %v", names, err)
	}
}

func TestRootRemoveAllError(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir, Options{})
	must(t, r.MkdirAll("a/b/busy", 0o755))
	if err := unix.Mount("tmpfs", filepath.Join(dir, "a/b/busy"), "tmpfs", 0, ""); err != nil {
		t.Skip("no mounts here:", err)
	}
	defer unix.Unmount(filepath.Join(dir, "a/b/busy"), unix.MNT_DETACH)
	err := r.RemoveAll("a")
	var pe *fs.PathError
	if !errors.Is(err, unix.EBUSY) || !errors.As(err, &pe) || pe.Path != "a/b/busy" {
		t.Errorf("error = %v, want EBUSY at a/b/busy", err)
	}
}

func TestDirCacheForgets(t *testing.T) {
	r := mustOpen(t, t.TempDir(), Options{Cache: 10})
	must(t, r.MkdirAll("a/b", 0o755))
	d, err := r.Dir("a/b")
	must(t, err)
	must(t, r.RemoveAll("a"), r.MkdirAll("a/b", 0o755), r.Mkdir("a/b/c", 0o755))
	if err := d.Mkdir("x", 0o755); err == nil {
		t.Error("the held directory is not the removed one")
	}
	d.Release()
	for i := range 50 {
		must(t, r.MkdirAll(fmt.Sprintf("n/%d/x", i), 0o755))
	}
	if n := r.cache.used.Len(); n > 10 {
		t.Errorf("%d directories are kept", n)
	}
}

// Descriptors are given back, also on errors.
func TestRootLeavesNoDescriptors(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *Root, dir string) {
		count := func() int {
			names, err := os.ReadDir("/proc/self/fd")
			must(t, err)
			return len(names)
		}
		before := count()
		r, err := Open(dir, Options{Cache: 3})
		must(t, err, r.MkdirAll("a/b/c/d/e", 0o755), r.Symlink("a", "l"))
		r.Lstat("l/b")
		r.Lstat("a/none/x")
		r.Link("a/none", "l/x")
		r.OpenFile("a/none", os.O_RDONLY, 0)
		r.RemoveAll("a")
		must(t, r.Close())
		if after := count(); after > before { // what earlier tests left may go meanwhile
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
}

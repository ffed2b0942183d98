package filecopy_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/filecopy"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/rootfd"
	"github.com/stratastore/strata/internal/testutil"
)

func open(t *testing.T, dir string) *rootfd.Root {
	t.Helper()
	r, err := rootfd.Open(dir, rootfd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o600))
	must(t, os.Chmod(path, mode))
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return st
}

func TestCopyKeepsATree(t *testing.T) {
	testutil.RequireRoot(t)
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/d/a", "one", 0o640)
	must(t, os.Link(src+"/d/a", src+"/d/b"))
	must(t, os.Symlink("/etc/passwd", src+"/d/link"))
	must(t, unix.Mkfifo(src+"/d/fifo", 0o644))
	must(t, unix.Setxattr(src+"/d/a", "user.note", []byte("x"), 0))
	must(t, os.Chown(src+"/d/a", 5, 6))
	must(t, os.Chown(src+"/d", 7, 8))
	must(t, os.Chmod(src+"/d", 0o710|os.ModeSetgid))
	old := time.Unix(1e9, 123456789)
	must(t, os.Chtimes(src+"/d/a", old, old))
	must(t, os.Chtimes(src+"/d", old, old))

	from := filecopy.Place{Root: open(t, src), Name: "d"}
	must(t, filecopy.Copy(t.Context(), from, filecopy.Place{Root: open(t, dst), Name: "new/deep/d"}, filecopy.Options{}))

	a, b, d := stat(t, dst+"/new/deep/d/a"), stat(t, dst+"/new/deep/d/b"), stat(t, dst+"/new/deep/d")
	if a.Ino != b.Ino || a.Uid != 5 || a.Gid != 6 || a.Mode&0o7777 != 0o640 || a.Mtim.Nsec != old.UnixNano()%1e9 {
		t.Errorf("a: %+v, b has inode %d", a, b.Ino)
	}
	if d.Uid != 7 || d.Mode&0o7777 != 0o2710 || d.Mtim.Sec != 1e9 {
		t.Errorf("d: %+v", d)
	}
	if p := stat(t, dst+"/new/deep"); p.Mode&0o7777 != 0o755 || p.Uid != 0 {
		t.Errorf("a directory above the target: %+v", p)
	}
	if to, err := os.Readlink(dst + "/new/deep/d/link"); err != nil || to != "/etc/passwd" {
		t.Errorf("link to %q, %v", to, err)
	}
	if f := stat(t, dst+"/new/deep/d/fifo"); f.Mode != unix.S_IFIFO|0o644 {
		t.Errorf("fifo: mode %o", f.Mode)
	}
	value := make([]byte, 8)
	if n, err := unix.Getxattr(dst+"/new/deep/d/a", "user.note", value); err != nil || string(value[:n]) != "x" {
		t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
	}
}

func TestCopyOwners(t *testing.T) {
	testutil.RequireRoot(t)
	m := func(host int) idmap.Mapping {
		r := []idmap.Range{{ContainerID: 0, HostID: host, Size: 100}}
		return idmap.Mapping{UIDs: r, GIDs: r}
	}
	for _, tt := range []struct {
		name     string
		from, to idmap.Mapping
		owner    *filecopy.Owner
		want     uint32
		err      error
	}{
		{"as it is", idmap.Mapping{}, idmap.Mapping{}, nil, 1007, nil},
		{"out of a map", m(1000), idmap.Mapping{}, nil, 7, nil},
		{"from one map to another", m(1000), m(5000), nil, 5007, nil},
		{"into a map without the owner", idmap.Mapping{}, m(5000), nil, 0, idmap.ErrUnmapped},
		{"another owner", idmap.Mapping{}, m(5000), &filecopy.Owner{UID: 3, GID: 4}, 5003, nil},
		{"another owner that is not mapped", idmap.Mapping{}, m(5000), &filecopy.Owner{UID: 300}, 0, idmap.ErrUnmapped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src, dst := t.TempDir(), t.TempDir()
			write(t, src+"/f", "x", 0o4755)
			must(t, os.Chown(src+"/f", 1007, 1007))
			must(t, os.Chmod(src+"/f", 0o755|os.ModeSetuid))
			err := filecopy.Copy(t.Context(), filecopy.Place{Root: open(t, src), Name: "f", Mapping: tt.from},
				filecopy.Place{Root: open(t, dst), Name: "g", Mapping: tt.to}, filecopy.Options{Owner: tt.owner})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				if left, _ := os.ReadDir(dst); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			if st := stat(t, dst+"/g"); st.Uid != tt.want || st.Mode&0o7777 != 0o4755 {
				t.Errorf("owner %d, mode %o; want owner %d, mode 4755", st.Uid, st.Mode, tt.want)
			}
		})
	}
}

func TestCopyOnto(t *testing.T) {
	for _, tt := range []struct {
		name, from, to string
		err            error
	}{
		{"a file over a file", "f", "other", nil},
		{"a file over itself", "f", "f", nil},
		{"a file over its second name", "f", "hard", nil},
		{"a file over a link", "f", "link", nil},
		{"a file over a directory", "f", "d", filecopy.ErrOverDirectory},
		{"a file over the root", "f", ".", filecopy.ErrOverDirectory},
		{"a directory over a file", "d", "f", filecopy.ErrNotDirectory},
		{"a directory into one that is there", "d", "e", nil},
		{"a directory into itself", "d", "d/sub/d", filecopy.ErrIntoItself},
		{"the root into itself", ".", "d/sub", filecopy.ErrIntoItself},
		{"below a file", "f", "other/x", unix.ENOTDIR},
		{"what is not there", "nope", "x", unix.ENOENT},
		{"out of the tree by a link", "f", "out/x", unix.ELOOP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/f", "new", 0o644)
			write(t, dir+"/other", "old", 0o644)
			write(t, dir+"/d/sub/x", "new", 0o644)
			write(t, dir+"/e/keep", "keep", 0o644)
			must(t, os.Link(dir+"/f", dir+"/hard"))
			must(t, os.Symlink("other", dir+"/link"))
			must(t, os.Symlink(t.TempDir(), dir+"/out"))
			root := open(t, dir)
			err := filecopy.Copy(t.Context(), filecopy.Place{Root: root, Name: tt.from}, filecopy.Place{Root: root, Name: tt.to}, filecopy.Options{})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if temps, _ := filepath.Glob(dir + "/.strata*"); len(temps) > 0 {
				t.Errorf("left behind: %v", temps)
			}
			if tt.err != nil {
				return
			}
			if got, err := os.ReadFile(filepath.Join(dir, tt.to, map[bool]string{true: "sub/x"}[tt.from == "d"])); err != nil || string(got) != "new" {
				t.Errorf("content %q, %v", got, err)
			}
			if _, err := os.Stat(dir + "/e/keep"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCopyCancelled(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/f", "x", 0o644)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := filecopy.Copy(ctx, filecopy.Place{Root: open(t, src), Name: "."}, filecopy.Place{Root: open(t, dst), Name: "."}, filecopy.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/usr/lib", 0o755))
	for link, target := range map[string]string{
		"lib": "usr/lib", "abs": "/usr", "usr/up": "../../..", "loop": "loop", "end": "/usr/lib/file", "dangling": "/no/where", "usr/lib/rel": "../up/usr",
	} {
		must(t, os.Symlink(target, dir+"/"+link))
	}
	root := open(t, dir)
	for _, tt := range []struct {
		name string
		last bool
		want string
		err  error
	}{
		{"/", true, ".", nil},
		{"", true, ".", nil},
		{"a/./b//c", true, "a/b/c", nil},
		{"/../../usr", true, "usr", nil},
		{"lib/x", false, "usr/lib/x", nil},
		{"lib", false, "lib", nil},
		{"lib", true, "usr/lib", nil},
		{"abs/lib/f", true, "usr/lib/f", nil},
		{"usr/up/usr/f", true, "usr/f", nil},
		{"lib/rel/x", true, "usr/x", nil},
		{"end", true, "usr/lib/file", nil},
		{"dangling/x", true, "no/where/x", nil},
		{"loop/x", true, "", unix.ELOOP},
		{"loop", false, "loop", nil},
	} {
		got, err := filecopy.Resolve(root, tt.name, tt.last)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Resolve(%q, %t) = %q, %v; want %q, %v", tt.name, tt.last, got, err, tt.want, tt.err)
		}
	}
}

package treecopy_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/internal/treecopy"
)

func shifted(by, size int) idmap.Mapping {
	r := []idmap.Range{{HostID: by, Size: size}}
	return idmap.Mapping{UIDs: r, GIDs: r}
}

// TestMovedThereAndBack: nothing but owners and the root user of capabilities changes,
// and both come back.
func TestMovedThereAndBack(t *testing.T) {
	testutil.RequireRoot(t)
	src := filepath.Join(t.TempDir(), "src")
	sample(t, src)
	far := shifted(300000, 1000)
	there := copied(t, src, treecopy.Options{Move: idmap.Move{To: far}})
	var st unix.Stat_t
	must(t, unix.Lstat(filepath.Join(there, "a/b/small"), &st))
	if st.Uid != 300012 || st.Gid != 300034 || st.Mode&0o7777 != 0o6711 {
		t.Errorf("a/b/small is %d:%d with mode %o", st.Uid, st.Gid, st.Mode)
	}
	buf := make([]byte, 64)
	n, err := unix.Getxattr(filepath.Join(there, "a/b/small"), "security.capability", buf)
	must(t, err)
	if n != 24 || string(buf[20:24]) != "\xe0\x93\x04\x00" { // 300000, little endian
		t.Errorf("capability %x", buf[:n])
	}
	must(t, unix.Lstat(there, &st))
	if st.Uid != 300000 {
		t.Errorf("the root directory is of user %d", st.Uid)
	}
	back := copied(t, there, treecopy.Options{Move: idmap.Move{From: far}})
	if d := cmp.Diff(testutil.Tree(t, src), testutil.Tree(t, back)); d != "" {
		t.Errorf("there and back (-source +copy):\n%s", d)
	}
}

func TestOwnerWithoutAPlace(t *testing.T) {
	testutil.RequireRoot(t)
	src := filepath.Join(t.TempDir(), "src")
	sample(t, src)
	dst := copied(t, src, treecopy.Options{Move: idmap.Move{To: shifted(300000, 30)}})
	var st unix.Stat_t
	must(t, unix.Lstat(filepath.Join(dst, "a/b/small"), &st))
	if st.Uid != 300012 || st.Gid != idmap.Nobody {
		t.Errorf("a/b/small is %d:%d", st.Uid, st.Gid)
	}
}

func TestAllAttributes(t *testing.T) {
	testutil.RequireRoot(t)
	src := filepath.Join(t.TempDir(), "src")
	write(t, filepath.Join(src, "f"), nil)
	for _, name := range []string{"user.a", "trusted.other"} {
		must(t, unix.Setxattr(filepath.Join(src, "f"), name, []byte("1"), 0))
	}
	dst := copied(t, src, treecopy.Options{AllXattrs: true})
	if line := testutil.Tree(t, dst)[1]; !strings.Contains(line, ` trusted.other="1",user.a="1" `) {
		t.Error(line)
	}
}

// TestShared: names of the same inodes, in directories of the copy's own.
func TestShared(t *testing.T) {
	testutil.RequireRoot(t)
	src := filepath.Join(t.TempDir(), "src")
	sample(t, src)
	dst := copied(t, src, treecopy.Options{Share: true})
	if d := cmp.Diff(testutil.Tree(t, src), testutil.Tree(t, dst)); d != "" {
		t.Errorf("copy differs (-source +copy):\n%s", d)
	}
	for name, shared := range map[string]bool{"a/file": true, "link": true, "null": true, "a": false} {
		var one, two unix.Stat_t
		must(t, unix.Lstat(filepath.Join(src, name), &one))
		must(t, unix.Lstat(filepath.Join(dst, name), &two))
		if (one.Ino == two.Ino) != shared {
			t.Errorf("%s: inodes %d and %d, want one: %t", name, one.Ino, two.Ino, shared)
		}
	}
}

// TestSharedWhereItCanNotBe: another file system has no names of this one's inodes.
func TestSharedWhereItCanNotBe(t *testing.T) {
	testutil.RequireRoot(t)
	src, other := filepath.Join(t.TempDir(), "src"), t.TempDir()
	sample(t, src)
	must(t, unix.Mount("tmpfs", other, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(other, unix.MNT_DETACH)) })
	must(t, treecopy.Copy(t.Context(), other, src, treecopy.Options{Share: true}))
	if d := cmp.Diff(testutil.Tree(t, src), testutil.Tree(t, other)); d != "" {
		t.Errorf("copy differs (-source +copy):\n%s", d)
	}
}

func TestWhiteoutsWithoutPrivilege(t *testing.T) {
	testutil.RequireRoot(t)
	src := filepath.Join(t.TempDir(), "src")
	write(t, filepath.Join(src, "f"), nil)
	must(t, unix.Mknod(filepath.Join(src, "gone"), unix.S_IFCHR|0o600, 0))
	dst := copied(t, src, treecopy.Options{Unprivileged: true, Whiteouts: true})
	if d := cmp.Diff(testutil.Tree(t, src), testutil.Tree(t, dst)); d != "" {
		t.Errorf("copy differs (-source +copy):\n%s", d)
	}
}

package archive_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

// build makes a tree of steps in a new directory.
func build(t testing.TB, steps ...step) string {
	t.Helper()
	dir := tempDir(t)
	check(t, os.Chmod(dir, 0o755))
	run(t, dir, 0, steps)
	return dir
}

func compare(t testing.TB, dir, base string, opts archive.CompareOptions) []string {
	t.Helper()
	changes, err := archive.Compare(context.Background(), dir, base, opts)
	if err != nil {
		t.Fatalf("compare: %v", err)
	}
	return lines(changes)
}

func TestComparePair(t *testing.T) {
	testutil.RequireRoot(t)
	at := func(sec, nsec int64, s ...step) []step { return append(s, touch("/f", sec, nsec)) }
	tests := []struct {
		name     string
		now, old []step
		trust    bool
		differ   bool
	}{
		{"equal to the nanosecond", at(9, 5, file("/f", "one")), at(9, 5, file("/f", "two")), false, false},
		{"another nanosecond", at(9, 5, file("/f", "one")), at(9, 6, file("/f", "one")), false, true},
		{"another second", at(9, 0, file("/f", "one")), at(10, 0, file("/f", "one")), false, true},
		{"old has whole seconds, same content", at(9, 5, file("/f", "one")), at(9, 0, file("/f", "one")), false, false},
		{"old has whole seconds, other content", at(9, 5, file("/f", "one")), at(9, 0, file("/f", "two")), false, true},
		{"new has whole seconds, same content", at(9, 0, file("/f", "one")), at(9, 5, file("/f", "one")), false, false},
		{"both have whole seconds, other content", at(9, 0, file("/f", "one")), at(9, 0, file("/f", "two")), false, true},
		{"whole seconds trusted", at(9, 0, file("/f", "one")), at(9, 0, file("/f", "two")), true, false},
		{"old has whole seconds, trusted", at(9, 5, file("/f", "one")), at(9, 0, file("/f", "two")), true, false},
		{"size", at(9, 5, file("/f", "one")), at(9, 5, file("/f", "three")), true, true},
		{"difference beyond a buffer", at(9, 0, file("/f", long(1<<20)+"a")), at(9, 0, file("/f", long(1<<20)+"b")), false, true},
		{"mode", at(9, 5, file("/f", ""), chmod("/f", 0o600)), at(9, 5, file("/f", "")), false, true},
		{"set-user-ID", at(9, 5, file("/f", ""), chmod("/f", 0o4644)), at(9, 5, file("/f", "")), false, true},
		{"user", at(9, 5, file("/f", ""), chown("/f", 1, 0)), at(9, 5, file("/f", "")), false, true},
		{"group", at(9, 5, file("/f", ""), chown("/f", 0, 1)), at(9, 5, file("/f", "")), false, true},
		{"type", at(9, 5, symlink("a", "/f")), at(9, 5, file("/f", "a")), false, true},
		{"target", at(9, 5, symlink("a", "/f")), at(9, 5, symlink("b", "/f")), false, true},
		{"same target", at(9, 5, symlink("a", "/f")), at(9, 5, symlink("a", "/f")), false, false},
		{"time of a symbolic link", at(9, 5, symlink("a", "/f")), at(8, 5, symlink("a", "/f")), false, true},
		{"device number", at(9, 5, special("/f", unix.S_IFBLK, 7, 1)), at(9, 5, special("/f", unix.S_IFBLK, 7, 2)), false, true},
		{"same device", at(9, 5, special("/f", unix.S_IFBLK, 7, 1)), at(9, 5, special("/f", unix.S_IFBLK, 7, 1)), false, false},
		{"fifo", at(9, 5, special("/f", unix.S_IFIFO, 0, 0)), at(9, 5, special("/f", unix.S_IFIFO, 0, 0)), false, false},
		{"time of a directory", at(9, 5, mkdir("/f", 0o755)), at(8, 5, mkdir("/f", 0o755)), false, true},
		{"same directory", at(9, 5, mkdir("/f", 0o755)), at(9, 5, mkdir("/f", 0o755)), false, false},
		{"user attribute", at(9, 5, file("/f", ""), setXattr("/f", "user.a", "")), at(9, 5, file("/f", "")), false, true},
		{"value of a user attribute", at(9, 5, file("/f", ""), setXattr("/f", "user.a", "1")), at(9, 5, file("/f", ""), setXattr("/f", "user.a", "2")), false, true},
		{"attribute of a directory", at(9, 5, mkdir("/f", 0o755), setXattr("/f", "user.a", "1")), at(9, 5, mkdir("/f", 0o755)), false, true},
		{"capability", at(9, 5, file("/f", ""), setXattr("/f", "security.capability", capNetRaw)), at(9, 5, file("/f", "")), false, true},
		{"same attributes in another order", at(9, 5, file("/f", ""), setXattr("/f", "user.b", "1"), setXattr("/f", "user.a", "1")),
			at(9, 5, file("/f", ""), setXattr("/f", "user.a", "1"), setXattr("/f", "user.b", "1")), false, false},
		{"attributes that are no content", at(9, 5, file("/f", ""), setXattr("/f", "user.overlay.origin", "1"), setXattr("/f", "trusted.x", "1")), at(9, 5, file("/f", "")), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := compare(t, build(t, tt.now...), build(t, tt.old...), archive.CompareOptions{TrustWholeSeconds: tt.trust})
			want := []string{}
			if tt.differ {
				want = []string{`Modify "/f"`}
			}
			same(t, "changes", got, want)
		})
	}
}

func TestComparePrunesTheSameFile(t *testing.T) {
	testutil.RequireRoot(t)
	old := build(t, mkdir("/d", 0o755), file("/d/f", "f"), file("/g", "g"))
	now := subdir(t, tempDir(t), "now")
	run(t, now, 0, []step{mkdir("/d", 0o755)})
	check(t, unix.Mount(in(old, "/d"), in(now, "/d"), "", unix.MS_BIND, ""))
	defer func() { check(t, unix.Unmount(in(now, "/d"), 0)) }()
	check(t, os.Link(in(old, "/g"), in(now, "/g")))
	same(t, "changes", compare(t, now, old, archive.CompareOptions{}), []string{})
	same(t, "changes against itself", compare(t, old, old, archive.CompareOptions{}), []string{})
}

func TestCompareTranslatesOwners(t *testing.T) {
	testutil.RequireRoot(t)
	shift := func(host int) idmap.Mapping {
		r := []idmap.Range{{ContainerID: 0, HostID: host, Size: 10}}
		return idmap.Mapping{UIDs: r, GIDs: r}
	}
	now := build(t, file("/a", ""), file("/b", ""), file("/odd", ""),
		chown("/a", 100_005, 100_006), chown("/b", 100_000, 100_001), chown("/odd", 7, 7))
	old := build(t, file("/a", ""), file("/b", ""), file("/odd", ""),
		chown("/a", 200_005, 200_006), chown("/b", 200_000, 200_000), chown("/odd", 7, 7))
	opts := archive.CompareOptions{Mapping: shift(100_000), BaseMapping: shift(200_000)}
	same(t, "changes", compare(t, now, old, opts), []string{`Modify "/b"`})
	same(t, "changes without maps", compare(t, now, old, archive.CompareOptions{}), []string{`Modify "/a"`, `Modify "/b"`})
}

// A file capability set inside of a user namespace names that namespace's root;
// seen from inside it is the plain one.
func TestCompareTranslatesCapabilities(t *testing.T) {
	testutil.RequireRoot(t)
	shifted := "\x01\x00\x00\x03" + capNetRaw[4:] + "\xa0\x86\x01\x00" // root user 100000
	r := []idmap.Range{{ContainerID: 0, HostID: 100_000, Size: 10}}
	now := build(t, file("/f", ""), chown("/f", 100_000, 100_000), setXattr("/f", "security.capability", shifted))
	old := build(t, file("/f", ""), setXattr("/f", "security.capability", capNetRaw))
	opts := archive.CompareOptions{Mapping: idmap.Mapping{UIDs: r, GIDs: r}}
	same(t, "changes", compare(t, now, old, opts), []string{})
}

func TestCompareErrors(t *testing.T) {
	dir := tempDir(t)
	if _, err := archive.Compare(context.Background(), filepath.Join(dir, "absent"), "", archive.CompareOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent tree: %v", err)
	}
	if _, err := archive.Compare(context.Background(), dir, filepath.Join(dir, "absent"), archive.CompareOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent base: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	check(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o644))
	if _, err := archive.Compare(ctx, dir, "", archive.CompareOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestCompareStopsAtDeepTrees(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir() // with a file system in memory: so many directories take seconds on a disk
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	defer func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	fd, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	check(t, err)
	for range 4200 {
		check(t, unix.Mkdirat(fd, "d", 0o755))
		next, err := unix.Openat(fd, "d", unix.O_DIRECTORY, 0)
		check(t, errors.Join(err, unix.Close(fd)))
		fd = next
	}
	check(t, unix.Close(fd))
	if _, err = archive.Compare(context.Background(), dir, "", archive.CompareOptions{}); !errors.Is(err, errdefs.ErrLimit) {
		t.Errorf("error is %v, want a limit", err)
	}
}

package treecopy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/internal/treecopy"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// copied copies src into a new directory beside it.
func copied(t testing.TB, src string, opts treecopy.Options) string {
	t.Helper()
	dst := src + "-copy"
	must(t, os.Mkdir(dst, 0o700))
	must(t, treecopy.Copy(t.Context(), dst, src, opts))
	return dst
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, content, 0o644))
}

// sample is a tree with everything that a layer can hold.
func sample(t testing.TB, src string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(src, name) }
	must(t, os.MkdirAll(at("a/b/empty"), 0o755))
	write(t, at("a/file"), bytes.Repeat([]byte("x"), 100_000))
	write(t, at("a/b/small"), []byte("small"))
	write(t, at("a/b/none"), nil)
	must(t, os.Link(at("a/file"), at("a/b/hard")))
	must(t, os.Link(at("a/file"), at("zhard")))
	must(t, os.Symlink("/etc/passwd", at("link")))
	must(t, os.Link(at("link"), at("a/link2")))
	must(t, os.Symlink(strings.Repeat("t/", 1000), at("long")))
	must(t, unix.Mkfifo(at("fifo"), 0o620))
	must(t, unix.Mknod(at("sock"), unix.S_IFSOCK|0o600, 0))
	must(t, unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(at("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 70000))))
	must(t, unix.Setxattr(at("a"), "user.dir", []byte("d"), 0))
	must(t, unix.Setxattr(at("a"), "trusted.overlay.opaque", []byte("y"), 0))
	must(t, unix.Setxattr(at("a/b/small"), "user.big", bytes.Repeat([]byte("v"), 2000), 0))
	must(t, unix.Setxattr(at("a/b/small"), "user.empty", nil, 0))
	must(t, os.Chown(at("a/b/small"), 12, 34))
	must(t, os.Lchown(at("link"), 56, 78))
	must(t, os.Chown(at("fifo"), 1, 2))
	must(t, unix.Chmod(at("a/b/small"), 0o6711))
	must(t, unix.Setxattr(at("a/b/small"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	must(t, os.Chown(at("a/b"), 5, 6))
	must(t, unix.Chmod(at("a/b"), 0o3751))
	n := 0
	must(t, filepath.WalkDir(src, func(path string, _ fs.DirEntry, err error) error {
		n++
		ts := unix.NsecToTimespec(time.Date(2001, 2, 3, 4, 5, n, n*1001, time.UTC).UnixNano())
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}))
}

func TestCopyIsTheSame(t *testing.T) {
	testutil.RequireRoot(t)
	for _, workers := range []int{0, 1, 7} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			src := filepath.Join(t.TempDir(), "src")
			sample(t, src)
			must(t, unix.Chmod(src, 0o1711))
			dst := copied(t, src, treecopy.Options{Workers: workers})
			want := testutil.Tree(t, src)
			if d := cmp.Diff(want, testutil.Tree(t, dst)); d != "" {
				t.Errorf("copy differs (-source +copy):\n%s", d)
			}
			if len(want) != 16 {
				t.Errorf("the sample has %d objects", len(want))
			}
		})
	}
}

// TestOnlyLayerAttributes: on-disk format, chapter 5, says which are copied.
func TestOnlyLayerAttributes(t *testing.T) {
	testutil.RequireRoot(t)
	src := filepath.Join(t.TempDir(), "src")
	write(t, filepath.Join(src, "f"), nil)
	for _, name := range []string{"user.a", "trusted.overlay.opaque", "trusted.overlay.origin", "trusted.other"} {
		must(t, unix.Setxattr(filepath.Join(src, "f"), name, []byte("1"), 0))
	}
	for unprivileged, want := range map[bool]string{
		false: `trusted.overlay.opaque="1",user.a="1"`, true: `user.a="1"`,
	} {
		dst := copied(t, src, treecopy.Options{Unprivileged: unprivileged})
		if line := testutil.Tree(t, dst)[1]; !strings.Contains(line, " "+want+" ") {
			t.Errorf("unprivileged %v: %s, want %s", unprivileged, line, want)
		}
		must(t, os.RemoveAll(dst))
	}
}

func TestUnprivilegedSkipsDevices(t *testing.T) {
	testutil.RequireRoot(t)
	src := filepath.Join(t.TempDir(), "src")
	sample(t, src)
	must(t, os.Link(filepath.Join(src, "null"), filepath.Join(src, "null2")))
	dst := copied(t, src, treecopy.Options{Unprivileged: true})
	for name, want := range map[string]bool{"null": false, "null2": false, "disk": false, "fifo": true, "sock": true, "link": true} {
		if _, err := os.Lstat(filepath.Join(dst, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it copied: %v", name, err, want)
		}
	}
}

// sparseFile has data, a hole, data, and a hole at its end.
func sparseFile(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	for _, off := range []int64{0, 8 << 20} {
		_, err = f.WriteAt(bytes.Repeat([]byte("data"), 1024), off)
		must(t, err)
	}
	must(t, f.Truncate(32<<20))
	must(t, f.Close())
}

func TestHolesStayHoles(t *testing.T) {
	src := filepath.Join(t.TempDir(), "src")
	must(t, os.Mkdir(src, 0o755))
	sparseFile(t, filepath.Join(src, "sparse"))
	must(t, os.WriteFile(filepath.Join(src, "hole"), nil, 0o600))
	must(t, os.Truncate(filepath.Join(src, "hole"), 1<<30))
	dst := copied(t, src, treecopy.Options{})
	for name, size := range map[string]int64{"sparse": 32 << 20, "hole": 1 << 30} {
		fi, err := os.Stat(filepath.Join(dst, name))
		must(t, err)
		if blocks := fi.Sys().(*syscall.Stat_t).Blocks; fi.Size() != size || blocks > 64 {
			t.Errorf("%s: %d bytes in %d blocks", name, fi.Size(), blocks)
		}
	}
	a, err := os.ReadFile(filepath.Join(src, "sparse"))
	must(t, err)
	b, err := os.ReadFile(filepath.Join(dst, "sparse"))
	must(t, err)
	if !bytes.Equal(a, b) {
		t.Error("content differs")
	}
}

// TestAcrossFileSystems copies where neither reflinks nor copies inside the kernel may work.
func TestAcrossFileSystems(t *testing.T) {
	shm, err := os.MkdirTemp("/dev/shm", "treecopy") //nolint:usetesting // another file system is the point
	if err != nil {
		t.Skip("no tmpfs to write to: ", err)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(shm)) })
	src := filepath.Join(t.TempDir(), "src")
	write(t, filepath.Join(src, "d/big"), bytes.Repeat([]byte("0123456789"), 200_000))
	sparseFile(t, filepath.Join(src, "sparse"))
	must(t, treecopy.Copy(t.Context(), shm, src, treecopy.Options{}))
	ignore := []testutil.TreeOption{testutil.IgnoreXattrs}
	if d := cmp.Diff(testutil.Tree(t, src, ignore...), testutil.Tree(t, shm, ignore...)); d != "" {
		t.Errorf("copy differs:\n%s", d)
	}
}

// TestLinksLeadNowhere: a link in the source is copied, not followed, also as the root.
func TestLinksLeadNowhere(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	write(t, filepath.Join(src, "f"), nil)
	must(t, os.Symlink(src, filepath.Join(dir, "alias")))
	must(t, os.Mkdir(filepath.Join(dir, "dst"), 0o700))
	if err := treecopy.Copy(t.Context(), filepath.Join(dir, "dst"), filepath.Join(dir, "alias"), treecopy.Options{}); err == nil {
		t.Error("a link was taken for the source")
	}
	if err := treecopy.Copy(t.Context(), filepath.Join(dir, "alias"), src, treecopy.Options{}); err == nil {
		t.Error("a link was taken for the target")
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
	write(t, filepath.Join(src, "d/f"), []byte("x"))
	must(t, os.Mkdir(dst, 0o700))
	if err := treecopy.Copy(t.Context(), dst, filepath.Join(dir, "none"), treecopy.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no source: %v", err)
	}
	if err := treecopy.Copy(t.Context(), filepath.Join(dir, "none"), src, treecopy.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no target: %v", err)
	}
	write(t, filepath.Join(dst, "d/f"), []byte("y"))
	err := treecopy.Copy(t.Context(), dst, src, treecopy.Options{})
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "/d") {
		t.Errorf("target is not empty: %v, want ErrExist with the path", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, os.RemoveAll(filepath.Join(dst, "d")))
	if err := treecopy.Copy(ctx, dst, src, treecopy.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestReflink makes an XFS in a file, fills it more than half, and copies: that only fits
// if the content is shared.
func TestReflink(t *testing.T) {
	testutil.RequireRoot(t)
	mkfs := testutil.RequireProgram(t, "mkfs.xfs")
	mnt := mountImage(t, mkfs, 512<<20)
	src := filepath.Join(mnt, "src")
	content := bytes.Repeat([]byte("reflink "), 16<<20/8)
	for n := range 16 { // 256 MiB
		write(t, filepath.Join(src, fmt.Sprint(n)), content)
	}
	dst := copied(t, src, treecopy.Options{})
	if d := cmp.Diff(testutil.Tree(t, src), testutil.Tree(t, dst)); d != "" {
		t.Errorf("copy differs:\n%s", d)
	}
}

// mountImage makes and mounts a file system in a file of that many bytes.
func mountImage(t *testing.T, mkfs string, size int64) string {
	t.Helper()
	dir := t.TempDir()
	image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, size))
	must(t, os.Mkdir(mnt, 0o700))
	if out, err := exec.Command(mkfs, "-q", "-m", "reflink=1", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs: %v\n%s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, mnt).CombinedOutput(); err != nil {
		t.Skipf("no loop mounts here: %v\n%s", err, out)
	}
	t.Cleanup(func() { must(t, unix.Unmount(mnt, unix.MNT_DETACH)) })
	return mnt
}

func BenchmarkCopy(b *testing.B) {
	dir := b.TempDir()
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
	for n := range 2000 {
		write(b, filepath.Join(src, fmt.Sprint(n%40), fmt.Sprint(n)), bytes.Repeat([]byte("strata"), n%17*80))
	}
	for b.Loop() {
		must(b, os.Mkdir(dst, 0o700))
		must(b, treecopy.Copy(b.Context(), dst, src, treecopy.Options{}))
		b.StopTimer()
		must(b, os.RemoveAll(dst))
		b.StartTimer()
	}
}

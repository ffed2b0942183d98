package tree

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func sample(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	must(t, os.MkdirAll(dir+"/sub/deep", 0o750), os.WriteFile(dir+"/file", []byte("content"), 0o640),
		os.Link(dir+"/file", dir+"/sub/link"), os.Symlink("/etc/passwd", dir+"/symlink"),
		unix.Mkfifo(dir+"/fifo", 0o600), unix.Mknod(dir+"/sub/gone", unix.S_IFCHR, 0),
		unix.Lsetxattr(dir+"/sub", "trusted.overlay.opaque", []byte("y"), 0),
		unix.Lsetxattr(dir+"/file", "user.k", []byte("v"), 0),
		os.Lchown(dir+"/symlink", 12, 34), os.Chown(dir+"/sub/deep", 5, 6), os.Chmod(dir+"/sub/deep", os.ModeSticky|0o777))
	sparse, err := os.Create(dir + "/sparse")
	must(t, err)
	_, err = sparse.WriteAt([]byte("end"), 1<<20)
	must(t, err, sparse.Truncate(2<<20), sparse.Close())
	return dir
}

func TestCopyKeepsEverything(t *testing.T) {
	testutil.RequireRoot(t)
	src, dst := sample(t), t.TempDir()
	must(t, Copy(t.Context(), dst, src))
	if diff := cmp.Diff(testutil.Tree(t, src), testutil.Tree(t, dst)); diff != "" {
		t.Error(diff)
	}
	var st unix.Stat_t
	must(t, unix.Stat(dst+"/sparse", &st))
	if st.Blocks*512 >= 1<<20 {
		t.Errorf("holes were filled: %d bytes on disk", st.Blocks*512)
	}
	size, err := Size(t.Context(), dst)
	if err != nil || size != 7+(2<<20) {
		t.Errorf("size %d, error %v", size, err)
	}
}

func TestRemove(t *testing.T) {
	testutil.RequireRoot(t)
	src := sample(t)
	must(t, Remove(src), Remove(src))
	if _, err := os.Lstat(src); !os.IsNotExist(err) {
		t.Error("still there")
	}
	if _, err := os.Stat("/etc/passwd"); err != nil {
		t.Fatal("a link was followed")
	}
}

func TestRemoveOfAVeryDeepTree(t *testing.T) {
	top := filepath.Join(t.TempDir(), "deep")
	must(t, os.Mkdir(top, 0o700))
	fd, err := unix.Open(top, unix.O_PATH|unix.O_DIRECTORY, 0)
	must(t, err)
	for range 2100 { // a path of 4200 bytes, which no single call takes
		must(t, unix.Mkdirat(fd, "d", 0o700))
		next, err := unix.Openat(fd, "d", unix.O_PATH|unix.O_DIRECTORY, 0)
		must(t, err, unix.Close(fd))
		fd = next
	}
	must(t, unix.Close(fd), Remove(top))
}

func TestRemoveNeverEntersAMount(t *testing.T) {
	testutil.RequireRoot(t)
	for _, kind := range []string{"directory", "file"} {
		t.Run(kind, func(t *testing.T) {
			precious := t.TempDir()
			must(t, os.WriteFile(precious+"/keep", nil, 0o600))
			tree := filepath.Join(t.TempDir(), "tree")
			from, to := precious, tree+"/a/mnt"
			must(t, os.MkdirAll(tree+"/a", 0o700))
			if kind == "file" {
				from = precious + "/keep"
				must(t, os.WriteFile(to, nil, 0o600))
			} else {
				must(t, os.Mkdir(to, 0o700))
			}
			must(t, unix.Mount(from, to, "", unix.MS_BIND, "")) // of the same file system
			defer unix.Unmount(to, unix.MNT_DETACH)
			if err := Remove(tree); kind == "directory" && !errors.Is(err, ErrMounted) {
				t.Errorf("error is %v", err)
			}
			if _, err := os.Stat(precious + "/keep"); err != nil {
				t.Error("the mount was entered")
			}
		})
	}
}

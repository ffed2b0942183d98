package dedupe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/dedupe"
	"github.com/stratastore/strata/internal/testutil"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// xfs mounts a fresh file system with reflinks.
func xfs(t *testing.T) string {
	t.Helper()
	testutil.RequireRoot(t)
	testutil.RequireProgram(t, "mkfs.xfs")
	testutil.RequireProgram(t, "mount")
	dir := t.TempDir()
	disk, root := filepath.Join(dir, "disk"), filepath.Join(dir, "root")
	must(t, os.WriteFile(disk, nil, 0o600))
	must(t, os.Truncate(disk, 400<<20))
	must(t, os.Mkdir(root, 0o755))
	for _, words := range [][]string{{"mkfs.xfs", "-q", "-m", "reflink=1", disk}, {"mount", "-o", "loop", disk, root}} {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", words, err, out)
		}
	}
	t.Cleanup(func() { must(t, testutil.Unmount(root)) })
	return root
}

// content is the same bytes for the same seed.
func content(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// state is what must not change: content, times and owners of every file.
func state(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		data, err := os.ReadFile(path)
		out[path] = fmt.Sprintf("%d %v %v %v %d %x", st.Ino, st.Mode, st.Mtim, st.Ctim, st.Uid, data)
		return err
	}))
	return out
}

func used(t *testing.T, root string) uint64 {
	t.Helper()
	unix.Sync()
	var st unix.Statfs_t
	must(t, unix.Statfs(root, &st))
	return (st.Blocks - st.Bfree) * uint64(st.Bsize)
}

func TestTrees(t *testing.T) {
	root := xfs(t)
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	must(t, os.MkdirAll(a+"/sub", 0o755))
	must(t, os.MkdirAll(b, 0o755))
	big := content(1, 17<<20+123) // more than one call compares, and no whole block at its end
	small := content(2, 5000)
	head := append(bytes.Clone(small[:4096]), content(3, 904)...) // the same first block
	for name, data := range map[string][]byte{
		a + "/big": big, b + "/big2": big,
		a + "/small": small, a + "/sub/small2": small, b + "/small3": small,
		b + "/head": head, b + "/other": content(4, 5000),
		a + "/tiny": []byte("x"), b + "/tiny": []byte("x"),
		a + "/empty": nil, b + "/empty": nil,
	} {
		must(t, os.WriteFile(name, data, 0o644))
	}
	must(t, os.Link(a+"/small", b+"/link"))
	must(t, os.Symlink("/etc/passwd", b+"/symlink"))
	must(t, unix.Mkfifo(b+"/fifo", 0o600))
	before, usedBefore := state(t, root), used(t, root)
	wantBytes := int64(len(big) + 2*len(small) + 1)
	for i, method := range []dedupe.Method{dedupe.Size, dedupe.CRC, dedupe.SHA256} {
		got, err := dedupe.Trees(t.Context(), []string{a, b, root + "/nothing"}, dedupe.Options{Method: method, Workers: 2})
		must(t, err)
		want := dedupe.Result{Files: 9, Shared: 4, Bytes: wantBytes}
		if i == 0 {
			want.New = wantBytes
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("run %d: %s", i, diff)
		}
	}
	if diff := cmp.Diff(before, state(t, root)); diff != "" {
		t.Error("files changed")
	}
	if saved := int64(usedBefore) - int64(used(t, root)); saved < int64(len(big))-1<<20 {
		t.Errorf("saved %d bytes of %d", saved, wantBytes)
	}
}

func TestTreesWithoutReflinks(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/a", []byte("same"), 0o600))
	none, err := dedupe.Trees(t.Context(), []string{dir}, dedupe.Options{})
	must(t, err)
	if diff := cmp.Diff(dedupe.Result{Files: 1}, none); diff != "" {
		t.Error(diff)
	}
	must(t, os.WriteFile(dir+"/b", []byte("same"), 0o600))
	if reflinks(t, dir) {
		t.Skip("this file system can share data")
	}
	_, err = dedupe.Trees(t.Context(), []string{dir}, dedupe.Options{})
	if !errors.Is(err, dedupe.ErrUnsupported) || !errors.Is(err, errdefs.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// reflinks reports whether the file system can clone a file.
func reflinks(t *testing.T, dir string) bool {
	t.Helper()
	from, err := os.Open(dir + "/a")
	must(t, err)
	defer from.Close()
	to, err := os.Create(filepath.Join(t.TempDir(), "clone"))
	must(t, err)
	defer to.Close()
	return unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil
}

func TestTreesCancelled(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/a", []byte("same"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dedupe.Trees(ctx, []string{dir}, dedupe.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

package filecopy_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/filecopy"
	"github.com/stratastore/strata/internal/testutil"
)

// TestCopyOfWhatMoves: a directory is copied as it is met, whatever happens in it between a
// look at a name and its use.
func TestCopyOfWhatMoves(t *testing.T) {
	replace := func(path, by string) {
		must(t, os.RemoveAll(path))
		write(t, path, by, 0o644)
	}
	for _, tt := range []struct {
		name, file string
		do         func(path string)
		want       string // "" for nothing
	}{
		{"a file goes", "d/f", func(path string) { must(t, os.Remove(path)) }, ""},
		{"a directory goes", "d/sub", func(path string) { must(t, os.RemoveAll(path)) }, ""},
		{"a link goes", "d/link", func(path string) { must(t, os.Remove(path)) }, ""},
		{"a file is replaced", "d/f", func(path string) {
			must(t, os.Rename(path, path+"-old")) // so that the new one has an inode of its own
			write(t, path, "new", 0o644)
		}, "new"},
		{"a directory becomes a file", "d/sub", func(path string) { replace(path, "new") }, "new"},
		{"a link becomes a file", "d/link", func(path string) { replace(path, "new") }, "new"},
		{"a file becomes a link", "d/f", func(path string) {
			must(t, os.Remove(path))
			must(t, os.Symlink("other", path))
		}, "kept"},
	} {
		for _, merged := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				src, dst := t.TempDir(), t.TempDir()
				for _, name := range []string{"d/f", "d/sub/f", "d/other"} {
					write(t, filepath.Join(src, name), "kept", 0o644)
				}
				must(t, os.Symlink("other", src+"/d/link"))
				if merged {
					must(t, os.Mkdir(dst+"/d", 0o755))
				}
				copyWhile(t, src, dst, tt.file, func() { tt.do(filepath.Join(src, tt.file)) })
				got, err := os.ReadFile(filepath.Join(dst, tt.file))
				if string(got) != tt.want || (tt.want == "") != errors.Is(err, os.ErrNotExist) {
					t.Errorf("merged %t: %q, %v; want %q", merged, got, err, tt.want)
				}
				if got, err := os.ReadFile(dst + "/d/other"); string(got) != "kept" {
					t.Errorf("merged %t: the other file: %q, %v", merged, got, err)
				}
			})
		}
	}
}

// copyWhile copies src/d to dst/d and does something to a file that was looked at already.
func copyWhile(t *testing.T, src, dst, file string, do func()) {
	t.Helper()
	defer faults.Enable(faults.Rule{Point: "filecopy.entry", Under: file, Times: 1, Do: do})()
	must(t, filecopy.Copy(t.Context(), filecopy.Place{Root: open(t, src), Name: "d"}, filecopy.Place{Root: open(t, dst), Name: "d"}, filecopy.Options{}))
}

// TestCopyOfWhatIsNeverTheSame gives up on a file that is another one at each look.
func TestCopyOfWhatIsNeverTheSame(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/d/deep/f", "x", 0o644)
	looks := 0
	defer faults.Enable(faults.Rule{Point: "filecopy.entry", Under: "d/deep/f", Do: func() {
		looks++
		must(t, os.Rename(src+"/d/deep/f", src+"/old"))
		write(t, src+"/d/deep/f", "x", 0o644)
	}})()
	err := filecopy.Copy(t.Context(), filecopy.Place{Root: open(t, src), Name: "d"}, filecopy.Place{Root: open(t, dst), Name: "d"}, filecopy.Options{})
	if !errors.Is(err, filecopy.ErrReplaced) || looks > 20 {
		t.Errorf("after %d looks: %v", looks, err)
	}
	if left, err := os.ReadDir(dst); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestCopyOfAWhiteout: the kernel lists whiteouts of a directory with nothing below it.
func TestCopyOfAWhiteout(t *testing.T) {
	testutil.RequireRoot(t)
	dir, dst := t.TempDir(), t.TempDir()
	write(t, dir+"/lower/d/f", "kept", 0o644)
	must(t, unix.Mknod(dir+"/lower/d/gone", unix.S_IFCHR, 0))
	for _, name := range []string{"empty", "merged"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	must(t, unix.Mount("overlay", dir+"/merged", "overlay", unix.MS_RDONLY, "lowerdir="+dir+"/empty:"+dir+"/lower"))
	defer func() { must(t, unix.Unmount(dir+"/merged", unix.MNT_DETACH)) }()
	from := filecopy.Place{Root: open(t, dir+"/merged"), Name: "d"}
	must(t, filecopy.Copy(t.Context(), from, filecopy.Place{Root: open(t, dst), Name: "d"}, filecopy.Options{}))
	if entries, err := os.ReadDir(dst + "/d"); err != nil || len(entries) != 1 {
		t.Errorf("copied: %v, %v", entries, err)
	}
}

package filecopy_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/filecopy"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

// leftover makes a temporary file of a process that lives or was killed.
func leftover(t *testing.T, dir string, alive bool) string {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	must(t, cmd.Start())
	name := filecopy.TempNameOf(cmd.Process.Pid)
	if alive {
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	} else {
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
	}
	write(t, filepath.Join(dir, name), "rest", 0o600)
	return name
}

// TestLeftoversAreSwept: those of the living, and other files, stay.
func TestLeftoversAreSwept(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/d/f", "new", 0o644)
	write(t, src+"/d/sub/f", "new", 0o644)
	write(t, dst+"/d/f", "old", 0o644)
	must(t, os.Mkdir(dst+"/d/sub", 0o755))
	must(t, os.Symlink("f", src+"/d/sub/link"))
	dead := []string{leftover(t, dst+"/d", false), leftover(t, dst+"/d/sub", false)}
	live := leftover(t, dst+"/d", true)
	other := ".strata-copy-of-mine"
	write(t, dst+"/d/"+other, "x", 0o600)
	must(t, filecopy.Copy(t.Context(), filecopy.Place{Root: open(t, src), Name: "d"}, filecopy.Place{Root: open(t, dst), Name: "d"}, filecopy.Options{}))
	for name, stays := range map[string]bool{"d/" + dead[0]: false, "d/sub/" + dead[1]: false, "d/" + live: true, "d/" + other: true} {
		if _, err := os.Lstat(filepath.Join(dst, name)); (err == nil) != stays {
			t.Errorf("%s: %v, want it there: %t", name, err, stays)
		}
	}
	if got, err := os.ReadFile(dst + "/d/f"); err != nil || string(got) != "new" {
		t.Errorf("copied %q, %v", got, err)
	}
}

// TestNothingStaysOfAFileThatFails: with nameless files not even of a copy that is killed.
func TestNothingStaysOfAFileThatFails(t *testing.T) {
	testutil.RequireRoot(t)
	src, small := t.TempDir(), t.TempDir()
	must(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { must(t, unix.Unmount(small, unix.MNT_DETACH)) })
	write(t, src+"/large", strings.Repeat("x", 1<<20), 0o644)
	write(t, small+"/old", "old", 0o644)
	for _, name := range []string{"new", "old"} {
		err := filecopy.Copy(t.Context(), filecopy.Place{Root: open(t, src), Name: "large"}, filecopy.Place{Root: open(t, small), Name: name}, filecopy.Options{})
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
	}
	entries, err := os.ReadDir(small)
	must(t, err)
	if got, err := os.ReadFile(small + "/old"); len(entries) != 1 || err != nil || string(got) != "old" {
		t.Errorf("there are %v, old is %q, %v", entries, got, err)
	}
	// What was made without a name has one at once.
	must(t, os.Truncate(src+"/large", 10))
	must(t, filecopy.Copy(context.Background(), filecopy.Place{Root: open(t, src), Name: "large"}, filecopy.Place{Root: open(t, small), Name: "new"}, filecopy.Options{}))
	if st := stat(t, small+"/new"); st.Nlink != 1 || st.Mode&0o7777 != 0o644 || st.Size != 10 {
		t.Errorf("%+v", st)
	}
}

// TestNewDirectoryIsWholeOrNot: it appears when it is complete, with the links in it.
func TestNewDirectoryIsWholeOrNot(t *testing.T) {
	testutil.RequireRoot(t)
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/d/a", "one", 0o640)
	write(t, src+"/d/sub/deep/c", "c", 0o640)
	must(t, os.Link(src+"/d/a", src+"/d/sub/b"))
	must(t, os.Symlink("a", src+"/d/link"))
	must(t, os.Mkdir(src+"/other", 0o755))
	must(t, os.Link(src+"/d/a", src+"/other/again"))
	from, to := open(t, src), open(t, dst)
	whole := func(name string) filecopy.Place { return filecopy.Place{Root: to, Name: name} }
	must(t, filecopy.Copy(t.Context(), filecopy.Place{Root: from, Name: "."}, whole("new"), filecopy.Options{}))
	if a, b, again := stat(t, dst+"/new/d/a"), stat(t, dst+"/new/d/sub/b"), stat(t, dst+"/new/other/again"); a.Ino != b.Ino || a.Ino != again.Ino {
		t.Error("what was one file is several")
	}
	// Links from one new directory to another that is complete already.
	must(t, filecopy.Copy(t.Context(), filecopy.Place{Root: from, Name: "."}, whole("."), filecopy.Options{}))
	if a, again := stat(t, dst+"/d/a"), stat(t, dst+"/other/again"); a.Ino != again.Ino {
		t.Error("what was one file in two directories is two")
	}
	must(t, unix.Mkfifo(src+"/d/zz", 0o600))
	must(t, os.Chown(src+"/d/zz", 7, 7))
	one := []idmap.Range{{ContainerID: 0, HostID: 0, Size: 1}}
	bad := filecopy.Place{Root: to, Name: "bad", Mapping: idmap.Mapping{UIDs: one, GIDs: one}}
	if err := filecopy.Copy(t.Context(), filecopy.Place{Root: from, Name: "d"}, bad, filecopy.Options{}); !errors.Is(err, idmap.ErrUnmapped) {
		t.Errorf("owner without a place: %v", err)
	}
	entries, err := os.ReadDir(dst)
	must(t, err)
	if len(entries) != 3 {
		t.Errorf("there are %v", entries)
	}
}

package tempdir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func newDir(t *testing.T, root string) *Dir {
	t.Helper()
	d, err := New(root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPairOnDisk(t *testing.T) {
	root := filepath.Join(t.TempDir(), "home", "tempdirs")
	d := newDir(t, root)
	n := strings.TrimPrefix(filepath.Base(d.Path()), dirPrefix)
	want := []string{lockPrefix + n, dirPrefix + n}
	if got := names(t, root); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("temp root holds %q, want %q", got, want)
	}
	for path, mode := range map[string]fs.FileMode{root: 0o700, d.Path(): 0o700} {
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, error %v; want %v", path, fi.Mode(), err, mode)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, root); len(got) != 0 {
		t.Fatalf("after Close the temp root holds %q", got)
	}
	if err := d.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
}

func TestNamesCountFromZero(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, filepath.Join(dir, "tempdirs"))
	defer d.Close()
	victim := filepath.Join(dir, "victim")
	write(t, filepath.Join(victim, "f"))
	if got := filepath.Base(d.Addition()); got != "0-addition" {
		t.Errorf("first addition is %q", got)
	}
	to, err := d.Trash(victim)
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Base(to); got != "1-victim" {
		t.Errorf("trash went to %q", got)
	}
	if _, err := os.Stat(filepath.Join(to, "f")); err != nil {
		t.Errorf("trash lost its content: %v", err)
	}
	if _, err := os.Lstat(victim); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("victim is still there: %v", err)
	}
	if _, err := d.Trash(victim); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("trash of nothing: %v, want ErrNotExist", err)
	}
	if got := filepath.Base(d.Addition()); got != "3-addition" {
		t.Errorf("next addition is %q", got)
	}
}

func TestLongNameFits(t *testing.T) {
	dir := t.TempDir()
	d := newDir(t, filepath.Join(dir, "tempdirs"))
	defer d.Close()
	long := filepath.Join(dir, strings.Repeat("n", 255))
	write(t, long)
	if _, err := d.Trash(long); err != nil {
		t.Fatal(err)
	}
}

func TestRecover(t *testing.T) {
	tests := []struct {
		name  string
		plant func(t *testing.T, root string)
		left  []string
	}{
		{"missing root", func(t *testing.T, root string) { os.Remove(root) }, nil},
		{"stale pair", func(t *testing.T, root string) {
			write(t, filepath.Join(root, "lock-17"))
			write(t, filepath.Join(root, "temp-dir-17", "0-addition", "etc", "passwd"))
		}, nil},
		{"lock alone", func(t *testing.T, root string) { write(t, filepath.Join(root, "lock-1")) }, nil},
		{"directory alone", func(t *testing.T, root string) { write(t, filepath.Join(root, "temp-dir-1", "f")) }, nil},
		{"closed directory modes", func(t *testing.T, root string) {
			write(t, filepath.Join(root, "temp-dir-1", "a", "f"))
			if err := os.Chmod(filepath.Join(root, "temp-dir-1", "a"), 0); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"strangers stay", func(t *testing.T, root string) {
			for _, n := range []string{"lock-", "lock-x1", "temp-dir-9x", "other"} {
				write(t, filepath.Join(root, n))
			}
			write(t, filepath.Join(root, "temp-dir-8")) // a file, not a directory
			if err := os.Mkdir(filepath.Join(root, "lock-7"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/etc", filepath.Join(root, "temp-dir-6")); err != nil {
				t.Fatal(err)
			}
		}, []string{"lock-", "lock-7", "lock-x1", "other", "temp-dir-6", "temp-dir-8", "temp-dir-9x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			tt.plant(t, root)
			if err := Recover(t.Context(), root); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
				return
			}
			if got := names(t, root); strings.Join(got, " ") != strings.Join(tt.left, " ") {
				t.Fatalf("left %q, want %q", got, tt.left)
			}
		})
	}
}

func TestRecoverLeavesTheLiving(t *testing.T) {
	root := t.TempDir()
	d := newDir(t, root)
	write(t, filepath.Join(d.Addition(), "f"))
	write(t, filepath.Join(root, "temp-dir-1", "f"))
	if err := Recover(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(d.Path(), "0-addition", "f")); err != nil {
		t.Fatalf("a living directory was swept: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "temp-dir-1")); err == nil {
		t.Fatal("the stale one stayed")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRecoverStopsWhenCancelled(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "temp-dir-1", "f"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Recover(ctx, root); !errors.Is(err, context.Canceled) {
		t.Fatalf("error = %v, want Canceled", err)
	}
	if _, err := os.Stat(filepath.Join(root, "temp-dir-1", "f")); err != nil {
		t.Fatal(err)
	}
}

// TestKilledUser has a real process die with a pair in its hands.
func TestKilledUser(t *testing.T) {
	const variable = "TEMPDIR_TEST_VICTIM"
	if root := os.Getenv(variable); root != "" {
		d := newDir(t, root)
		write(t, filepath.Join(d.Addition(), "f"))
		os.Stdout.WriteString("ready\n")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it is killed, or nobody is left to do that
		return
	}
	root := t.TempDir()
	victim := exec.Command(os.Args[0], "-test.run=^TestKilledUser$")
	victim.Env = append(os.Environ(), variable+"="+root)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := victim.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := Recover(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if got := names(t, root); len(got) != 2 {
		t.Fatalf("while its user lives, the root holds %q", got)
	}
	if err := victim.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	if err := Recover(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if got := names(t, root); len(got) != 0 {
		t.Fatalf("after the kill the root holds %q", got)
	}
}

// TestSweepAgainstUse has users come and go while sweepers run: nobody may lose a directory.
func TestSweepAgainstUse(t *testing.T) {
	root := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	var sweepers, users sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for ctx.Err() == nil {
				if err := Recover(ctx, root); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 4 {
		users.Go(func() {
			for range 100 {
				if err := useOnce(root); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	users.Wait()
	cancel()
	sweepers.Wait()
	if got := names(t, root); len(got) != 0 {
		t.Fatalf("left behind: %q", got)
	}
}

func useOnce(root string) error {
	d, err := New(root)
	if err != nil {
		return err
	}
	f := d.Addition()
	if err := os.WriteFile(f, nil, 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(f); err != nil {
		return err
	}
	return d.Close()
}

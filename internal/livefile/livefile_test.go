package livefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/livefile"
)

func write(text string) func(*livefile.File) error {
	return func(f *livefile.File) error {
		_, err := f.WriteString(text)
		return err
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := livefile.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func alive(t *testing.T, path string) bool {
	t.Helper()
	f, alive, err := livefile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return alive
}

func TestAliveWhileOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if got := list(t, dir); got != nil {
		t.Errorf("no directory: %v", got)
	}
	f, err := livefile.Create(dir, livefile.Options{Sync: true}, write("text"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{f.Path}, list(t, dir)); diff != "" {
		t.Error(diff)
	}
	if text, err := os.ReadFile(f.Path); err != nil || string(text) != "text" {
		t.Errorf("read %q, %v", text, err)
	}
	if livefile.IsNew(f.Path) || !alive(t, f.Path) || !alive(t, f.Path) {
		t.Error("its maker lives, whoever asks")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(t, f.Path) {
		t.Error("its maker is gone")
	}
	for range 2 {
		if err := livefile.Remove(f.Path); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := livefile.Open(f.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open what is gone: %v", err)
	}
}

// TestFailureLeavesNothing: also when the file has its name already.
func TestFailureLeavesNothing(t *testing.T) {
	broken := errors.New("broken")
	for _, point := range []string{"x.create", "x.publish", "atomicfile.syncdir"} {
		dir := t.TempDir()
		disable := faults.Enable(faults.Rule{Point: point, Under: dir, Err: broken})
		_, err := livefile.Create(dir, livefile.Options{Point: "x", Sync: true}, write("text"))
		disable()
		if got := list(t, dir); !errors.Is(err, broken) || len(got) > 0 {
			t.Errorf("%s: %v, left %v", point, err, got)
		}
	}
	dir := t.TempDir()
	_, err := livefile.Create(dir, livefile.Options{}, func(*livefile.File) error { return broken })
	if got := list(t, dir); !errors.Is(err, broken) || len(got) > 0 {
		t.Errorf("filling: %v, left %v", err, got)
	}
}

// TestSweptWhileItIsMade: whoever finds the file before it is locked may remove it.
func TestSweptWhileItIsMade(t *testing.T) {
	dir := t.TempDir()
	sweeps := 0
	f, err := livefile.Create(dir, livefile.Options{}, func(f *livefile.File) error {
		if sweeps++; sweeps > 2 {
			return nil
		}
		return os.Remove(f.Name())
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{f.Path}, list(t, dir)); diff != "" || sweeps != 3 {
		t.Errorf("swept %d times: %s", sweeps, diff)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestLinksAreNoFiles: neither listed nor opened.
func TestLinksAreNoFiles(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir); got != nil {
		t.Errorf("listed %v", got)
	}
	if _, _, err := livefile.Open(link); err == nil {
		t.Error("opened")
	}
}

package strata_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
)

func TestContainerFiles(t *testing.T) {
	s := storetest.New(t, "vfs")
	ctx := t.Context()
	createContainer(t, s, "box", "")
	dir, err := s.ContainerDir(ctx, "box")
	must(t, err)
	for _, data := range []string{"one", ""} {
		must(t, s.SetContainerFile(ctx, "box", "sub/f", []byte(data)))
		must(t, s.SetContainerRunFile(ctx, "box", "f", []byte(data)))
		got, err := s.ContainerFile(ctx, "box", "sub/f")
		if err != nil || string(got) != data {
			t.Errorf("file %q, %v; want %q", got, err, data)
		}
		got, err = s.ContainerRunFile(ctx, "box", "f")
		if err != nil || string(got) != data {
			t.Errorf("run file %q, %v; want %q", got, err, data)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.Mkdir(outside, 0o700))
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	for _, name := range []string{"link/secret", "../../../containers.json", "/etc/passwd", "fifo", "none", ""} {
		if got, err := s.ContainerFile(ctx, "box", name); err == nil {
			t.Errorf("read %q through %s", got, name)
		}
	}
	for _, name := range []string{"link/new", "../x", "/x", "", "."} {
		if err := s.SetContainerFile(ctx, "box", name, nil); err == nil {
			t.Errorf("wrote %s", name)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file outside: %v", err)
	}
	if _, err := s.ContainerFile(ctx, "none", "f"); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("file of no container: %v", err)
	}
}

// TestContainerFileIsFlushed: with the directories that had to be made for it.
func TestContainerFileIsFlushed(t *testing.T) {
	s := storetest.New(t, "vfs")
	createContainer(t, s, "box", "")
	dir, err := s.ContainerDir(t.Context(), "box")
	must(t, err)
	containers := filepath.Dir(filepath.Dir(dir))
	flushed := 0
	defer faults.Enable(faults.Rule{Point: "atomicfile.syncdir", Under: containers, Times: 100, Do: func() { flushed++ }})()
	must(t, s.SetContainerFile(t.Context(), "box", "sub/f", []byte("text")))
	wantEqual(t, "directories", 2, flushed) // the container's and the one that has it; those below are opened in their root
}

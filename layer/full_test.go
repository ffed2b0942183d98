package layer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// smallEnv is a store on a file system of a few MiB.
func smallEnv(t *testing.T, driver string) *env {
	t.Helper()
	testutil.RequireRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &env{driver: driver, graph: filepath.Join(dir, "graph"), run: t.TempDir()}
}

// fill takes the rest of the file system.
func fill(t *testing.T, e *env) (empty func()) {
	t.Helper()
	path := filepath.Join(filepath.Dir(e.graph), "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, zeroes{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("fill: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLayerThatDoesNotFit(t *testing.T) {
	for _, driver := range []string{"vfs", "overlay"} {
		t.Run(driver, func(t *testing.T) {
			e := smallEnv(t, driver)
			s := e.open(t)
			l := load(t, s, "", baseTar(t))
			big := testutil.Tar(t, testutil.Entry{Name: "big", Body: string(make([]byte, 8<<20))})
			if st, err := s.Stage(context.Background(), StageOptions{Parent: l.ID}, bytes.NewReader(big)); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("stage: %v, %v", st, err)
			}
			if _, err := s.ApplyDiff(context.Background(), l.ID, bytes.NewReader(big), ApplyOptions{}); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("apply: %v", err)
			}
			if got, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(got, baseTar(t)) {
				t.Errorf("diff: %v", err)
			}
		})
	}
}

func TestNoSpaceForARecord(t *testing.T) {
	for _, driver := range []string{"vfs", "overlay"} {
		t.Run(driver, func(t *testing.T) {
			e := smallEnv(t, driver)
			s := e.open(t)
			load(t, s, "", baseTar(t))
			defer fill(t, e)()
			tx, err := s.Begin(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Close()
			if _, err := tx.Create(context.Background(), CreateOptions{}); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("create: %v", err)
			}
		})
	}
}

func TestDeletingWorksOnAFullDisk(t *testing.T) {
	for _, driver := range []string{"vfs", "overlay"} {
		t.Run(driver, func(t *testing.T) {
			e := smallEnv(t, driver)
			s := e.open(t)
			kept := load(t, s, "", baseTar(t))
			gone := load(t, s, kept.ID, upperTar(t))
			defer fill(t, e)()
			remove(t, s, gone.ID)
			if ids := listIDs(t, e.open(t)); len(ids) != 1 || ids[0] != kept.ID {
				t.Errorf("layers %v", ids)
			}
		})
	}
}

package strata_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/filecopy"
	"github.com/stratastore/strata/internal/rootfd"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/layer"
)

// borrowJob copies a file into a directory of the container "box" and back to another.
func borrowJob(ctx context.Context, s *strata.Store, _ int) error {
	b, err := s.Borrow(ctx, "box", strata.BorrowOptions{Into: true})
	if err != nil {
		return err
	}
	root, err := rootfd.Open(b.Path, rootfd.Options{})
	if err != nil {
		return errors.Join(err, b.Release(ctx))
	}
	place := func(name string) filecopy.Place { return filecopy.Place{Root: root, Name: name} }
	err = filecopy.Copy(ctx, place("etc"), place("copied"), filecopy.Options{})
	return errors.Join(err, root.Close(), b.Release(ctx))
}

// copyKilledJob dies in the middle of a copy, at two places, with another mount of its own.
func copyKilledJob(ctx context.Context, s *strata.Store, _ int) error {
	b, err := s.Borrow(ctx, "box", strata.BorrowOptions{Into: true})
	if err != nil {
		return err
	}
	if _, err := s.Borrow(ctx, "box", strata.BorrowOptions{}); err != nil {
		return err
	}
	for _, dir := range []string{"", "etc"} {
		dir = filepath.Join(b.Path, dir, ".strata-copy-"+filecopy.Writer()+"-ABCDEFGH")
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
			return err
		}
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// box makes the container that the jobs are about.
func box(t *testing.T, s *storetest.Store) (own layer.ID) {
	t.Helper()
	shared(t, s)
	c, err := s.CreateContainer(t.Context(), strata.ContainerOptions{ID: "box", Image: "shared"})
	must(t, err)
	path, err := s.Mount(t.Context(), "box", strata.MountOptions{})
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(path, "etc/sub"), 0o755))
	must(t, os.WriteFile(filepath.Join(path, "etc/.strata-copy-of-mine"), nil, 0o600))
	must(t, errOf(s.Unmount(t.Context(), "box", strata.UnmountOptions{})))
	return c.Layer
}

// copies are the names of unfinished copies in the box, as far as they are the jobs'.
func copies(t *testing.T, s *storetest.Store) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(s.GraphRoot(), func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) == "merged" {
			return filepath.SkipDir // the same names again
		}
		if strings.HasPrefix(filepath.Base(path), ".strata-copy-") && filepath.Base(path) != ".strata-copy-of-mine" {
			found = append(found, path)
		}
		return err
	}))
	return found
}

func borrowNotes(t *testing.T, s *storetest.Store) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.GraphRoot(), "strata", "mounts"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return len(entries)
}

func wantMounts(t *testing.T, s *storetest.Store, what string, n int) {
	t.Helper()
	if got, err := s.Mounted(t.Context(), "box"); got != n || err != nil {
		t.Errorf("%s: mounted %d times, want %d, %v", what, got, n, err)
	}
}

// TestKilledCopyIsCollected: its count is taken back by whoever comes, what it was making
// goes with the garbage, and what others have mounted and named alike stays.
func TestKilledCopyIsCollected(t *testing.T) {
	for _, others := range []int{0, 2} {
		t.Run(fmt.Sprint(others, " other mounts"), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				box(t, s)
				for range others {
					must(t, errOf(s.Mount(t.Context(), "box", strata.MountOptions{})))
				}
				if !waitChild(t, startChild(t, s.Options, childJob{Job: "copy-killed"})) {
					t.Fatal("the child lives")
				}
				wantEqual(t, "findings", []string{" leftover collect", " leftover collect"}, findings(t, s, 0))
				dry, err := s.GC(t.Context(), strata.GCOptions{DryRun: true})
				must(t, err)
				wantEqual(t, "would go", 2, len(dry.Removed))
				wantMounts(t, s, "the next opener", others)
				wantEqual(t, "copies before", 2, len(copies(t, s)))
				report, err := s.Again(t).GC(t.Context(), strata.GCOptions{})
				must(t, err)
				wantEqual(t, "failed", 0, len(report.Failed))
				wantEqual(t, "removed", 1, len(report.Removed))
				wantEqual(t, "copies", 0, len(copies(t, s)))
				wantEqual(t, "notes", 0, borrowNotes(t, s))
				wantMounts(t, s, "after gc", others)
				wantEqual(t, "findings afterwards", 0, len(findings(t, s, 0)))
				path, err := s.Mount(t.Context(), "box", strata.MountOptions{})
				must(t, err)
				must(t, errOf(os.Lstat(filepath.Join(path, "etc/.strata-copy-of-mine"))))
				must(t, errOf(s.Unmount(t.Context(), "box", strata.UnmountOptions{Force: true})))
			})
		})
	}
}

// TestKilledCopyOfALayerThatIsGone: its note goes, and so it does with a repair.
func TestKilledCopyOfALayerThatIsGone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		box(t, s)
		waitChild(t, startChild(t, s.Options, childJob{Job: "copy-killed"}))
		must(t, s.DeleteContainer(t.Context(), "box"))
		report, err := s.Store.Check(t.Context(), strata.CheckOptions{})
		must(t, err)
		repaired, err := s.Repair(t.Context(), report, strata.RepairOptions{})
		must(t, err)
		wantEqual(t, "left", 0, len(repaired.Left))
		wantEqual(t, "notes", 0, borrowNotes(t, s))
	})
}

// TestBorrowKilled kills a copy at each of its named steps, beside a mount of others and
// without one.
func TestBorrowKilled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		box(t, s)
		for _, others := range []int{0, 1} {
			for range others {
				must(t, errOf(s.Mount(t.Context(), "box", strata.MountOptions{})))
			}
			kills := 0
			for skip := 0; waitChild(t, startChild(t, s.Options, childJob{Job: "borrow", Point: anyPoint, Skip: skip})); skip++ {
				kills++
				what := fmt.Sprintf("killed after %d steps, %d others", skip, others)
				wantMounts(t, s, what, others)
				report, err := s.GC(t.Context(), strata.GCOptions{})
				must(t, err)
				if len(report.Failed) != 0 || len(copies(t, s)) != 0 || borrowNotes(t, s) != 0 {
					t.Errorf("%s: failed %v, copies %q, %d notes", what, report.Failed, copies(t, s), borrowNotes(t, s))
				}
				wantMounts(t, s, what+", after gc", others)
			}
			t.Logf("%d kills", kills)
			wantMounts(t, s, "done", others)
			wantEqual(t, "notes when done", 0, borrowNotes(t, s))
			must(t, errOf(s.Unmount(t.Context(), "box", strata.UnmountOptions{Force: true})))
		}
	})
}

// TestBorrowFails: an error anywhere leaves neither a count nor a note.
func TestBorrowFails(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		box(t, s)
		for _, root := range []string{s.GraphRoot(), s.RunRoot()} {
			failBorrow(t, s, root)
		}
	})
}

func failBorrow(t *testing.T, s *storetest.Store, under string) {
	t.Helper()
	broken := errors.New("broken, says the test")
	for skip := 0; ; skip++ {
		hit := false
		disable := faults.Enable(faults.Rule{Under: under, Skip: skip, Times: 1, Err: broken, Do: func() { hit = true }})
		err := borrowJob(t.Context(), s.Store, 0)
		disable()
		if !hit {
			must(t, err)
			t.Logf("%d failures", skip)
			return
		}
		what := fmt.Sprintf("failed after %d steps (%v)", skip, err)
		if err != nil && !errors.Is(err, broken) { // some steps can be done without
			t.Fatal(what)
		}
		wantMounts(t, s, what, 0)
		if n := borrowNotes(t, s); n != 0 {
			t.Errorf("%s: %d notes", what, n)
		}
	}
}

func TestBorrow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		own := box(t, s)
		b, err := s.Borrow(t.Context(), string(own), strata.BorrowOptions{})
		must(t, err)
		wantMounts(t, s, "borrowed", 1)
		wantEqual(t, "findings", 0, len(findings(t, s, 0)))
		must(t, b.Release(t.Context()))
		wantMounts(t, s, "released", 0)
		if _, err := s.Borrow(t.Context(), "nope", strata.BorrowOptions{}); !errors.Is(err, layer.ErrUnknown) {
			t.Errorf("no such layer: %v", err)
		}
		if _, err := s.BorrowImage(t.Context(), "nope", strata.BorrowOptions{}); !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("no such image: %v", err)
		}
		b, err = s.BorrowImage(t.Context(), "shared", strata.BorrowOptions{})
		must(t, err)
		must(t, errOf(os.ReadDir(b.Path)))
		must(t, b.Release(t.Context()))
		wantEqual(t, "notes", 0, borrowNotes(t, s))
	})
}

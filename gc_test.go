package strata_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

const strayID = "00000000000000000000000000000000000000000000000000000000000000a1"

// litter leaves one of each sort of orphan and returns their paths, and those of
// what looks similar and is none.
func litter(t *testing.T, s *storetest.Store) (orphans, others []string) {
	t.Helper()
	g, d := s.GraphRoot(), s.DriverName()
	home := filepath.Join(g, d, strayID)
	if d == "vfs" {
		home = filepath.Join(g, d, "dir", strayID)
	}
	orphans = []string{
		home,
		filepath.Join(g, d+"-layers", strayID+".tar-split.gz"),
		filepath.Join(g, d+"-layers", strayID),
		filepath.Join(g, d+"-layers", ".tmp-layers.json123"),
		filepath.Join(g, d+"-images", strayID),
		filepath.Join(g, d+"-images", ".tmp-images.json77"),
		filepath.Join(g, d+"-containers", strayID),
		filepath.Join(s.RunRoot(), d+"-containers", strayID),
		filepath.Join(g, d, "tempdirs", "temp-dir-12"),
		filepath.Join(g, d+"-layers", "tmp", "temp-dir-34"),
		filepath.Join(g, d+"-containers", ".stage-5"),
	}
	others = []string{
		filepath.Join(g, "libpod", strayID),
		filepath.Join(g, d+"-layers", "not-an-id"),
		filepath.Join(g, d+"-images", "short"),
		filepath.Join(g, d+"-containers", ".hidden"),
		filepath.Join(filepath.Dir(home), "lost+found"),
	}
	if d == "overlay" {
		others = append(others, filepath.Join(g, d, "somebody-elses"))
	}
	for _, path := range append(append([]string{}, orphans...), others...) {
		if filepath.Ext(path) == "" && filepath.Base(path)[0] != '.' || filepath.Base(path) == ".stage-5" {
			must(t, os.MkdirAll(filepath.Join(path, "sub"), 0o700))
			path = filepath.Join(path, "sub", "file")
		}
		must(t, os.WriteFile(path, make([]byte, 5000), 0o600))
	}
	if d == "overlay" {
		link := filepath.Join(g, d, "l", "AAAAAAAAAAAAAAAAAAAAAAAAAA")
		must(t, os.Symlink("../"+strayID+"0/diff", link))
		orphans = append(orphans, link)
	}
	return orphans, others
}

// TestHomeElsewhere: a link in the place of a driver's home, to directories that are no layers, has
// nothing in them taken for leftovers, by the collection or the repair.
func TestHomeElsewhere(t *testing.T) {
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			s := storetest.New(t, driver)
			s.Tolerate()
			s.Damaged()
			importLayer(t, s, "one", "", testutil.Entry{Name: "f", Body: "f"})
			ctx := t.Context()
			_, err := s.Shutdown(ctx, strata.ShutdownOptions{Force: true})
			must(t, err)
			home, elsewhere := filepath.Join(s.GraphRoot(), driver), filepath.Join(s.GraphRoot(), "elsewhere")
			precious := filepath.Join(elsewhere, "conf.d", "precious")
			if driver == "vfs" {
				precious = filepath.Join(elsewhere, "dir", "conf.d", "precious")
			}
			must(t, os.MkdirAll(precious, 0o700))
			must(t, os.Rename(home, home+".away"))
			must(t, os.Symlink(elsewhere, home))
			again := s.Again(t)
			again.Tolerate()
			again.Damaged()
			report, err := again.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			_, err = again.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: true})
			must(t, err)
			_, err = again.GC(ctx, strata.GCOptions{})
			must(t, err)
			if _, err := os.Stat(precious); err != nil {
				t.Error(err)
			}
		})
	}
}

func orphanPaths(found []strata.Orphan) (paths []string) {
	for _, o := range found {
		paths = append(paths, o.Path)
	}
	return sorted(paths)
}

func TestGC(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		s.Tolerate()
		ctx := t.Context()
		importLayer(t, s, "lay1", "", testutil.Entry{Name: "f", Body: "one"})
		createImage(t, s, "img1", "lay1", "app:1")
		createContainer(t, s, "con1", "img1")
		must(t, s.SetBigData(ctx, strata.KindImage, "img1", "manifest", []byte("m")))
		beforeLayers, beforeImages, beforeContainers := ids(t, s)
		orphans, others := litter(t, s)

		young, err := s.GC(ctx, strata.GCOptions{OlderThan: time.Hour})
		must(t, err)
		wantEqual(t, "old enough", 0, len(young.Removed))
		dry, err := s.GC(ctx, strata.GCOptions{DryRun: true})
		must(t, err)
		wantEqual(t, "dry run", sorted(orphans), orphanPaths(dry.Removed))
		for _, path := range orphans {
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("the dry run removed %s", path)
			}
		}
		report, err := s.GC(ctx, strata.GCOptions{})
		must(t, err)
		wantEqual(t, "removed", sorted(orphans), orphanPaths(report.Removed))
		wantEqual(t, "failed", 0, len(report.Failed))
		if report.Bytes != dry.Bytes || report.Bytes < 8*5000 {
			t.Errorf("%d bytes, in the dry run %d", report.Bytes, dry.Bytes)
		}
		for _, o := range report.Removed {
			if o.Reason == "" {
				t.Errorf("%s: no reason", o.Path)
			}
		}
		for _, path := range orphans {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s is still there", path)
			}
		}
		for _, path := range others {
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			must(t, os.RemoveAll(path))
		}
		wantIDs(t, s, beforeLayers, beforeImages, beforeContainers)
		again, err := s.GC(ctx, strata.GCOptions{})
		must(t, err)
		wantEqual(t, "second run", 0, len(again.Removed))
		checked, err := s.Store.Check(ctx, strata.CheckOptions{})
		must(t, err)
		wantEqual(t, "check afterwards", []string(nil), found(checked.Findings))
	})
}

// TestGCCancelled: what a cancelled collection has taken out of the store is gone, too.
func TestGCCancelled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		orphans, others := litter(t, s)
		for _, path := range others {
			must(t, os.RemoveAll(path))
		}
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			disable := faults.Enable(faults.Rule{Point: "tempdir.trash", Under: s.GraphRoot(), Times: 1, Do: cancel})
			_, err := s.GC(ctx, strata.GCOptions{})
			disable()
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			for _, pattern := range []string{"/tempdirs/*-*", "-layers/tmp/*-*"} {
				left, err := filepath.Glob(filepath.Join(s.GraphRoot(), s.DriverName()) + pattern)
				must(t, err)
				left = slices.DeleteFunc(left, func(path string) bool { return slices.Contains(orphans, path) })
				wantEqual(t, "left", []string(nil), left)
			}
		}
		must(t, errOf(s.GC(t.Context(), strata.GCOptions{})))
	})
}

// TestGCGoesOn: what is mounted stays and is reported; all else goes.
func TestGCGoesOn(t *testing.T) {
	s := storetest.New(t, "overlay")
	s.Tolerate()
	orphans, others := litter(t, s)
	for _, path := range others {
		must(t, os.RemoveAll(path))
	}
	point := filepath.Join(orphans[0], "merged")
	must(t, os.Mkdir(point, 0o700))
	must(t, unix.Mount("none", point, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, testutil.Unmount(point)) })
	report, err := s.GC(t.Context(), strata.GCOptions{})
	must(t, err)
	if len(report.Failed) != 1 || report.Failed[0].Path != orphans[0] || !errors.Is(report.Failed[0].Err, errdefs.ErrInUse) {
		t.Errorf("failed: %+v", report.Failed)
	}
	wantEqual(t, "removed", sorted(orphans[1:]), orphanPaths(report.Removed))
}

// TestGCKeepsHandsOff: damaged records, and records that only another way of
// opening the store shows.
func TestGCKeepsHandsOff(t *testing.T) {
	for _, name := range []string{"damaged-zero-layers", "damaged-torn-images"} {
		t.Run(name, func(t *testing.T) {
			opts := unpackFixture(t, name)
			s, err := strata.Open(t.Context(), opts)
			must(t, err)
			t.Cleanup(func() { must(t, s.Driver().Cleanup(context.WithoutCancel(t.Context()))) })
			before := fingerprint(t, opts.GraphRoot)
			if _, err := s.GC(t.Context(), strata.GCOptions{}); !errors.Is(err, errdefs.ErrCorrupt) {
				t.Errorf("error = %v, want ErrCorrupt", err)
			}
			if fingerprint(t, opts.GraphRoot) != before {
				t.Error("something was collected")
			}
		})
	}
	t.Run("transient store opened as an ordinary one", func(t *testing.T) {
		opts := unpackFixture(t, "transient-overlay")
		opts.Transient = false
		s := storetest.Open(t, opts)
		s.Tolerate()
		report, err := s.GC(t.Context(), strata.GCOptions{})
		must(t, err)
		wantEqual(t, "removed", []string(nil), orphanPaths(report.Removed))
	})
}

func TestGCOfFixture(t *testing.T) {
	s := fixture(t, "damaged-orphans")
	before := snapshotDiffs(t, s)
	report, err := s.GC(t.Context(), strata.GCOptions{})
	must(t, err)
	wantEqual(t, "removed", 4, len(report.Removed))
	wantEqual(t, "layers", before, snapshotDiffs(t, s))
}

func snapshotDiffs(t *testing.T, s *storetest.Store) string {
	t.Helper()
	all, err := s.Layers(t.Context())
	must(t, err)
	return digests(t, s, all)
}

package strata_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
)

// replacements put something else in the place of a file or folder; other is a file of somebody
// else's, in a directory of its own.
var replacements = map[string]func(path, other string) error{
	"directory": func(path, _ string) error {
		return errors.Join(os.Mkdir(path, 0o700), os.WriteFile(path+"/x", nil, 0o600))
	},
	"fifo":                func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
	"link to nowhere":     func(path, other string) error { return os.Symlink(other+".none", path) },
	"link to a file":      func(path, other string) error { return os.Symlink(other, path) },
	"link to a directory": func(path, other string) error { return os.Symlink(filepath.Dir(other), path) },
}

// replace puts something in the place of path and returns a file of somebody else's.
func replace(t *testing.T, what, path string) (other string) {
	t.Helper()
	other = filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(other, []byte("theirs"), 0o600))
	must(t, errors.Join(os.RemoveAll(path), replacements[what](path, other)))
	return other
}

// untouched fails the test if what is around somebody else's file has changed.
func untouched(t *testing.T, other string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(other))
	must(t, err)
	data, err := os.ReadFile(other)
	if err != nil || string(data) != "theirs" || len(entries) != 1 {
		t.Errorf("somebody else's: %q, %v, %v", data, entries, err)
	}
}

// cured checks, repairs and checks again, and returns what was found first.
func cured(t *testing.T, s *storetest.Store) []strata.Finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	report, err := s.Store.Check(ctx, strata.CheckOptions{})
	must(t, err)
	done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true})
	must(t, err)
	for _, f := range done.Left {
		t.Errorf("left: %v: %v", f.Finding, f.Err)
	}
	after, err := s.Store.Check(ctx, strata.CheckOptions{})
	must(t, err)
	wantEqual(t, "findings afterwards", []string(nil), found(after.Findings))
	return report.Findings
}

// TestBrokenLocks: what is no file in the place of a lock file is found without waiting for it or
// following it, the rest is examined, and a repair makes the file again.
func TestBrokenLocks(t *testing.T) {
	locks := map[string]func(b broken) string{
		"storage":     func(b broken) string { return filepath.Join(b.GraphRoot(), "storage.lock") },
		"userns":      func(b broken) string { return filepath.Join(b.GraphRoot(), "userns.lock") },
		"layers":      func(b broken) string { return filepath.Join(b.GraphRoot(), "overlay-layers/layers.lock") },
		"images":      func(b broken) string { return filepath.Join(b.GraphRoot(), "overlay-images/images.lock") },
		"containers":  func(b broken) string { return filepath.Join(b.GraphRoot(), "overlay-containers/containers.lock") },
		"mountpoints": func(b broken) string { return filepath.Join(b.RunRoot(), "overlay-layers/mountpoints.lock") },
	}
	for name, path := range locks {
		for what := range replacements {
			t.Run(name+" is a "+what, func(t *testing.T) {
				t.Parallel()
				b := newBroken(t)
				other := replace(t, what, path(b))
				opts := b.Options
				opts.Examine = true
				s, err := strata.Open(t.Context(), opts)
				must(t, err)
				findings := cured(t, &storetest.Store{Store: s})
				if len(findings) != 1 || findings[0].Problem != strata.ProblemLockBroken || findings[0].Path != path(b) ||
					findings[0].Repair != strata.RepairLock || findings[0].Reason == "" {
					t.Errorf("%v", findings)
				}
				must(t, s.Close(t.Context()))
				untouched(t, other)
				snap, err := b.Again(t).Snapshot(t.Context())
				must(t, err)
				wantEqual(t, "objects", []int{4, 1, 1}, []int{len(snap.Layers), len(snap.Images), len(snap.Containers)})
				mountAll(t, b.Again(t), snap)
			})
		}
	}
}

// TestBrokenLockKeepsOut: whoever uses the store is told what to do.
func TestBrokenLockKeepsOut(t *testing.T) {
	b := newBroken(t)
	path := filepath.Join(b.GraphRoot(), "overlay-layers/layers.lock")
	replace(t, "link to a file", path)
	_, err := b.CreateLayer(t.Context(), strata.LayerOptions{})
	if !errors.Is(err, errdefs.ErrCorrupt) || !strings.Contains(errdefs.Hint(err), "check --repair") {
		t.Errorf("%v, hint %q", err, errdefs.Hint(err))
	}
	cured(t, b.Store)
}

// TestDamagedMountCounts: mount counts that can not be read are written again, by what is mounted.
func TestDamagedMountCounts(t *testing.T) {
	damages := map[string]func(path, other string) error{
		"cut":   func(path, _ string) error { return os.WriteFile(path, []byte(`[{"id":"a","pa`), 0o600) },
		"bytes": func(path, _ string) error { return os.WriteFile(path, []byte{1, 2, 0}, 0o600) },
	}
	for what, put := range replacements {
		damages[what] = put
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			ctx := t.Context()
			root, err := b.Mount(ctx, "con1", strata.MountOptions{})
			must(t, err)
			path := filepath.Join(b.RunRoot(), "overlay-layers/mountpoints.json")
			other := filepath.Join(t.TempDir(), "file")
			must(t, errors.Join(os.WriteFile(other, []byte("theirs"), 0o600), os.Remove(path), damage(path, other)))
			s := b.Again(t)
			findings := cured(t, s)
			wantEqual(t, "findings", []string{"mounts-damaged layer "}, found(findings))
			if f := findings[0]; f.Path != path || f.Repair != strata.RepairRecount || f.Reason == "" || f.Bytes == 0 && name != "fifo" {
				t.Errorf("%+v", f)
			}
			untouched(t, other)
			c, err := s.Container(ctx, "con1")
			must(t, err)
			l, err := s.Layer(ctx, string(c.Layer))
			must(t, err)
			wantEqual(t, "count", 1, l.MountCount)
			wantEqual(t, "path", root, l.MountPath)
			_, err = s.Unmount(ctx, "con1", strata.UnmountOptions{})
			must(t, err)
			snap, err := s.Snapshot(ctx)
			must(t, err)
			mountAll(t, s, snap)
		})
	}
}

// TestFoldersElsewhere: a link in the place of the folder of an object's data is put away; nothing
// is done where it leads.
func TestFoldersElsewhere(t *testing.T) {
	for _, kind := range []strata.Kind{strata.KindImage, strata.KindContainer, strata.KindLayer} {
		for what := range replacements {
			if what == "directory" {
				continue
			}
			t.Run(kind.String()+" "+what, func(t *testing.T) {
				t.Parallel()
				b := newBroken(t)
				b.Tolerate()
				ctx := t.Context()
				id := map[strata.Kind]string{strata.KindImage: "img1", strata.KindContainer: "con1", strata.KindLayer: b.layers[1]}[kind]
				must(t, b.SetBigData(ctx, kind, id, "item", []byte("data")))
				path := filepath.Join(b.GraphRoot(), "overlay-"+kind.String()+"s", id)
				other := replace(t, what, path)
				report, err := b.Store.Store.Check(ctx, strata.CheckOptions{})
				must(t, err)
				seen := false
				for _, f := range report.Findings {
					seen = seen || f.Problem == strata.ProblemFolderWrong && f.Path == path && f.ID == id && f.Repair == strata.RepairPutAway
				}
				if !seen {
					t.Errorf("%v", report.Findings)
				}
				if err := b.SetBigData(ctx, kind, id, "item", []byte("other")); err == nil {
					t.Error("data was written elsewhere")
				}
				done, err := b.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: true})
				must(t, err)
				for _, f := range done.Left {
					t.Errorf("left: %v: %v", f.Finding, f.Err)
				}
				untouched(t, other)
				after, err := b.Store.Store.Check(ctx, strata.CheckOptions{})
				must(t, err)
				wantEqual(t, "findings afterwards", []string(nil), found(after.Findings))
			})
		}
	}
}

// TestHiddenRecordsDamaged: volatile records of another way of opening the store that can not be
// read are a finding, and end nothing.
func TestHiddenRecordsDamaged(t *testing.T) {
	for what := range replacements {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			path := filepath.Join(b.RunRoot(), "overlay-layers", "volatile-layers.json")
			other := replace(t, what, path)
			report, err := b.Store.Store.Check(t.Context(), strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "findings", []string{"records-damaged layer "}, found(report.Findings))
			if report.Bytes == 0 || report.Findings[0].Path != path {
				t.Errorf("%d bytes, %v", report.Bytes, report.Findings)
			}
			if _, err := b.GC(t.Context(), strata.GCOptions{}); !errors.Is(err, errdefs.ErrCorrupt) {
				t.Errorf("garbage collection: %v", err)
			}
			untouched(t, other)
		})
	}
}

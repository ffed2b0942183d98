package strata_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

// TestLostRecords: a record file that has lost its records gets back those that the backup
// has, and nothing is collected as garbage meanwhile.
func TestLostRecords(t *testing.T) {
	texts := map[string]func(path string) error{
		"empty list": func(path string) error { return os.WriteFile(path, []byte("[]"), 0o600) },
		"null":       func(path string) error { return os.WriteFile(path, []byte("null"), 0o600) },
		"no file":    os.Remove,
	}
	for name, damage := range texts {
		for _, kind := range []string{"layer", "image"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				b := newBroken(t)
				b.Tolerate()
				ctx := t.Context()
				path := b.records(kind)
				must(t, b.SetBigData(ctx, strata.KindImage, "img1", "manifest", []byte(`{"schemaVersion":2}`)))
				createLayer(t, b.Store, "later", "") // the backups have what was before
				createImage(t, b.Store, "later", b.layers[2])
				must(t, damage(path))
				again := b.Again(t)
				again.Tolerate()
				report, err := again.Store.Check(ctx, strata.CheckOptions{})
				must(t, err)
				lost := 0
				for _, f := range report.Findings {
					if f.Problem == strata.ProblemRecordsLost || f.Problem == strata.ProblemRecordsDamaged {
						lost++
						if f.Path != path || f.Repair != strata.RepairRestoreRecords {
							t.Errorf("%+v", f)
						}
					}
				}
				wantEqual(t, "findings", 1, lost)
				if _, err := again.GC(ctx, strata.GCOptions{}); !errors.Is(err, errdefs.ErrCorrupt) {
					t.Errorf("garbage collection: %v", err)
				}
				done, err := again.Repair(ctx, report, strata.RepairOptions{Remove: true})
				must(t, err)
				for _, f := range done.Left {
					t.Errorf("left: %v: %v", f.Finding, f.Err)
				}
				if len(done.Removed) > 0 {
					t.Errorf("removed: %v", done.Removed)
				}
				for _, id := range b.layers {
					if !strings.Contains(b.read(b.records("layer")), id) {
						t.Errorf("%s is not in the records", id)
					}
				}
				wantEqual(t, "image", 1, strings.Count(b.read(b.records("image")), `"id":"img1"`))
				snap, err := again.Snapshot(ctx)
				must(t, err)
				mountAll(t, again, snap)
			})
		}
	}
}

// TestLostContainers: the list of the containers is not there, or no list. Containers that never
// ran have no directory, and come back for their layers; one that was deleted since does not.
func TestLostContainers(t *testing.T) {
	damages := map[string]func(path string) error{
		"no file":      os.Remove,
		"null":         func(path string) error { return os.WriteFile(path, []byte("null"), 0o600) },
		"no directory": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
	}
	for name, damage := range damages {
		for _, directories := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, one with a directory: %v", name, directories), func(t *testing.T) {
				t.Parallel()
				b := newBroken(t)
				b.Tolerate()
				ctx := t.Context()
				createContainer(t, b.Store, "con2", "img1", "db")
				createContainer(t, b.Store, "gone", "img1")
				if directories {
					_, err := b.ContainerDir(ctx, "con2")
					must(t, err)
				}
				write(t, b.Store, "con1", "written", "x")
				must(t, b.DeleteContainer(ctx, "gone")) // the backup has it
				must(t, damage(b.records("container")))
				again := b.Again(t)
				again.Tolerate()
				report, err := again.Store.Check(ctx, strata.CheckOptions{})
				must(t, err)
				wantEqual(t, "findings", []string{"records-lost container "}, found(report.Findings))
				done, err := again.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: true})
				must(t, err)
				for _, f := range done.Left {
					t.Errorf("left: %v: %v", f.Finding, f.Err)
				}
				snap, err := again.Snapshot(ctx)
				must(t, err)
				var names []string
				for _, c := range snap.Containers {
					names = append(names, c.Names...)
				}
				wantEqual(t, "names", []string{"web", "db"}, names)
				mountAll(t, again, snap)
			})
		}
	}
}

// TestLostRecordsWithoutCopy: what no backup has, nor the driver's own notes, stays where it is.
func TestLostRecordsWithoutCopy(t *testing.T) {
	b := newBroken(t)
	b.Tolerate()
	b.Damaged()
	ctx := t.Context()
	must(t, os.RemoveAll(filepath.Join(b.GraphRoot(), "strata", "backup")))
	for _, id := range b.layers {
		must(t, os.WriteFile(b.home(id, "lower"), []byte("l/"+strings.Repeat("A", 26)), 0o600)) // which leads nowhere
	}
	must(t, os.WriteFile(b.records("layer"), []byte("[]"), 0o600))
	again := b.Again(t)
	again.Tolerate()
	again.Damaged()
	report, err := again.Store.Check(ctx, strata.CheckOptions{})
	must(t, err)
	wantEqual(t, "findings", []string{"records-lost layer "}, found(report.Findings))
	done, err := again.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: true})
	must(t, err)
	if len(done.Left) != 1 || len(done.Removed) > 0 || done.Trash != "" {
		t.Errorf("%+v", done)
	}
	for _, id := range b.layers {
		if _, err := os.Stat(b.home(id, "diff")); err != nil {
			t.Error(err)
		}
	}
}

// TestLostRecordsInPart: records that the backup is too old for stay lost, and their files stay.
func TestLostRecordsInPart(t *testing.T) {
	b := newBroken(t)
	b.Tolerate()
	b.Damaged()
	ctx := t.Context()
	old := b.read(b.records("layer"))
	importLayer(t, b.Store, "new", "", testutil.Entry{Name: "new", Body: "new"})
	createImage(t, b.Store, "img2", "new")
	must(t, os.WriteFile(b.records("layer"), []byte("[]"), 0o600))
	for _, copied := range []string{"overlay-layers-layers.json", "overlay-layers-layers.earlier.json"} {
		must(t, replaceFile(filepath.Join(b.GraphRoot(), "strata", "backup", copied), []byte(old)))
	}
	again := b.Again(t)
	again.Tolerate()
	again.Damaged()
	report, err := again.Store.Check(ctx, strata.CheckOptions{})
	must(t, err)
	done, err := again.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: true})
	must(t, err)
	wantEqual(t, "left", 1, len(done.Left))
	hinted := (interface{ Hint() string })(nil)
	if len(done.Left) == 1 && (!errors.As(done.Left[0].Err, &hinted) || !strings.Contains(done.Left[0].Err.Error(), "1 are still missing")) {
		t.Errorf("%v", done.Left[0].Err)
	}
	wantEqual(t, "removed", 0, len(done.Removed))
	for _, id := range append(b.layers, "new") {
		if _, err := os.Stat(b.home(id, "diff")); err != nil {
			t.Error(err)
		}
	}
	wantEqual(t, "layers", old, b.read(b.records("layer")))
}

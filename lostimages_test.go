package strata_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
)

// withImage is a store with an image as engines store it and nothing else of use.
func withImage(t *testing.T, changes ...func(*strata.Options)) (b broken, id string) {
	t.Helper()
	s := storetest.New(t, "overlay", changes...)
	var ended []error
	layers, err := s.ImportStack(t.Context(), strata.StackOptions{}, stackOf(t, 3, &ended))
	must(t, err)
	b = broken{Store: s, t: t}
	for _, l := range layers {
		b.layers = append(b.layers, string(l.ID))
	}
	return b, b.configured()
}

// TestImagesWithoutTheirList: a list of images that is not there, over images whose layers are, was lost.
// Nothing is collected, and a repair records the images again, without a copy by their own files.
func TestImagesWithoutTheirList(t *testing.T) {
	for _, backup := range []bool{true, false} {
		for _, separate := range []bool{false, true} {
			t.Run(map[bool]string{true: "copy", false: "no copy"}[backup]+map[bool]string{true: ", image store", false: ""}[separate], func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				root := ""
				b, id := withImage(t, func(o *strata.Options) {
					if root = o.GraphRoot; separate {
						root = t.TempDir()
						o.ImageStore = root
					}
				})
				createImage(t, b.Store, "later", b.layers[2]) // the copy has what was before
				must(t, b.SetBigData(ctx, strata.KindImage, "later", "item", nil))
				if !backup {
					must(t, os.RemoveAll(filepath.Join(b.GraphRoot(), "strata", "backup")))
					must(t, os.RemoveAll(filepath.Join(root, "overlay-images", "later")))
				}
				path := filepath.Join(root, "overlay-images", "images.json")
				must(t, os.Remove(path))
				s := b.Again(t)
				report, err := s.Store.Check(ctx, strata.CheckOptions{})
				must(t, err)
				wantEqual(t, "findings", []string{"records-lost image "}, found(report.Findings))
				if f := report.Findings[0]; f.Path != path || f.Repair != strata.RepairRestoreRecords {
					t.Errorf("%+v", f)
				}
				if _, err := s.GC(ctx, strata.GCOptions{}); !errors.Is(err, errdefs.ErrCorrupt) {
					t.Errorf("garbage collection: %v", err)
				}
				done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true})
				must(t, err)
				for _, f := range done.Left {
					t.Errorf("left: %v: %v", f.Finding, f.Err)
				}
				i, err := s.Image(ctx, id)
				must(t, err)
				wantEqual(t, "top layer", b.layers[2], string(i.TopLayer))
				wantEqual(t, "items", 2, len(i.BigDataNames))
				wantEqual(t, "names", map[bool]int{true: 1, false: 0}[backup], len(i.Names))
				after, err := s.Store.Check(ctx, strata.CheckOptions{})
				must(t, err)
				wantEqual(t, "findings afterwards", []string(nil), found(after.Findings))
			})
		}
	}
}

// TestKilledDeletions: what a deletion leaves that was cut short after the records were saved is no
// loss of records. It is finished, and collected.
func TestKilledDeletions(t *testing.T) {
	deletions := map[string]func(ctx context.Context, s *storetest.Store, id string) error{
		"wipe": func(ctx context.Context, s *storetest.Store, _ string) error { return s.Wipe(ctx) },
		"delete image": func(ctx context.Context, s *storetest.Store, id string) error {
			_, err := s.DeleteImage(ctx, id, strata.DeleteImageOptions{})
			return err
		},
	}
	for name, remove := range deletions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, id := withImage(t)
			ctx := t.Context()
			kill := errors.New("killed")
			disable := faults.Enable(faults.Rule{Point: "bigdata.trash", Under: filepath.Join(b.GraphRoot(), "overlay-images"), Err: kill})
			defer disable()
			if err := remove(ctx, b.Store, id); !errors.Is(err, kill) {
				t.Fatalf("%v", err)
			}
			disable()
			s := b.Again(t)
			report, err := s.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			for _, f := range report.Findings {
				if f.Problem == strata.ProblemRecordsLost {
					t.Errorf("%v", f)
				}
			}
			must(t, s.Wipe(ctx))
			must(t, errOf(s.GC(ctx, strata.GCOptions{})))
			layers, images, _ := ids(t, s)
			if len(layers)+len(images) > 0 {
				t.Errorf("%v, %v", layers, images)
			}
		})
	}
}

// TestFirstImageCutShort: a list that nobody has saved yet, or only for the first image, has lost
// nothing, though that image's files and layers are there.
func TestFirstImageCutShort(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, dir string){
		"before the lock file": func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, "images.lock"), 0)) },
		"before the name": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, ".tmp-images.json123"), []byte("[]"), 0o600))
		},
		"an empty list": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "images.json"), []byte("[]"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := withImage(t)
			dir := filepath.Join(b.GraphRoot(), "overlay-images")
			must(t, os.RemoveAll(filepath.Join(b.GraphRoot(), "strata", "backup")))
			must(t, os.Remove(filepath.Join(dir, "images.json")))
			make(t, dir)
			s := b.Again(t)
			report, err := s.Store.Check(t.Context(), strata.CheckOptions{})
			must(t, err)
			for _, f := range report.Findings {
				if f.Problem == strata.ProblemRecordsLost {
					t.Errorf("%v", f)
				}
			}
			must(t, errOf(s.GC(t.Context(), strata.GCOptions{})))
		})
	}
}

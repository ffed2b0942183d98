package strata_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// drafted makes n layers for an image to be.
func drafted(t testing.TB, s *storetest.Store, n int) (*strata.Draft, []layer.Layer) {
	t.Helper()
	d := s.NewDraft()
	layers, err := s.ImportStack(t.Context(), strata.StackOptions{Draft: d}, stackOf(t, n, new([]error)))
	must(t, err)
	return d, layers
}

// dead is drafted by somebody who died.
func dead(t testing.TB, s *storetest.Store, n int) []layer.Layer {
	t.Helper()
	d, layers := drafted(t, s, n)
	must(t, d.Close(t.Context()))
	return layers
}

// collected collects garbage and compares the IDs of what went, in order.
func collected(t testing.TB, s *storetest.Store, want ...layer.Layer) {
	t.Helper()
	report, err := s.GC(t.Context(), strata.GCOptions{})
	must(t, err)
	wantEqual(t, "failed", 0, len(report.Failed))
	wantEqual(t, "collected", idsOf(want), orphanIDs(report.Removed))
}

func orphanIDs(found []strata.Orphan) (ids []string) {
	for _, o := range found {
		ids = append(ids, o.ID)
	}
	return ids
}

func idsOf(layers []layer.Layer) (ids []string) {
	for _, l := range layers {
		ids = append(ids, string(l.ID))
	}
	return ids
}

// topFirst is the order of removal.
func topFirst(layers []layer.Layer) []layer.Layer {
	out := slices.Clone(layers)
	slices.Reverse(out)
	return out
}

// noteFiles are the notes that are there.
func noteFiles(t testing.TB, root string) (paths []string) {
	t.Helper()
	dir := filepath.Join(root, "strata", "unfinished")
	entries, err := os.ReadDir(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		must(t, err)
	}
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}

func wantNotes(t testing.TB, s *storetest.Store, n int) {
	t.Helper()
	if notes := noteFiles(t, s.GraphRoot()); len(notes) != n {
		t.Errorf("notes %v, want %d", notes, n)
	}
}

// findings of a check that reports what nothing needs at once.
func findings(t testing.TB, s *storetest.Store, unreferencedAfter time.Duration) (out []string) {
	t.Helper()
	report, err := s.Store.Check(t.Context(), strata.CheckOptions{UnreferencedAfter: unreferencedAfter})
	must(t, err)
	for _, f := range report.Findings {
		if f.Reason == "" || f.Bytes == 0 {
			t.Errorf("finding without reason or bytes: %+v", f)
		}
		out = append(out, fmt.Sprint(f.ID, " ", f.Problem, " ", f.Repair.Word()))
	}
	return out
}

func TestDeadDraftsAreCollected(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		importLayer(t, s, "mine", "", testutil.Entry{Name: "f", Body: "mine"})
		createLayer(t, s, "empty", "mine")
		createImage(t, s, "img", "empty")
		d, layers := drafted(t, s, 3)
		other := s.Again(t)
		collected(t, other)
		if found := findings(t, other, time.Nanosecond); len(found) != 0 {
			t.Errorf("while the writer lives: %v", found)
		}
		must(t, d.Close(ctx))

		var leftover, unreferenced []string
		for _, l := range layers {
			leftover = append(leftover, string(l.ID)+" leftover collect")
			unreferenced = append(unreferenced, string(l.ID)+" unreferenced collect")
		}
		wantEqual(t, "findings", sorted(leftover), sorted(findings(t, other, time.Hour)))
		wantEqual(t, "findings about old ones", sorted(unreferenced), sorted(findings(t, other, time.Nanosecond)))
		dry, err := other.GC(ctx, strata.GCOptions{DryRun: true})
		must(t, err)
		wantEqual(t, "dry run", idsOf(topFirst(layers)), orphanIDs(dry.Removed))
		for _, o := range dry.Removed {
			if o.Kind != strata.KindLayer || o.Reason == "" || o.Bytes == 0 || o.Path == "" {
				t.Errorf("orphan %+v", o)
			}
		}
		young, err := other.GC(ctx, strata.GCOptions{OlderThan: time.Hour})
		must(t, err)
		wantEqual(t, "young ones collected", 0, len(young.Removed))
		wantNotes(t, s, 1)
		collected(t, other, topFirst(layers)...)
		collected(t, other)
		wantNotes(t, s, 0)
		wantIDs(t, s, []string{"mine", "empty"}, []string{"img"}, nil)
		if found := findings(t, s, time.Nanosecond); len(found) != 0 {
			t.Errorf("afterwards: %v", found)
		}
	})
}

func TestRepairCollectsDeadDrafts(t *testing.T) {
	for _, discard := range []bool{false, true} {
		t.Run(fmt.Sprint("discard ", discard), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				layers := dead(t, s, 3)
				report, err := s.Store.Check(t.Context(), strata.CheckOptions{})
				must(t, err)
				d := s.NewDraft() // somebody comes to use the lowest
				must(t, d.Use(t.Context(), layers[0].ID))
				repaired, err := s.Repair(t.Context(), report, strata.RepairOptions{Discard: discard})
				must(t, err)
				wantEqual(t, "left", 0, len(repaired.Left))
				wantEqual(t, "layers", []string{string(layers[0].ID)}, layerIDs(t, s))
				if kept, err := os.ReadDir(repaired.Trash); discard == (err == nil) || !discard && len(kept) != 2 {
					t.Errorf("trash %q has %v, %v", repaired.Trash, kept, err)
				}
				must(t, d.Close(t.Context()))
				collected(t, s, layers[0])
			})
		})
	}
}

// TestDeadDraftsInUse: what a dead process made stays as long as anybody needs it, and not
// longer unless it has become somebody's own.
func TestDeadDraftsInUse(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, s *storetest.Store, top layer.Layer) (end func()){
		"a live draft": func(t *testing.T, s *storetest.Store, top layer.Layer) func() {
			d := s.Again(t).NewDraft()
			must(t, d.Use(t.Context(), top.ID))
			return func() { must(t, d.Close(t.Context())) }
		},
		"a child layer": func(t *testing.T, s *storetest.Store, top layer.Layer) func() {
			createLayer(t, s, "child", string(top.ID))
			return func() { must(t, s.DeleteLayer(t.Context(), "child")) }
		},
		"a lease": func(t *testing.T, s *storetest.Store, top layer.Layer) func() {
			chains := s.Again(t).Substores().Chains
			r, err := chains.Get(t.Context(), top.Chain)
			must(t, err)
			return func() { must(t, errOf(chains.Release(t.Context(), r))) }
		},
		"a mount": func(t *testing.T, s *storetest.Store, top layer.Layer) func() {
			must(t, errOf(s.Mount(t.Context(), string(top.ID), strata.MountOptions{})))
			return func() { must(t, errOf(s.Unmount(t.Context(), string(top.ID), strata.UnmountOptions{}))) }
		},
		"a live draft's child": func(t *testing.T, s *storetest.Store, top layer.Layer) func() {
			d := s.Again(t).NewDraft()
			must(t, errOf(s.ImportLayer(t.Context(), strata.LayerOptions{Parent: string(top.ID), Draft: d}, bytes.NewReader(testTar("x")))))
			return func() { must(t, d.Discard(t.Context())) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				layers := dead(t, s, 3)
				end := use(t, s, layers[1])
				collected(t, s, layers[2])
				collected(t, s)
				end()
				collected(t, s, topFirst(layers[:2])...)
				wantNotes(t, s, 0)
			})
		})
	}
}

// TestDeadDraftsThatAreOwned: nothing but a deletion removes them any more.
func TestDeadDraftsThatAreOwned(t *testing.T) {
	for name, own := range map[string]func(t *testing.T, s *storetest.Store, layers []layer.Layer){
		"an image": func(t *testing.T, s *storetest.Store, layers []layer.Layer) {
			createImage(t, s, "img", string(layers[2].ID))
		},
		"a container": func(t *testing.T, s *storetest.Store, layers []layer.Layer) {
			createImage(t, s, "img", string(layers[2].ID))
			createContainer(t, s, "con", "img")
			must(t, errOf(s.Delete(t.Context(), "img"))) // the record alone
			s.Damaged()
		},
		"names": func(t *testing.T, s *storetest.Store, layers []layer.Layer) {
			for _, l := range layers {
				must(t, errOf(s.AddNames(t.Context(), string(l.ID), []string{"name-" + string(l.ID)[:8]})))
			}
		},
		"somebody who imports the same": func(t *testing.T, s *storetest.Store, layers []layer.Layer) {
			parent := ""
			for i, one := range stackOf(t, 3, new([]error)) {
				tar, err := one.Open(t.Context())
				must(t, err)
				l, err := s.ImportLayer(t.Context(), strata.LayerOptions{Parent: parent, DeriveID: true, Image: true}, tar)
				must(t, err)
				wantEqual(t, "layer", layers[i].ID, l.ID)
				parent = string(l.ID)
			}
		},
		"others of the same IDs": func(t *testing.T, s *storetest.Store, layers []layer.Layer) {
			for _, l := range topFirst(layers) {
				must(t, s.DeleteLayer(t.Context(), string(l.ID)))
			}
			must(t, errOf(s.ImportStack(t.Context(), strata.StackOptions{}, stackOf(t, 3, new([]error)))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				layers := dead(t, s, 3)
				own(t, s, layers)
				before := layerIDs(t, s)
				collected(t, s)
				wantEqual(t, "layers", before, layerIDs(t, s))
				wantNotes(t, s, 0)
			})
		})
	}
}

// TestDraftsShareLayers has two who make images on the same base.
func TestDraftsShareLayers(t *testing.T) {
	for _, second := range []string{"dies", "finishes"} {
		t.Run("the second "+second, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				ctx := t.Context()
				a, layers := drafted(t, s, 2)
				other := s.Again(t)
				b := other.NewDraft()
				must(t, b.Use(t.Context(), layers[0].ID))
				own, err := other.ImportLayer(ctx, strata.LayerOptions{Parent: string(layers[0].ID), Image: true, DeriveID: true, Draft: b}, bytes.NewReader(testTar("b")))
				must(t, err)
				must(t, a.Close(ctx))
				collected(t, s, layers[1])
				if second == "dies" {
					must(t, b.Close(ctx))
					collected(t, s, own, layers[0])
					wantNotes(t, s, 0)
					return
				}
				must(t, errOf(other.CreateImage(ctx, image.CreateOptions{ID: "b", TopLayer: string(own.ID)})))
				b.Done(ctx, own.ID)
				collected(t, s)
				wantNotes(t, s, 0)
				must(t, errOf(s.DeleteImage(ctx, "b", strata.DeleteImageOptions{})))
				wantIDs(t, s, nil, nil, nil)
			})
		})
	}
}

// TestDraftsKeepWhatTheyUse: deleting an image takes no layer from who is about to use it.
func TestDraftsKeepWhatTheyUse(t *testing.T) {
	for _, end := range []string{"dies", "finishes"} {
		t.Run("who "+end, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				ctx := t.Context()
				d, layers := drafted(t, s, 3)
				must(t, errOf(s.CreateImage(ctx, image.CreateOptions{ID: "old", TopLayer: string(layers[2].ID)})))
				d.Done(ctx, layers[2].ID)
				next := s.Again(t).NewDraft()
				must(t, next.Use(t.Context(), layers[0].ID, layers[1].ID))
				must(t, errOf(s.DeleteImage(ctx, "old", strata.DeleteImageOptions{})))
				collected(t, s)
				wantEqual(t, "layers", idsOf(layers[:2]), layerIDs(t, s))
				if end == "dies" {
					must(t, next.Close(ctx))
					collected(t, s, layers[1], layers[0])
					return
				}
				must(t, errOf(s.CreateImage(ctx, image.CreateOptions{ID: "new", TopLayer: string(layers[1].ID)})))
				next.Done(ctx, layers[1].ID)
				collected(t, s)
				must(t, errOf(s.DeleteImage(ctx, "new", strata.DeleteImageOptions{})))
				wantIDs(t, s, nil, nil, nil)
				wantNotes(t, s, 0)
			})
		})
	}
}

func TestDraftsEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		// Without anything made, nothing stays.
		d := s.NewDraft()
		wantNotes(t, s, 0)
		must(t, d.Use(t.Context(), "whatever"))
		wantNotes(t, s, 1)
		must(t, d.Close(ctx))
		wantNotes(t, s, 0)
		if err := d.Use(t.Context(), "more"); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("use of an ended draft: %v", err)
		}

		// Discarded: all that nothing needs is gone.
		d, layers := drafted(t, s, 3)
		createLayer(t, s, "child", string(layers[0].ID))
		must(t, d.Discard(ctx))
		must(t, d.Discard(ctx))
		wantEqual(t, "layers", []string{string(layers[0].ID), "child"}, layerIDs(t, s))
		must(t, s.DeleteLayer(ctx, "child"))
		collected(t, s, layers[0]) // its note stayed
		wantNotes(t, s, 0)

		// The same image by somebody else is the end of what a dead one noted.
		layers = dead(t, s, 3)
		d = s.NewDraft()
		must(t, d.Use(t.Context(), layers[0].ID, layers[1].ID, layers[2].ID))
		must(t, errOf(s.CreateImage(ctx, image.CreateOptions{ID: "img", TopLayer: string(layers[2].ID)})))
		d.Done(ctx, layers[2].ID)
		wantNotes(t, s, 0)
		collected(t, s)
	})
}

// TestDraftsInImageStores: graph roots that share an image store see each other's drafts.
func TestDraftsInImageStores(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		images := t.TempDir()
		open := func() *storetest.Store {
			return storetest.New(t, s.DriverName(), func(o *strata.Options) { o.ImageStore = images })
		}
		one, two := open(), open()
		layers := dead(t, one, 2)
		wantEqual(t, "notes", 1, len(noteFiles(t, images)))
		d := two.NewDraft()
		must(t, d.Use(t.Context(), layers[0].ID))
		collected(t, one, layers[1])
		collected(t, two)
		must(t, d.Close(t.Context()))
		wantEqual(t, "notes", 1, len(noteFiles(t, images)))
		collected(t, two, layers[0])
		wantEqual(t, "notes", 0, len(noteFiles(t, images)))
		wantIDs(t, one, nil, nil, nil)
		must(t, errOf(one.GC(t.Context(), strata.GCOptions{}))) // the tar-split is in its graph root

		// In the graph root before there was an image store.
		layers = dead(t, s, 1)
		opts := s.Options
		opts.ImageStore = images
		collected(t, storetest.Open(t, opts), layers[0])
		wantNotes(t, s, 0)
	})
}

// TestDeletedImagesLeaveTheGroundOfDrafts: what only a draft's layers stand on when its image
// goes, goes with those.
func TestDeletedImagesLeaveTheGroundOfDrafts(t *testing.T) {
	for _, alive := range []bool{true, false} {
		t.Run(fmt.Sprint("alive ", alive), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				ctx := t.Context()
				importLayer(t, s, "low", "", testutil.Entry{Name: "a", Body: "a"})
				importLayer(t, s, "mid", "low", testutil.Entry{Name: "b", Body: "b"})
				importLayer(t, s, "top", "mid", testutil.Entry{Name: "c", Body: "c"})
				createImage(t, s, "img", "top")
				d := s.NewDraft()
				own, err := s.ImportLayer(ctx, strata.LayerOptions{Parent: "mid", Draft: d}, bytes.NewReader(testTar("x")))
				must(t, err)
				if !alive {
					must(t, d.Close(ctx))
				}
				must(t, errOf(s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})))
				wantEqual(t, "layers", []string{"low", "mid", string(own.ID)}, layerIDs(t, s))
				must(t, d.Close(ctx))
				report, err := s.GC(ctx, strata.GCOptions{})
				must(t, err)
				wantEqual(t, "collected", []string{string(own.ID), "mid", "low"}, orphanIDs(report.Removed))
				wantIDs(t, s, nil, nil, nil)
			})
		})
	}
}

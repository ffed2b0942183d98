package strata_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
)

// TestRecordsComeBack: whichever record file is damaged, and however, an image and a container that it
// spoke of are there after a repair as they were, also without a copy of the file where files
// and other records tell what was in it.
func TestRecordsComeBack(t *testing.T) {
	damages := map[string]func(path string, text []byte) error{
		"junk":         func(path string, _ []byte) error { return os.WriteFile(path, []byte("{{{ junk"), 0o600) },
		"nothing left": func(path string, _ []byte) error { return replaceFile(path, nil) },
		"cut":          func(path string, text []byte) error { return os.WriteFile(path, text[:len(text)-30], 0o600) },
		"replaced":     func(path string, text []byte) error { return replaceFile(path, bytes.Repeat([]byte{0}, len(text))) },
		"null":         func(path string, _ []byte) error { return replaceFile(path, []byte("null")) },
		"no file":      func(path string, _ []byte) error { return os.Remove(path) },
	}
	for name, damage := range damages {
		for _, kind := range []string{"layer", "image", "container"} {
			for _, copies := range []bool{true, false} {
				// The container is the only one: nothing else tells of it, nor does the copy from before.
				if kind == "container" && (!copies || name == "junk" || name == "cut") {
					continue
				}
				t.Run(name+" "+kind+map[bool]string{false: " without a copy"}[copies], func(t *testing.T) {
					t.Parallel()
					ctx := t.Context()
					b, id := withImage(t)
					b.Tolerate()
					b.Damaged()
					c, err := b.CreateContainer(ctx, strata.ContainerOptions{Image: id, Names: []string{"web"}})
					must(t, err)
					mine := filepath.Join(b.home(string(c.Layer), "diff"), "mine")
					must(t, os.WriteFile(mine, []byte("work"), 0o600))
					path := b.records(kind)
					text, err := os.ReadFile(path)
					must(t, err)
					if !copies {
						must(t, os.RemoveAll(filepath.Join(b.GraphRoot(), "strata", "backup")))
					}
					must(t, damage(path, text))
					s := b.Again(t)
					report, err := s.Store.Check(ctx, strata.CheckOptions{})
					must(t, err)
					done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true})
					must(t, err)
					for _, f := range done.Left {
						t.Errorf("left: %v: %v", f.Finding, f.Err)
					}
					wantEqual(t, "removed", 0, len(done.Removed))
					after, err := s.Store.Check(ctx, strata.CheckOptions{})
					must(t, err)
					wantEqual(t, "findings afterwards", []string(nil), found(after.Findings))
					i, err := s.Image(ctx, id)
					must(t, err)
					wantEqual(t, "top layer", b.layers[2], string(i.TopLayer))
					got, err := s.Container(ctx, "web")
					must(t, err)
					wantEqual(t, "container", string(c.ID), string(got.ID))
					must(t, errOf(s.GC(ctx, strata.GCOptions{})))
					root, err := s.Mount(ctx, "web", strata.MountOptions{})
					must(t, err)
					work, err := os.ReadFile(filepath.Join(root, "mine"))
					if err != nil || string(work) != "work" {
						t.Errorf("%q, %v", work, err)
					}
					must(t, errOf(s.Unmount(ctx, "web", strata.UnmountOptions{})))
				})
			}
		}
	}
}

// TestFixtureRecordsComeBack: an empty layers.json of another engine, with no copy of it anywhere, gets
// back each record, and so does a torn images.json: digests, lengths, parents and ID maps are
// what the sound store has. Names that nothing else tells are lost.
func TestFixtureRecordsComeBack(t *testing.T) {
	sound := storetest.Open(t, unpackFixture(t, "plain-overlay"))
	layers, err := sound.Layers(t.Context())
	must(t, err)
	for _, name := range []string{"damaged-zero-layers", "damaged-torn-images"} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			s := storetest.Open(t, unpackFixture(t, name))
			s.Tolerate()
			report, err := s.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true})
			must(t, err)
			wantEqual(t, "left", 0, len(done.Left))
			wantEqual(t, "removed", 0, len(done.Removed))
			after, err := s.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "findings", []string(nil), found(after.Findings))
			for _, want := range layers {
				got, err := s.Layer(ctx, string(want.ID))
				must(t, err)
				wantEqual(t, "parent", want.Parent, got.Parent)
				wantEqual(t, "diff ID", want.DiffID, got.DiffID)
				wantEqual(t, "length", want.DiffSize, got.DiffSize)
				wantEqual(t, "maps", want.Mapping(), got.Mapping())
			}
			images, err := s.Images(ctx)
			must(t, err)
			wantEqual(t, "images", 1, len(images))
			for _, box := range []string{"c-plain", "c-changed", "c-mapped", "c-volatile"} {
				must(t, errOf(s.Mount(ctx, box, strata.MountOptions{})))
				must(t, errOf(s.Unmount(ctx, box, strata.UnmountOptions{})))
			}
		})
	}
}

// replaceFile does what an engine leaves whose new file never reached the disk.
func replaceFile(path string, text []byte) error {
	return errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path))
}

package strata_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/layer"
)

// TestDraftsAndPowerCuts: notes are not flushed. What can become of them costs a layer too
// many, never one that somebody has.
func TestDraftsAndPowerCuts(t *testing.T) {
	read := func(t *testing.T, s *storetest.Store) (path string, text []byte) {
		notes := noteFiles(t, s.GraphRoot())
		wantEqual(t, "notes", 1, len(notes))
		text, err := os.ReadFile(notes[0])
		must(t, err)
		return notes[0], text
	}
	t.Run("lost or cut", func(t *testing.T) {
		for _, part := range []int{-1, 0, 1, 2} { // of 3; -1 is the file itself
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				layers := dead(t, s, 2)
				path, text := read(t, s)
				must(t, os.Remove(path))
				if part >= 0 {
					must(t, os.WriteFile(path, text[:len(text)*part/3], 0o600))
				}
				collected(t, s)
				wantEqual(t, "layers", idsOf(layers), layerIDs(t, s))
			})
		}
	})
	t.Run("back again", func(t *testing.T) {
		storetest.Each(t, func(t *testing.T, s *storetest.Store) {
			ctx := t.Context()
			d, layers := drafted(t, s, 2)
			path, text := read(t, s)
			must(t, errOf(s.CreateImage(ctx, image.CreateOptions{ID: "img", TopLayer: string(layers[1].ID)})))
			d.Done(ctx, layers[1].ID)
			must(t, os.WriteFile(path, text, 0o600))
			collected(t, s)
			wantIDs(t, s, idsOf(layers), []string{"img"}, nil)
			wantNotes(t, s, 0)

			// The image is deleted and somebody imports the same layers for himself.
			must(t, errOf(s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})))
			must(t, errOf(s.ImportStack(ctx, strata.StackOptions{}, stackOf(t, 2, new([]error)))))
			must(t, os.WriteFile(path, text, 0o600))
			collected(t, s)
			wantEqual(t, "layers", idsOf(layers), layerIDs(t, s))
		})
	})
}

// loadJob makes an image of three layers as a load does.
func loadJob(ctx context.Context, s *strata.Store, _ int) (err error) {
	var t testing.T // only reports, and only what can not happen here
	stack := stackOf(&t, 3, new([]error))
	ids := []layer.ID{"", "", ""}
	parent := layer.ID("shared")
	for i := range ids {
		ids[i] = layer.ImageLayerID(parent, stack[i].Expect)
		parent = ids[i]
	}
	d := s.NewDraft()
	defer func() { err = errors.Join(err, d.Close(ctx)) }()
	if err := d.Use(ctx, ids...); err != nil {
		return err
	}
	from, below := 0, layer.ID("shared")
	for ; from < len(ids) && errOf(s.Layer(ctx, string(ids[from]))) == nil; from++ {
		below = ids[from]
	}
	if _, err := s.ImportStack(ctx, strata.StackOptions{Parent: below, Draft: d}, stack[from:]); err != nil {
		return err
	}
	_, err = s.CreateImage(ctx, image.CreateOptions{ID: "new", TopLayer: string(parent), BigData: []image.BigDatum{{Key: "manifest", Data: []byte("m")}}})
	if err == nil {
		d.Done(ctx, parent)
	}
	return err
}

// TestKilledLoads kills another process at every step of a load. Afterwards all is there
// or, with the garbage collected, nothing; and doing it again takes over what is there.
func TestKilledLoads(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		s.Tolerate()
		shared(t, s)
		kills, whole, none := 0, 0, 0
		step := 1
		if testing.Short() {
			step = 7
		}
		for skip := 0; ; skip += step {
			if !waitChild(t, startChild(t, s.Options, childJob{Job: "load", Skip: skip, Point: anyPoint})) {
				break
			}
			kills++
			afterInterruption(t, s, fmt.Sprintf("killed after %d", skip))
			if kills%2 == 0 {
				must(t, errOf(s.GC(t.Context(), strata.GCOptions{})))
				switch layers, images, _ := ids(t, s); {
				case len(layers) == 4 && len(images) == 2:
					whole++
				case len(layers) == 1 && len(images) == 1:
					none++
				default:
					t.Fatalf("killed after %d: layers %v, images %v", skip, layers, images)
				}
			}
			if err := loadJob(t.Context(), s.Store, 0); err != nil && !errors.Is(err, image.ErrDuplicateID) {
				t.Fatalf("again after a kill after %d: %v", skip, err)
			}
			must(t, errOf(s.GC(t.Context(), strata.GCOptions{})))
			wantNotes(t, s, 0)
			reset(t, s, nil)
			wantEqual(t, "layers", []string{"shared"}, layerIDs(t, s))
		}
		t.Logf("%d kills; of those collected, %d with the image, %d without", kills, whole, none)
		if none == 0 || whole == 0 && step == 1 {
			t.Error("not killed before and after")
		}
	})
}

package oci_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/oci"
)

// refusing is a store that does not record images, some or all of the time.
type refusing struct {
	*storetest.Store
	refuse func() error
}

func (r *refusing) CreateImage(ctx context.Context, opts image.CreateOptions) (image.Image, error) {
	if err := r.refuse(); err != nil {
		return image.Image{}, err
	}
	return r.Store.CreateImage(ctx, opts)
}

var errRefused = errors.New("no, says the test")

func never() error { return errRefused }

func loadInto(t *testing.T, store oci.Store, path string) ([]oci.Loaded, error) {
	t.Helper()
	src, err := oci.Open(t.Context(), path, nil, oci.OpenOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	return oci.Load(t.Context(), store, src, oci.LoadOptions{})
}

func layersOf(t *testing.T, s *storetest.Store) (ids []layer.ID) {
	t.Helper()
	all, err := s.Layers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		ids = append(ids, l.ID)
	}
	return ids
}

func wantLayers(t *testing.T, s *storetest.Store, n int) {
	t.Helper()
	if got := layersOf(t, s); len(got) != n {
		t.Errorf("%d layers, want %d", len(got), n)
	}
}

func collect(t *testing.T, s *storetest.Store, want int) {
	t.Helper()
	report, err := s.GC(t.Context(), strata.GCOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Removed) != want || len(report.Failed) > 0 {
		t.Errorf("collected %+v, failed %+v; want %d", report.Removed, report.Failed, want)
	}
}

// noNotes makes sure that nobody says to be making an image.
func noNotes(t *testing.T, s *storetest.Store) {
	t.Helper()
	notes, err := filepath.Glob(filepath.Join(s.GraphRoot(), "strata/unfinished/*"))
	if err != nil || len(notes) > 0 {
		t.Errorf("notes %v, %v", notes, err)
	}
}

// TestFailedLoads keep their layers for the next one, until garbage is collected.
func TestFailedLoads(t *testing.T) {
	base, top := twoLayers(t)
	path := pack(t, dockerFiles(t, []string{"app:1"}, base, top), nil)
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		if _, err := loadInto(t, &refusing{s, never}, path); !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		wantLayers(t, s, 2)
		loaded, err := loadInto(t, s, path)
		if err != nil || loaded[0].ReusedLayers != 2 || loaded[0].NewLayers != 0 {
			t.Errorf("loaded %+v, %v", loaded, err)
		}
		noNotes(t, s)
		collect(t, s, 0)
		wantLayers(t, s, 2)
		if _, err := s.DeleteImage(t.Context(), string(loaded[0].ID), strata.DeleteImageOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := loadInto(t, &refusing{s, never}, path); !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
		collect(t, s, 2)
		wantLayers(t, s, 0)
		noNotes(t, s)
	})
}

// TestFailedImportsAndCommits leave nothing: nobody could go on with a layer of theirs.
func TestFailedImportsAndCommits(t *testing.T) {
	base, _ := twoLayers(t)
	s := builtOn(t)
	before := layersOf(t, s)
	store := &refusing{s, never}
	attempts := map[string]func() error{
		"import": func() error {
			_, err := oci.Import(t.Context(), store, bytes.NewReader(testutil.Tar(t, testutil.Entry{Name: "f"})), oci.ImportOptions{})
			return err
		},
		"import of a layer that is there": func() error {
			_, err := oci.Import(t.Context(), store, bytes.NewReader(base), oci.ImportOptions{})
			return err
		},
		"commit": func() error {
			_, err := oci.Commit(t.Context(), store, "c", oci.CommitOptions{})
			return err
		},
	}
	for name, attempt := range attempts {
		if err := attempt(); !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", name, err)
		}
		if after := layersOf(t, s); !slices.Equal(after, before) {
			t.Errorf("%s: layers %v, before %v", name, after, before)
		}
		noNotes(t, s)
	}
}

// TestImageOnOtherLayers: an image that is there under its ID, but on other layers than this
// package would give it, leaves those without use.
func TestImageOnOtherLayers(t *testing.T) {
	base, top := twoLayers(t)
	path := pack(t, dockerFiles(t, []string{"app:1"}, base, top), nil)
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		first, err := loadInto(t, s, path)
		if err != nil {
			t.Fatal(err)
		}
		img, err := s.Image(t.Context(), string(first[0].ID))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.DeleteImage(t.Context(), string(img.ID), strata.DeleteImageOptions{}); err != nil {
			t.Fatal(err)
		}
		other, err := s.ImportLayer(t.Context(), strata.LayerOptions{}, bytes.NewReader(base))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateImage(t.Context(), image.CreateOptions{ID: img.ID, TopLayer: string(other.ID)}); err != nil {
			t.Fatal(err)
		}
		again, err := loadInto(t, s, path)
		if err != nil || !again[0].Existed {
			t.Errorf("loaded %+v, %v", again, err)
		}
		if got := layersOf(t, s); !slices.Equal(got, []layer.ID{other.ID}) {
			t.Errorf("layers %v, want %v", got, other.ID)
		}
		noNotes(t, s)
	})
}

// TestLoadsAndCollection has images with common layers loaded, refused and deleted, while
// somebody collects garbage all the time: nobody loses a layer, and nothing stays.
func TestLoadsAndCollection(t *testing.T) {
	base, top := twoLayers(t)
	var paths []string
	for i := range 3 {
		own := testutil.Tar(t, testutil.Entry{Name: fmt.Sprint("own", i), Body: "own"})
		name := fmt.Sprintf("app%d:1", i)
		paths = append(paths, pack(t, dockerFiles(t, []string{name}, base, top, own), nil))
	}
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		var loaders, collectors sync.WaitGroup
		var count atomic.Int64
		stop := make(chan struct{})
		collectors.Go(func() {
			mine := s.Again(t)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := mine.GC(t.Context(), strata.GCOptions{}); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for i, path := range paths {
			mine := s.Again(t)
			loaders.Go(func() {
				for range rounds {
					if err := loadAndDelete(t, mine, path, func() bool { return count.Add(1)%2 == 0 }); err != nil {
						t.Errorf("loader %d: %v", i, err)
						return
					}
				}
			})
		}
		loaders.Wait()
		close(stop)
		collectors.Wait()
		if _, err := s.GC(t.Context(), strata.GCOptions{}); err != nil {
			t.Error(err)
		}
		wantLayers(t, s, 0)
		noNotes(t, s)
	})
}

// loadAndDelete loads an image, which is refused or found whole, and deletes it.
func loadAndDelete(t *testing.T, s *storetest.Store, path string, refused func() bool) error {
	src, err := oci.Open(t.Context(), path, nil, oci.OpenOptions{TempDir: t.TempDir()})
	if err != nil {
		return err
	}
	defer src.Close()
	loaded, err := oci.Load(t.Context(), &refusing{s, func() error {
		if refused() {
			return errRefused
		}
		return nil
	}}, src, oci.LoadOptions{})
	if errors.Is(err, errRefused) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	img, err := s.Image(t.Context(), string(loaded[0].ID))
	if err != nil {
		return err
	}
	for id := img.TopLayer; id != ""; {
		l, err := s.Layer(t.Context(), string(id))
		if err != nil {
			return fmt.Errorf("layer %s of the image: %w", id, err)
		}
		id = l.Parent
	}
	if _, err := s.DeleteImage(t.Context(), string(img.ID), strata.DeleteImageOptions{}); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

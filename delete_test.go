package strata_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/layer"
)

// family makes base ← mid ← top, image img (top), image other (mid), container web
// on img, and a lone layer.
func family(t testing.TB, s *storetest.Store) (webLayer string) {
	t.Helper()
	createLayer(t, s, "base", "")
	createLayer(t, s, "mid", "base")
	createLayer(t, s, "top", "mid", "named-top")
	createLayer(t, s, "lone", "")
	createImage(t, s, "img", "top", "app:1")
	createImage(t, s, "other", "mid")
	return string(createContainer(t, s, "web", "img", "www").Layer)
}

func TestDeleteChecks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		webLayer := family(t, s)
		deleteImage := func(name string) error {
			_, err := s.DeleteImage(ctx, name, strata.DeleteImageOptions{})
			return err
		}
		deleteLayer := func(name string) error { return s.DeleteLayer(ctx, name) }
		deleteContainer := func(name string) error { return s.DeleteContainer(ctx, name) }
		tests := []struct {
			name string
			do   func(string) error
			arg  string
			want error
			text string
		}{
			{"unknown layer", deleteLayer, "none", strata.ErrNotALayer, "identifier is not a layer"},
			{"layer: name of an image", deleteLayer, "app:1", strata.ErrNotALayer, "identifier is not a layer"},
			{"layer with a child", deleteLayer, "base", layer.ErrHasChildren, "used by layer mid: layer has children"},
			{"child before image", deleteLayer, "mid", layer.ErrHasChildren, "used by layer top: layer has children"},
			{"layer of a container", deleteLayer, webLayer, layer.ErrUsedByContainer, "layer " + webLayer + " used by container web: layer is in use by a container"},
			{"unknown image", func(n string) error { return deleteImage(n) }, "none", strata.ErrNotAnImage, "identifier is not an image"},
			{"image: name of a layer", deleteImage, "named-top", strata.ErrNotAnImage, "identifier is not an image"},
			{"image of a container", deleteImage, "app:1", image.ErrUsedByContainer, "image used by web: image is in use by a container"},
			{"unknown container", deleteContainer, "none", strata.ErrNotAContainer, "identifier is not a container"},
			{"container: name of an image", deleteContainer, "app:1", strata.ErrNotAContainer, "identifier is not a container"},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if err := tt.do(tt.arg); !errors.Is(err, tt.want) || err.Error() != tt.text {
					t.Fatalf("error = %v, want %q", err, tt.text)
				}
			})
		}
		var inUse *strata.InUseError
		if err := deleteImage("img"); !errors.As(err, &inUse) || inUse.ByID != "web" || inUse.By != strata.KindContainer || !errors.Is(err, errdefs.ErrInUse) {
			t.Errorf("facts of the error: %+v", inUse)
		}
		wantIDs(t, s, []string{"base", "mid", "top", "lone", webLayer}, []string{"img", "other"}, []string{"web"})

		must(t, s.DeleteContainer(ctx, "www"))
		if err := deleteLayer("top"); err == nil || err.Error() != "layer top used by image img: layer is in use by an image" {
			t.Errorf("layer of an image: %v", err)
		}
		must(t, deleteLayer("lone"))
		wantIDs(t, s, []string{"base", "mid", "top"}, []string{"img", "other"}, nil)
	})
}

func TestDeleteImageCascade(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		family(t, s)
		must(t, s.DeleteContainer(ctx, "web"))
		for _, opts := range []strata.DeleteImageOptions{{DryRun: true}, {}} {
			removed, err := s.DeleteImage(ctx, "app:1", opts)
			must(t, err)
			wantEqual(t, "mid is another image's", []layer.ID{"top"}, removed)
		}
		wantIDs(t, s, []string{"base", "mid", "lone"}, []string{"other"}, nil)
		createLayer(t, s, "side", "base")
		removed, err := s.DeleteImage(ctx, "other", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "base has another child", []layer.ID{"mid"}, removed)
		wantIDs(t, s, []string{"base", "lone", "side"}, nil, nil)
		createImage(t, s, "empty", "")
		removed, err = s.DeleteImage(ctx, "empty", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "image without layers", []layer.ID(nil), removed)
	})
}

func TestDeleteImageTakesMappedCopies(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "base", "")
		createLayer(t, s, "top", "base")
		createLayer(t, s, "copy1", "base")
		createLayer(t, s, "copy2", "base")
		createImage(t, s, "img", "top")
		tx, err := s.Substores().Images.Begin(ctx)
		must(t, err)
		must(t, tx.AddMappedLayer("img", "copy1"))
		must(t, tx.AddMappedLayer("img", "copy2"))
		must(t, tx.Commit(ctx))
		must(t, s.DeleteLayer(ctx, "copy1"))
		i, err := s.Image(ctx, "img")
		must(t, err)
		wantEqual(t, "mapped copies left", []layer.ID{"copy2"}, i.MappedLayers)
		removed, err := s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "removed", []layer.ID{"copy2", "top", "base"}, removed)
		wantIDs(t, s, nil, nil, nil)
	})
}

func TestDeleteWithoutChecks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		s.Damaged()
		webLayer := family(t, s)
		// The same name in three kinds: one call removes one object.
		for kind, id := range map[strata.Kind]string{strata.KindLayer: "lone", strata.KindImage: "img", strata.KindContainer: "web"} {
			o, err := s.Find(ctx, id, kind)
			must(t, err)
			if o.Kind == kind {
				_, err = s.AddNames(ctx, id, []string{"same"})
				must(t, err)
			}
		}
		for _, want := range []strata.Kind{strata.KindContainer, strata.KindImage, strata.KindLayer} {
			o, err := s.Delete(ctx, "same")
			if err != nil || o.Kind != want {
				t.Errorf("deleted a %s, %v; want a %s", o.Kind, err, want)
			}
		}
		wantIDs(t, s, []string{"base", "mid", "top"}, []string{"other"}, nil)
		if _, err := s.Layer(ctx, webLayer); !errors.Is(err, layer.ErrUnknown) {
			t.Errorf("the container's layer stays: %v", err)
		}
		if _, err := s.Delete(ctx, "same"); !errors.Is(err, layer.ErrUnknown) || err.Error() != "layer not known" {
			t.Errorf("nothing left to delete: %v", err)
		}
		o, err := s.Delete(ctx, "mid") // has a child and an image
		if err != nil || o.Kind != strata.KindLayer {
			t.Errorf("deleted %+v, %v", o, err)
		}
		wantIDs(t, s, []string{"base", "top"}, []string{"other"}, nil)
		if _, err := s.ImageSize(ctx, "other"); !errors.Is(err, layer.ErrUnknown) {
			t.Errorf("size of an image without its layer: %v", err)
		}
		if _, err := s.DeleteImage(ctx, "other", strata.DeleteImageOptions{}); err != nil {
			t.Errorf("a damaged image can not be deleted: %v", err)
		}
	})
}

func TestDeleteContainerWithoutLayer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		c := createContainer(t, s, "box", "")
		if _, err := s.Mount(ctx, "box", strata.MountOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err := s.Delete(ctx, "box") // while mounted
		must(t, err)
		c = createContainer(t, s, "box", "")
		tx, err := s.Substores().Layers.Begin(ctx)
		must(t, err)
		remove, err := tx.Delete(ctx, c.Layer)
		must(t, err)
		must(t, tx.Commit(ctx))
		must(t, remove())
		s.Damaged()
		must(t, s.DeleteContainer(ctx, "box"))
		wantIDs(t, s, nil, nil, nil)
	})
}

func TestDeleteMounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "lay", "")
		createImage(t, s, "i", "lay")
		createContainer(t, s, "box", "i")
		dirs := []string{}
		for _, get := range []func() (string, error){
			func() (string, error) { return s.ContainerDir(ctx, "box") },
			func() (string, error) { return s.ContainerRunDir(ctx, "box") },
		} {
			dir, err := get()
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
			dirs = append(dirs, dir)
		}
		for range 2 {
			_, err := s.Mount(ctx, "box", strata.MountOptions{})
			must(t, err)
		}
		must(t, s.DeleteContainer(ctx, "box"))
		for _, dir := range dirs {
			if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s stays: %v", dir, err)
			}
		}
		_, err := s.Mount(ctx, "lay", strata.MountOptions{})
		must(t, err)
		_, err = s.DeleteImage(ctx, "i", strata.DeleteImageOptions{})
		must(t, err)
		wantIDs(t, s, nil, nil, nil)
		mounted, err := s.Shutdown(ctx, strata.ShutdownOptions{})
		if err != nil || len(mounted) != 0 {
			t.Errorf("still mounted: %v, %v", mounted, err)
		}
	})
}

func TestWipe(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		family(t, s)
		_, err := s.Mount(t.Context(), "web", strata.MountOptions{})
		must(t, err)
		for range 2 {
			must(t, s.Wipe(t.Context()))
			wantIDs(t, s, nil, nil, nil)
		}
	})
}

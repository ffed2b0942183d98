package oci_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/oci"
)

// interfering is a store in which somebody else does something before a step of a load.
type interfering struct {
	*storetest.Store
	record, verify func()
}

func once(f func()) func() {
	return func() {
		if g := f; g != nil {
			f = nil
			g()
		}
	}
}

func (i *interfering) CreateImage(ctx context.Context, opts image.CreateOptions) (image.Image, error) {
	i.record()
	return i.Store.CreateImage(ctx, opts)
}

func (i *interfering) Verify(ctx context.Context, opts strata.VerifyOptions) (*strata.VerifyReport, error) {
	i.verify()
	return i.Store.Verify(ctx, opts)
}

// TestLoadBesideDeletions: what somebody deletes while an image that needs it is loaded is
// loaded once more.
func TestLoadBesideDeletions(t *testing.T) {
	base, top := twoLayers(t)
	small := pack(t, dockerFiles(t, []string{"base:1"}, base), nil)
	whole := pack(t, dockerFiles(t, []string{"app:1"}, base, top), nil)
	deleteTop := func(t *testing.T, s *storetest.Store) {
		all, err := s.Layers(t.Context())
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		if err := s.DeleteLayer(t.Context(), string(all[len(all)-1].ID)); err != nil {
			t.Error(err)
		}
	}
	for _, tt := range []struct {
		name string
		// first is loaded before: an image, or only its layers.
		first   string
		refused bool
		// point is where deleted runs; "record" and "verify" are calls of the load.
		point   string
		deleted func(t *testing.T, s *storetest.Store)
	}{
		{"the layer below while one is staged", small, true, "layer.stage", deleteTop},
		{"the layer below before it is looked at again", small, true, "strata.import.stage", deleteTop},
		{"the top layer before the image is recorded", whole, true, "record", deleteTop},
		{"the image while it is verified", whole, false, "verify", func(t *testing.T, s *storetest.Store) {
			if _, err := s.DeleteImage(t.Context(), "docker.io/library/app:1", strata.DeleteImageOptions{}); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *storetest.Store) {
				var first oci.Store = s
				if tt.refused {
					first = &refusing{s, never}
				}
				if _, err := loadInto(t, first, tt.first); tt.refused != errors.Is(err, errRefused) {
					t.Fatal(err)
				}
				interfere := once(func() { tt.deleted(t, s) })
				i := &interfering{s, func() {}, func() {}}
				switch tt.point {
				case "record":
					i.record = interfere
				case "verify":
					i.verify = interfere
				default:
					defer faults.Enable(faults.Rule{Point: tt.point, Under: s.GraphRoot(), Times: 1, Do: interfere})()
				}
				loaded, err := loadInto(t, i, whole)
				if err != nil {
					t.Fatal(err)
				}
				wantLayers(t, s, 2)
				if img, err := s.Image(t.Context(), "docker.io/library/app:1"); err != nil || img.ID != loaded[0].ID || img.TopLayer == layer.ID("") {
					t.Errorf("image %+v, %v", img, err)
				}
				noNotes(t, s)
				collect(t, s, 0)
			})
		})
	}
}

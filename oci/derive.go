package oci

import (
	"context"
	"errors"
	"io"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/layer"
)

// drafted makes an image with account of its layers. When it fails, they are gone.
func drafted(ctx context.Context, store Store, with func(*strata.Draft) (Loaded, error)) (Loaded, error) {
	d := store.NewDraft()
	out, err := with(d)
	return out, errors.Join(err, d.Discard(ctx)) // which does nothing for a recorded image
}

// storeDiff stores a layer tar whose diff ID is not known yet as an image layer
// on top of parent. The tar may be compressed.
func storeDiff(ctx context.Context, store Store, d *strata.Draft, parent layer.ID, diff io.Reader, task Task) (layer.Layer, error) {
	opts := strata.LayerOptions{Parent: string(parent), Image: true, DeriveID: true, Draft: d}
	return store.ImportLayer(ctx, opts, counted{diff, task})
}

// build records a new image: its configuration, and a manifest of its
// uncompressed layers, base first, as engines that build into the store do.
func build(ctx context.Context, store Store, d *strata.Draft, config []byte, layers []layer.Layer, names []string) (Loaded, error) {
	p, err := newParts(config, layers)
	if err != nil {
		return Loaded{}, err
	}
	var top layer.ID
	if n := len(layers); n > 0 {
		top = layers[n-1].ID
	}
	out := Loaded{ID: p.id(), Names: names}
	out.Existed, err = record(ctx, store, d, p, top, names)
	return out, err
}

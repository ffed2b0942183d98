package oci

import (
	"context"
	"io"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/layer"
)

// storeDiff stores a layer tar whose diff ID is not known yet as an image layer
// on top of parent. The tar may be compressed.
func storeDiff(ctx context.Context, store Store, parent layer.ID, diff io.Reader, task Task) (layer.Layer, error) {
	opts := strata.LayerOptions{Parent: string(parent), Image: true, DeriveID: true}
	return store.ImportLayer(ctx, opts, counted{diff, task})
}

// build records a new image: its configuration, and a manifest of its
// uncompressed layers, base first, as engines that build into the store do.
func build(ctx context.Context, store Store, config []byte, layers []layer.Layer, names []string) (Loaded, error) {
	p, err := newParts(config, layers)
	if err != nil {
		return Loaded{}, err
	}
	var top layer.ID
	if n := len(layers); n > 0 {
		top = layers[n-1].ID
	}
	out := Loaded{ID: p.id(), Names: names}
	out.Existed, err = record(ctx, store, p, top, names)
	return out, err
}

package strata

import (
	"context"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// Snapshot is all objects at one moment, each kind in listing order. It is a
// value of its own and does not change with the store.
type Snapshot struct {
	Layers     []layer.Layer
	Images     []image.Image
	Containers []container.Container
}

// Snapshot returns layers, images and containers as they were at one moment, so
// that every reference between them that was whole is whole in it.
func (s *Store) Snapshot(ctx context.Context) (snap *Snapshot, err error) {
	t, err := s.begin(ctx, want{layers: shared, images: shared, containers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	snap = &Snapshot{}
	if snap.Layers, err = t.layers.Layers(); err != nil {
		return nil, err
	}
	if snap.Images, err = t.images.Images(); err != nil {
		return nil, err
	}
	if snap.Containers, err = t.containers.Containers(); err != nil {
		return nil, err
	}
	return snap, nil
}

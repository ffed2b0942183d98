package strata

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/layer"
)

// layerPlan describes a layer to be made.
type layerPlan struct {
	layer.CreateOptions
	// copies: making it means copying the parent's files with other owners.
	copies bool
}

// emptyLayer is a new layer without content of its own. Where the driver copies
// the parent for it, the copy is made before any lock is taken; elsewhere making
// it takes a few directories, which is done under the lock.
type emptyLayer struct {
	stage  *layer.Stage // nil: to be created in the transaction
	wanted layerPlan
}

// prepareLayer copies the parent if the driver works like that, or the plan is to. The caller defers
// discard. It is called with no lock held, so what opts say may be overtaken by
// the time of adopting.
func (s *Store) prepareLayer(ctx context.Context, opts layerPlan) (*emptyLayer, error) {
	e := &emptyLayer{wanted: opts}
	c, ok := s.driver.get().(graphdriver.Capable)
	copies := opts.copies || ok && c.Capabilities().CopiesParent
	if !copies || opts.Parent == "" {
		return e, nil
	}
	st, err := s.layers.Stage(ctx, layer.StageOptions{
		Parent:     opts.Parent,
		Mapping:    opts.Mapping,
		MountLabel: opts.MountLabel,
		StorageOpt: opts.StorageOpt,
		Image:      opts.Image,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("copy parent layer %s: %w", opts.Parent, err)
	}
	if err := st.Sync(ctx); err != nil {
		return nil, errors.Join(err, st.Discard())
	}
	e.stage = st
	return e, nil
}

// create makes the layer in t. When something else is wanted by now than what was
// prepared, that is made under the lock after all.
func (e *emptyLayer) create(ctx context.Context, t *tx, opts layerPlan) (layer.Layer, error) {
	if e.stage != nil && e.wanted.Parent == opts.Parent && e.wanted.Mapping.Equal(opts.Mapping) {
		return t.writeLayers.Adopt(ctx, e.stage, opts.CreateOptions)
	}
	return t.writeLayers.Create(ctx, opts.CreateOptions)
}

// discard removes what was not used. Always safe to defer.
func (e *emptyLayer) discard() error {
	if e.stage == nil {
		return nil
	}
	return e.stage.Discard()
}

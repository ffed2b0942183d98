package strata

import (
	"context"
	"fmt"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// AdditionalLayer finds a layer in the additional layer stores (the driver option
// "additionallayerstore=PATH[:ref]"; on-disk format, 4.11) by the digest of its table of
// contents. imageRef is the image that it is wanted for, which stores with ":ref" ask for. An
// *UnknownError about a layer if no store has it, or the driver serves none. The caller
// calls Release, also after PutAdditionalLayer.
func (s *Store) AdditionalLayer(ctx context.Context, toc layer.TOCDigest, imageRef string) (*layer.Additional, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	a, err := s.layers.FindAdditional(ctx, toc, imageRef)
	return a, known(KindLayer, string(toc), err)
}

// PutAdditionalLayer makes a layer of one of an additional layer store, whose files stay
// there: it can be stood on, and mounted read-only. Of opts the ID, names, parent, metadata,
// label and data items count. Errors are CreateLayer's.
func (s *Store) PutAdditionalLayer(ctx context.Context, a *layer.Additional, opts LayerOptions) (l layer.Layer, err error) {
	if opts.Mapping.set() {
		return layer.Layer{}, fmt.Errorf("ID mapping of an additional layer: its owner keeps it as it is: %w", errdefs.ErrInvalid)
	}
	t, err := s.begin(ctx, want{layers: exclusive, containers: shared})
	if err != nil {
		return layer.Layer{}, err
	}
	defer t.end(&err)
	plan, err := s.plan(t, opts)
	if err != nil {
		return layer.Layer{}, err
	}
	if l, err = t.writeLayers.CreateFrom(ctx, a, plan.CreateOptions); err != nil {
		return layer.Layer{}, err
	}
	return l, t.writeLayers.Commit(ctx)
}

package strata

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// HealLayer gives a damaged layer its files back, from the tar that it came as (which
// may be compressed): the tar is read, checked against the recorded diff ID and
// unpacked with no lock held, then takes the place of what is there. ID, record, and
// the layers, images and containers on it stay. A record that has lost its diff ID gets it
// again, if the layer's ID proves that the tar is the layer's.
//
// An *UnknownError; errdefs.ErrCorrupt for another tar; layer.ErrReadOnlyStore for a layer
// of an additional store; layer.ErrMounted while the layer or one on it is mounted;
// errdefs.ErrUnsupported for a layer without a diff ID whose ID proves none, and for plugin drivers. When it fails or
// is cancelled, the layer is as it was.
func (s *Store) HealLayer(ctx context.Context, id layer.ID, diff io.Reader) (err error) {
	l, err := s.Layer(ctx, string(id))
	if err != nil {
		return err
	}
	st, err := s.layers.Stage(ctx, layer.StageOptions{
		Parent: l.Parent, Mapping: l.Mapping(), MountLabel: l.MountLabel, Image: !s.inGraphRoot(l.ID), Expect: l.DiffID,
	}, diff)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Discard()) }()
	if l.DiffID == "" && layer.ImageLayerID(l.Parent, st.DiffID()) != l.ID {
		return fmt.Errorf("heal layer %s: it has no recorded diff ID, and its ID is not that of this tar: %w", l.ID, errdefs.ErrUnsupported)
	}
	if err := st.Sync(ctx); err != nil {
		return err
	}
	t, err := s.begin(ctx, want{layers: exclusive})
	if err != nil {
		return err
	}
	defer t.end(&err)
	if l.DiffID != "" {
		return t.writeLayers.Replace(ctx, l.ID, st)
	}
	if err := t.writeLayers.SetDiffID(l.ID, st.DiffID(), st.Ingested().DiffSize); err != nil {
		return err
	}
	if err := t.writeLayers.Replace(ctx, l.ID, st); err != nil {
		return err
	}
	return t.writeLayers.Commit(ctx)
}

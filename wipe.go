package strata

import (
	"context"
	"errors"

	"github.com/stratastore/strata/layer"
)

// Wipe removes every container, image and layer of the written store, used or
// not; mounted layers are unmounted first. Additional stores stay as they are.
// An interrupted one can be repeated.
func (s *Store) Wipe(ctx context.Context) (err error) {
	t, err := s.begin(ctx, everything)
	if err != nil {
		return err
	}
	defer t.end(&err)
	if err := t.wipeContainers(ctx); err != nil {
		return err
	}
	if err := t.wipeImages(ctx); err != nil {
		return err
	}
	var own []layer.ID
	all, err := t.layers.Layers()
	if err != nil {
		return err
	}
	for _, l := range all {
		if !l.ReadOnly {
			own = append(own, l.ID)
		}
	}
	return t.deleteLayers(ctx, own...)
}

func (t *tx) wipeContainers(ctx context.Context) error {
	all, err := t.containers.Containers()
	for _, c := range all {
		err = errors.Join(err, t.writeContainers.Delete(c.ID))
	}
	if err != nil {
		return err
	}
	return t.writeContainers.Commit(ctx)
}

func (t *tx) wipeImages(ctx context.Context) error {
	all, err := t.images.Images()
	for _, i := range all {
		if !i.ReadOnly {
			err = errors.Join(err, t.writeImages.Delete(i.ID))
		}
	}
	if err != nil {
		return err
	}
	return t.writeImages.Commit(ctx)
}

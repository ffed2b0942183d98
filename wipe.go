package strata

import (
	"context"
	"errors"

	"github.com/stratastore/strata/internal/unfinished"
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
	own, err := t.ownLayers()
	if err != nil {
		return err
	}
	note, err := s.note(own...)
	if err != nil && !noRoom(err) {
		return err
	}
	if note == nil {
		note = &unfinished.Note{}
	}
	defer end(note, &err)
	return t.wipe(ctx, own)
}

// wipe removes everything and ends t.
func (t *tx) wipe(ctx context.Context, own []layer.ID) error {
	if err := t.wipeContainers(ctx); err != nil {
		return err
	}
	if err := t.wipeImages(ctx); err != nil {
		return err
	}
	return t.deleteLayers(ctx, own...)
}

// ownLayers are the layers of the written store.
func (t *tx) ownLayers() (own []layer.ID, err error) {
	all, err := t.layers.Layers()
	for _, l := range all {
		if !l.ReadOnly {
			own = append(own, l.ID)
		}
	}
	return own, err
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

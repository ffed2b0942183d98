package strata

import (
	"context"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// Metadata returns the creator's text of a layer, else an image, else a
// container. An *UnknownError about a layer if there is nothing of that name.
func (s *Store) Metadata(ctx context.Context, nameOrID string) (string, error) {
	o, err := s.findAny(ctx, nameOrID)
	return o.Metadata, err
}

// SetMetadata replaces the creator's text of a layer, else an image, else a
// container. ErrNotAnID if there is nothing of that name in the written store;
// errdefs.ErrInvalid for what is not UTF-8.
func (s *Store) SetMetadata(ctx context.Context, nameOrID, text string) (err error) {
	o, err := s.findWhere(ctx, nameOrID, anyOrder, func(o Object) bool { return !o.ReadOnly })
	if err != nil {
		return err
	}
	t, err := s.begin(ctx, writing(o.Kind))
	if err != nil {
		return err
	}
	defer t.end(&err)
	err = t.setMetadata(ctx, o, text)
	if isUnknown(known(o.Kind, nameOrID, err)) {
		return ErrNotAnID
	}
	return err
}

func (t *tx) setMetadata(ctx context.Context, o Object, text string) (err error) {
	switch o.Kind {
	case KindLayer:
		err = t.writeLayers.SetMetadata(layer.ID(o.ID), text)
	case KindImage:
		err = t.writeImages.SetMetadata(image.ID(o.ID), text)
	case KindContainer:
		err = t.writeContainers.SetMetadata(container.ID(o.ID), text)
	}
	if err != nil {
		return err
	}
	return t.commitKind(ctx, o.Kind)
}

package strata

import (
	"context"
	"errors"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// The orders in which verbs that take any kind look for a name (command-line
// reference, 3.4).
var (
	anyOrder    = []Kind{KindLayer, KindImage, KindContainer}
	deleteOrder = []Kind{KindContainer, KindImage, KindLayer}
)

// Find looks for an object with this ID, name or unique prefix of an ID among one
// kind after the other in the given order; without an order among layers, images,
// containers. Not found is an *UnknownError when one kind was asked for, else
// ErrNotAnID. Each kind is looked at on its own: the answer is not one moment's.
func (s *Store) Find(ctx context.Context, nameOrID string, order ...Kind) (Object, error) {
	if len(order) == 0 {
		order = anyOrder
	}
	return s.findWhere(ctx, nameOrID, order, func(Object) bool { return true })
}

// findWhere is Find among the objects that suit the caller.
func (s *Store) findWhere(ctx context.Context, nameOrID string, order []Kind, suits func(Object) bool) (Object, error) {
	for _, kind := range order {
		o, err := s.findKind(ctx, kind, nameOrID)
		if isUnknown(err) || err == nil && !suits(o) {
			continue
		}
		return o, err
	}
	if len(order) == 1 {
		return Object{}, &UnknownError{Kind: order[0], Name: nameOrID}
	}
	return Object{}, ErrNotAnID
}

func isUnknown(err error) bool {
	var unknown *UnknownError
	return errors.As(err, &unknown)
}

func (s *Store) findKind(ctx context.Context, kind Kind, nameOrID string) (o Object, err error) {
	t, err := s.begin(ctx, readOnly(kind))
	if err != nil {
		return Object{}, err
	}
	defer t.end(&err)
	return t.find(kind, nameOrID)
}

// readOnly and writing say what a call needs that deals with one kind.
func readOnly(kind Kind) want { return wantOf(kind, shared) }
func writing(kind Kind) want  { return wantOf(kind, exclusive) }

func wantOf(kind Kind, a access) want {
	switch kind {
	case KindLayer:
		return want{layers: a}
	case KindImage:
		return want{images: a}
	case KindContainer:
		return want{containers: a}
	}
	return want{}
}

// commitKind saves what was changed of one kind and ends that part of t.
func (t *tx) commitKind(ctx context.Context, kind Kind) error {
	switch kind {
	case KindLayer:
		return t.writeLayers.Commit(ctx)
	case KindImage:
		return t.writeImages.Commit(ctx)
	default:
		return t.writeContainers.Commit(ctx)
	}
}

// find looks among the records that t holds.
func (t *tx) find(kind Kind, nameOrID string) (Object, error) {
	switch kind {
	case KindLayer:
		l, err := t.layer(nameOrID)
		return layerObject(l), err
	case KindImage:
		i, err := t.image(nameOrID)
		return imageObject(i), err
	case KindContainer:
		c, err := t.container(nameOrID)
		return containerObject(c), err
	}
	return Object{}, errdefs.ErrInvalid
}

func layerObject(l layer.Layer) Object {
	return Object{Kind: KindLayer, ID: string(l.ID), Names: l.Names, Metadata: l.Metadata, ReadOnly: l.ReadOnly}
}

func imageObject(i image.Image) Object {
	return Object{Kind: KindImage, ID: string(i.ID), Names: i.Names, Metadata: i.Metadata, ReadOnly: i.ReadOnly}
}

func containerObject(c container.Container) Object {
	return Object{Kind: KindContainer, ID: string(c.ID), Names: c.Names, Metadata: c.Metadata}
}

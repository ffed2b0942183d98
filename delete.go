package strata

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/layer"
)

// Delete removes one object and asks nobody whether it is needed: a container
// (with its layer and directories), else an image's record (its layers stay), else
// a layer. What referred to it keeps dangling references. It returns what was
// removed; layer.ErrUnknown in an *UnknownError if there is nothing of that name.
func (s *Store) Delete(ctx context.Context, nameOrID string) (o Object, err error) {
	t, err := s.begin(ctx, everything)
	if err != nil {
		return Object{}, err
	}
	defer t.end(&err)
	for _, kind := range deleteOrder {
		o, err = t.findWritable(kind, nameOrID)
		if isUnknown(err) {
			continue
		}
		if err != nil {
			return Object{}, err
		}
		return o, s.delete(ctx, t, o)
	}
	return Object{}, &UnknownError{Kind: KindLayer, Name: nameOrID}
}

// delete removes what was found, without checks, and ends t.
func (s *Store) delete(ctx context.Context, t *tx, o Object) error {
	switch o.Kind {
	case KindContainer:
		c, err := t.containers.Get(container.ID(o.ID))
		if err != nil {
			return err
		}
		return s.deleteContainer(ctx, t, c)
	case KindImage:
		if err := t.writeImages.Delete(image.ID(o.ID)); err != nil {
			return err
		}
		return t.writeImages.Commit(ctx)
	default:
		return t.deleteLayers(ctx, layer.ID(o.ID))
	}
}

// findWritable looks among the objects that can be changed.
func (t *tx) findWritable(kind Kind, nameOrID string) (Object, error) {
	if kind == KindImage {
		i, err := t.images.LookupWritable(nameOrID)
		return imageObject(i), known(KindImage, nameOrID, err)
	}
	o, err := t.find(kind, nameOrID)
	if err == nil && o.ReadOnly {
		return Object{}, &UnknownError{Kind: kind, Name: nameOrID}
	}
	return o, err
}

// DeleteContainer removes a container: its layer, its directories and data, its
// record. A mounted one is unmounted. ErrNotAContainer if there is none.
//
// The record goes first: no engine ever sees a container without its layer.
func (s *Store) DeleteContainer(ctx context.Context, nameOrID string) (err error) {
	t, err := s.begin(ctx, everything)
	if err != nil {
		return err
	}
	defer t.end(&err)
	c, err := t.containers.Lookup(nameOrID)
	if errors.Is(err, container.ErrUnknown) {
		return ErrNotAContainer
	}
	if err != nil {
		return err
	}
	return s.deleteContainer(ctx, t, c)
}

// deleteContainer removes the container and ends t. A note makes sure that the layer
// follows its record. Without room for that, the layer, which has some, goes first.
func (s *Store) deleteContainer(ctx context.Context, t *tx, c container.Container) (err error) {
	layers := t.present(c.Layer)
	note, err := s.note(layers...)
	if noRoom(err) {
		return t.deleteLayerFirst(ctx, c, layers)
	}
	if err != nil {
		return err
	}
	defer end(note, &err)
	if err := t.writeContainers.Delete(c.ID); err != nil {
		return err
	}
	if err := t.writeContainers.Commit(ctx); err != nil {
		return errors.Join(err, t.close())
	}
	if err := faults.Hit("strata.delete.layer", s.roots.graph); err != nil {
		return fmt.Errorf("container %s is deleted, its layer is not: %w", c.ID, err)
	}
	if err := t.deleteLayers(ctx, layers...); err != nil {
		return fmt.Errorf("container %s is deleted, its layer is not: %w", c.ID, err)
	}
	return nil
}

// deleteLayerFirst is deleteContainer on a full disk. A crash in between leaves a
// container without a layer, which can be deleted.
func (t *tx) deleteLayerFirst(ctx context.Context, c container.Container, layers []layer.ID) error {
	remove, err := t.writeLayers.DeleteUnchecked(ctx, layers...)
	if err == nil {
		err = t.writeLayers.Commit(ctx)
	}
	if err == nil {
		err = t.writeContainers.Delete(c.ID)
	}
	if err == nil {
		err = t.writeContainers.Commit(ctx)
	}
	return errors.Join(err, t.close(), remove())
}

// present keeps the layers that can be deleted: a damaged store may miss some.
func (t *tx) present(ids ...layer.ID) []layer.ID {
	var out []layer.ID
	for _, id := range ids {
		if l, err := t.layers.Get(id); err == nil && !l.ReadOnly {
			out = append(out, id)
		}
	}
	return out
}

// deleteLayers removes layers and ends t; their bytes go when no lock is held. The
// caller has checked what may go.
func (t *tx) deleteLayers(ctx context.Context, ids ...layer.ID) error {
	remove, err := t.writeLayers.DeleteUnchecked(ctx, ids...)
	if err == nil {
		err = t.writeLayers.Commit(ctx)
	}
	return errors.Join(err, t.close(), remove())
}

// DeleteLayer removes a layer that nothing needs; a mounted one is unmounted.
// ErrNotALayer if there is none in the written store; an *InUseError when it has
// children, is the top layer of an image, or belongs to a container, looked at in
// that order; a *layer.LeasedError while a live process uses it. A mapped copy is
// taken off its image's list.
func (s *Store) DeleteLayer(ctx context.Context, nameOrID string) (err error) {
	t, err := s.begin(ctx, everything)
	if err != nil {
		return err
	}
	defer t.end(&err)
	l, err := t.layers.Find(nameOrID)
	if errors.Is(err, layer.ErrUnknown) || err == nil && l.ReadOnly {
		return ErrNotALayer
	}
	if err != nil {
		return err
	}
	images, err := t.images.ByTopLayer(l.ID)
	if err != nil {
		return err
	}
	if err := t.layerUnused(l, images); err != nil {
		return err
	}
	if err := t.forgetMapped(ctx, l.ID, images); err != nil {
		return err
	}
	return t.deleteLayers(ctx, l.ID)
}

// layerUnused is the order of checks that the command-line reference gives (5.8).
func (t *tx) layerUnused(l layer.Layer, images []image.Image) error {
	inUse := func(by Kind, id string) error {
		return &InUseError{Kind: KindLayer, ID: string(l.ID), By: by, ByID: id}
	}
	if children := t.layers.Children(l.ID); len(children) > 0 {
		return inUse(KindLayer, string(children[0]))
	}
	for _, i := range images {
		if i.TopLayer == l.ID {
			return inUse(KindImage, string(i.ID))
		}
	}
	c, err := t.containers.ByLayer(l.ID)
	if err == nil {
		return inUse(KindContainer, string(c.ID))
	}
	if errors.Is(err, container.ErrUnknown) {
		return t.leased(l.ID)
	}
	return err
}

// forgetMapped takes a mapped copy off the lists of its images.
func (t *tx) forgetMapped(ctx context.Context, id layer.ID, images []image.Image) error {
	changed := false
	for _, i := range images {
		if i.ReadOnly {
			continue
		}
		if err := t.writeImages.RemoveMappedLayer(i.ID, id); err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return t.writeImages.Commit(ctx)
}

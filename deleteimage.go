package strata

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/unfinished"
	"github.com/stratastore/strata/layer"
)

// DeleteImageOptions belong to DeleteImage.
type DeleteImageOptions struct {
	// DryRun says what would go and removes nothing.
	DryRun bool
}

// DeleteImage removes an image and the layers that only it needs: its mapped
// copies, then from its top layer downwards until some other image, container or
// layer needs one. What a live process holds, or only layers that a program
// registered need, stays and is collected when they are gone. It returns the layers
// that went, or would go, in order of removal: top first. ErrNotAnImage if there is
// none in the written stores; an *InUseError while a container has it.
//
// The record goes first: no engine ever sees an image without its layers. After an
// interruption the next process that opens the store removes the layers.
func (s *Store) DeleteImage(ctx context.Context, nameOrID string, opts DeleteImageOptions) (removed []layer.ID, err error) {
	w := everything
	if opts.DryRun {
		w = want{layers: shared, images: shared, containers: shared}
	}
	t, err := s.begin(ctx, w)
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	img, err := t.images.LookupWritable(nameOrID)
	if errors.Is(err, image.ErrUnknown) {
		return nil, ErrNotAnImage
	}
	if err != nil {
		return nil, err
	}
	removed, staying, err := t.layersOnlyOf(img)
	if err != nil || opts.DryRun {
		return removed, err
	}
	if err := s.deleteImage(ctx, t, img.ID, removed, staying); err != nil {
		return nil, err
	}
	return removed, nil
}

// deleteImage removes the record, then the layers. A note makes sure that they follow;
// on a full disk it goes without.
func (s *Store) deleteImage(ctx context.Context, t *tx, id image.ID, going, staying []layer.ID) (err error) {
	note, err := s.note(slices.Concat(going, staying)...)
	if err != nil && !noRoom(err) {
		return err
	}
	if note == nil {
		note = &unfinished.Note{}
	}
	defer end(note, &err)
	if err := t.writeImages.Delete(id); err != nil {
		return err
	}
	if err := t.writeImages.Commit(ctx); err != nil {
		return errors.Join(err, t.close())
	}
	if err := faults.Hit("strata.delete.layers", s.roots.graph); err != nil {
		return fmt.Errorf("image %s is deleted, its layers are not: %w", id, err)
	}
	err = t.leaveForCollection(staying)
	if err == nil {
		err = t.deleteLayers(ctx, going...)
	}
	if err != nil {
		return fmt.Errorf("image %s is deleted, its layers are not: %w", id, err)
	}
	return nil
}

// layersOnlyOf returns the layers that nothing but the image needs, in order of
// removal, and those of them that stay until a process, or a layer that a program
// registered on them, is gone; an *InUseError if a container has the image.
func (t *tx) layersOnlyOf(img image.Image) (going, staying []layer.ID, err error) {
	users, err := t.containers.ByImage(img.ID)
	if err != nil {
		return nil, nil, err
	}
	if len(users) > 0 {
		return nil, nil, &InUseError{Kind: KindImage, ID: string(img.ID), By: KindContainer, ByID: string(users[0].ID)}
	}
	c := cascade{tx: t, image: img.ID, top: img.TopLayer}
	kept := false // what a copy that stays was made from: its files stand on that
	for _, id := range img.MappedLayers {
		l, err := c.take(id)
		if err != nil {
			return nil, nil, err
		}
		kept = kept || l.ID == "" && c.layers.Exists(id)
	}
	for c.top != "" && !kept {
		l, err := c.take(c.top)
		if err != nil {
			return nil, nil, err
		}
		if l.ID == "" {
			break
		}
		c.top = l.Parent
	}
	return c.split()
}

// cascade collects the layers that go with an image.
type cascade struct {
	*tx
	image  image.ID
	top    layer.ID // the highest of the image's own layers that stays
	doomed []layer.ID
}

// take adds the layer if nothing that stays needs it. It returns the zero Layer
// when the layer stays, or is not there.
func (c *cascade) take(id layer.ID) (layer.Layer, error) {
	l, err := c.layers.Get(id)
	if errors.Is(err, layer.ErrUnknown) || err == nil && (l.ReadOnly || slices.Contains(c.doomed, id)) {
		return layer.Layer{}, nil
	}
	if err != nil {
		return layer.Layer{}, err
	}
	needed, err := c.needed(id)
	if err != nil || needed {
		return layer.Layer{}, err
	}
	c.doomed = append(c.doomed, id)
	return l, nil
}

func (c *cascade) needed(id layer.ID) (bool, error) {
	for _, child := range c.layers.Children(id) {
		if !slices.Contains(c.doomed, child) {
			return true, nil
		}
	}
	return c.used(id)
}

// used reports whether a container or another image has the layer.
func (c *cascade) used(id layer.ID) (bool, error) {
	_, err := c.containers.ByLayer(id)
	if err == nil || !errors.Is(err, container.ErrUnknown) {
		return true, err
	}
	images, err := c.images.ByTopLayer(id)
	if err != nil {
		return true, err
	}
	return slices.ContainsFunc(images, func(i image.Image) bool { return i.ID != c.image }), nil
}

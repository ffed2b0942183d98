package strata

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/layer"
)

// LayerSize returns the recorded length of the layer's uncompressed tar in bytes,
// and -1 when it is not known: a layer that was filled by hand has none.
func (s *Store) LayerSize(ctx context.Context, nameOrID string) (n int64, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return 0, err
	}
	defer t.end(&err)
	l, err := t.layer(nameOrID)
	if err != nil {
		return 0, err
	}
	n, err = t.layers.Size(l.ID)
	if errors.Is(err, layer.ErrSizeUnknown) {
		return -1, nil
	}
	return n, err
}

// ImageSize sums, in bytes, the recorded lengths of the uncompressed tars of all
// the image's layers, each once, mapped copies and parents included, and of its
// data items. Layers without a recorded length count 0. Nothing is read or
// mounted. An *UnknownError if there is no such image, or a layer of it is missing.
func (s *Store) ImageSize(ctx context.Context, nameOrID string) (n int64, err error) {
	t, err := s.begin(ctx, want{layers: shared, images: shared})
	if err != nil {
		return 0, err
	}
	defer t.end(&err)
	i, err := t.image(nameOrID)
	if err != nil {
		return 0, err
	}
	counted := map[layer.ID]bool{}
	for _, top := range i.TopLayers() {
		more, err := t.stackSize(top, counted)
		if err != nil {
			return 0, fmt.Errorf("layers of image %s: %w", i.ID, err)
		}
		n += more
	}
	return n + i.DataSize(), nil
}

// stackSize sums a layer and those below it, as far as they are not counted yet.
func (t *tx) stackSize(top layer.ID, counted map[layer.ID]bool) (sum int64, err error) {
	for id := top; id != "" && !counted[id]; {
		l, err := t.layers.Get(id)
		if err != nil {
			return 0, known(KindLayer, string(id), err)
		}
		counted[id] = true
		if l.DiffID != "" && l.DiffSize > 0 {
			sum += l.DiffSize
		}
		id = l.Parent
	}
	return sum, nil
}

// ContainerSize sums, in bytes, the files that the container changed in its
// layer, its data items, and the engine's own files about it in both roots. Its
// layer's tree is walked. An *UnknownError if there is no such container.
func (s *Store) ContainerSize(ctx context.Context, nameOrID string) (int64, error) {
	c, err := s.Container(ctx, nameOrID)
	if err != nil {
		return 0, err
	}
	n, err := s.layers.DiffSize(ctx, c.Layer, "", layer.DiffOptions{Mapping: c.Mapping()})
	if err != nil {
		return 0, fmt.Errorf("layer of container %s: %w", c.ID, known(KindLayer, string(c.Layer), err))
	}
	n += c.DataSize()
	for _, run := range []bool{false, true} {
		dir, err := s.containers.UserDir(c.ID, run)
		if err != nil {
			return 0, err
		}
		files, err := archive.TreeSize(ctx, dir)
		if err != nil {
			return 0, fmt.Errorf("files about container %s: %w", c.ID, err)
		}
		n += files
	}
	return n, nil
}

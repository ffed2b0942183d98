package strata

import (
	"context"
	"errors"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/lockfile"
)

// access says how the records of one kind are held.
type access int

const (
	untouched access = iota
	shared
	exclusive
)

// want says what a transaction needs.
type want struct {
	layers, images, containers access
	// userns also guards the choice of ID ranges.
	userns bool
}

// everything is what deleting needs.
var everything = want{layers: exclusive, images: exclusive, containers: exclusive}

// tx holds the records of up to three kinds. What was not asked for is nil. With
// exclusive access, reading sees the pending changes of the writer.
type tx struct {
	userns *lockfile.Held // nil when not asked for

	layers     *layer.ReadTx
	images     *image.ReadTx
	containers *container.ReadTx

	writeLayers     *layer.WriteTx
	writeImages     *image.WriteTx
	writeContainers *container.WriteTx

	store *Store // knows what live processes keep: read under the layers' locks
}

// begin takes the locks that w asks for. It is the one place that knows the order
// (on-disk format, 3.3): userns.lock; layers.lock of the graph root, of the image store, of the
// additional stores; images.lock likewise; containers.lock. Whoever holds a tx
// begins no other one and calls no method of Store, and mounts nothing: that needs
// storage.lock, which comes first. The caller defers close.
//
// What killed processes left half done is finished first.
func (s *Store) begin(ctx context.Context, w want) (*tx, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	return s.open(ctx, w)
}

// open is begin without looking at what others left.
func (s *Store) open(ctx context.Context, w want) (*tx, error) {
	t := &tx{store: s}
	var err error
	if w.userns {
		t.userns, err = s.userns.Exclusive(ctx)
	}
	if err == nil {
		err = t.openLayers(ctx, s.layers, w.layers)
	}
	if err == nil {
		err = t.openImages(ctx, s.images, w.images)
	}
	if err == nil {
		err = t.openContainers(ctx, s.containers, w.containers)
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *tx) openLayers(ctx context.Context, s *layer.Store, a access) (err error) {
	switch a {
	case shared:
		t.layers, err = s.View(ctx)
	case exclusive:
		if t.writeLayers, err = s.Begin(ctx); err == nil {
			t.layers = t.writeLayers.ReadTx
		}
	}
	return err
}

func (t *tx) openImages(ctx context.Context, s *image.Store, a access) (err error) {
	switch a {
	case shared:
		t.images, err = s.View(ctx)
	case exclusive:
		if t.writeImages, err = s.Begin(ctx); err == nil {
			t.images = t.writeImages.ReadTx
		}
	}
	return err
}

func (t *tx) openContainers(ctx context.Context, s *container.Store, a access) (err error) {
	switch a {
	case shared:
		t.containers, err = s.View(ctx)
	case exclusive:
		if t.writeContainers, err = s.Begin(ctx); err == nil {
			t.containers = t.writeContainers.ReadTx
		}
	}
	return err
}

// close gives back what is held, last taken first, and drops what is not
// committed. It may be called after commits and more than once.
func (t *tx) close() error {
	var errs []error
	switch {
	case t.writeContainers != nil:
		errs = append(errs, t.writeContainers.Close())
	case t.containers != nil:
		errs = append(errs, t.containers.Close())
	}
	switch {
	case t.writeImages != nil:
		errs = append(errs, t.writeImages.Close())
	case t.images != nil:
		errs = append(errs, t.images.Close())
	}
	switch {
	case t.writeLayers != nil:
		errs = append(errs, t.writeLayers.Close())
	case t.layers != nil:
		errs = append(errs, t.layers.Close())
	}
	if t.userns != nil {
		errs = append(errs, t.userns.Unlock())
	}
	return errors.Join(errs...)
}

// end closes t and joins what that gives to *err; for defer.
func (t *tx) end(err *error) { *err = errors.Join(*err, t.close()) }

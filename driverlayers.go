package strata

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/layer"
)

// CreateDriverLayer makes a layer in the driver only: no record speaks of it, and
// checking the store reports it. It serves tests and repairs. An ID that the
// driver has already is success. A parent without a record is looked for by its ID in the
// driver, whose error it is if that does not have it.
func (s *Store) CreateDriverLayer(ctx context.Context, opts LayerOptions) (id layer.ID, err error) {
	if opts.ID == "" {
		opts.ID = layer.NewID()
	}
	t, err := s.begin(ctx, want{layers: exclusive})
	if err != nil {
		return "", err
	}
	defer t.end(&err)
	create, parent, err := s.driverLayer(t, opts)
	if err != nil {
		return "", err
	}
	err = s.driver.get().Create(ctx, graphdriver.ID(opts.ID), parent, create)
	if err != nil && !errors.Is(err, errdefs.ErrExists) {
		return "", fmt.Errorf("create driver layer %s: %w", opts.ID, err)
	}
	return opts.ID, nil
}

// driverLayer finds the parent, among the records and else in the driver alone, and what
// follows from it.
func (s *Store) driverLayer(t *tx, opts LayerOptions) (create graphdriver.CreateOptions, parent graphdriver.ID, err error) {
	create = graphdriver.CreateOptions{MountLabel: opts.MountLabel, StorageOpt: opts.StorageOpt, Image: opts.Image}
	var l layer.Layer
	if opts.Parent != "" {
		l, err = t.layer(opts.Parent)
		if isUnknown(err) {
			// The driver decides; its files have the owners that it keeps files with.
			create.Mapping = opts.Mapping.resolve(s.opts.DefaultMapping)
			return create, graphdriver.ID(opts.Parent), nil
		}
		if err != nil {
			return create, "", err
		}
	}
	f, err := s.layerMapping(opts, l)
	if create.Mapping = f.stored; !f.fits {
		from := l.Mapping()
		create.Reown = &from
	}
	return create, graphdriver.ID(l.ID), err
}

// DriverLayers returns the layers that the driver has, sorted, whether records
// speak of them or not. graphdriver.ErrNotSupported when the driver can not list.
func (s *Store) DriverLayers(ctx context.Context) (ids []layer.ID, err error) {
	lister, ok := s.driver.get().(graphdriver.Lister)
	if !ok {
		return nil, graphdriver.ErrNotSupported
	}
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	found, err := lister.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list driver layers: %w", err)
	}
	for _, id := range found {
		ids = append(ids, layer.ID(id))
	}
	return ids, nil
}

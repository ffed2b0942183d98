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
// driver has already is success.
func (s *Store) CreateDriverLayer(ctx context.Context, opts LayerOptions) (id layer.ID, err error) {
	if opts.ID == "" {
		opts.ID = layer.NewID()
	}
	t, err := s.begin(ctx, want{layers: exclusive})
	if err != nil {
		return "", err
	}
	defer t.end(&err)
	var parent layer.Layer
	if opts.Parent != "" {
		if parent, err = t.layer(opts.Parent); err != nil {
			return "", err
		}
	}
	mapping, err := s.layerMapping(opts, parent)
	if err != nil {
		return "", err
	}
	err = s.driver.get().Create(ctx, graphdriver.ID(opts.ID), graphdriver.ID(parent.ID), graphdriver.CreateOptions{
		Mapping:    mapping,
		MountLabel: opts.MountLabel,
		StorageOpt: opts.StorageOpt,
		Image:      opts.Image,
	})
	if err != nil && !errors.Is(err, errdefs.ErrExists) {
		return "", fmt.Errorf("create driver layer %s: %w", opts.ID, err)
	}
	return opts.ID, nil
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

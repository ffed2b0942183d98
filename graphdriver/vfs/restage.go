package vfs

import (
	"context"
	"errors"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/internal/homes"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/treecopy"
)

var (
	_ graphdriver.Restager = (*driver)(nil)
	_ graphdriver.Restaged = (*staged)(nil)
)

// Restage makes a tree like the layer's.
func (d *driver) Restage(ctx context.Context, id graphdriver.ID, apart bool) (graphdriver.Restaged, error) {
	h, err := d.homes.Writable(id)
	if err != nil {
		return nil, err
	}
	temp, tree, err := homes.Swappable(h)
	if err != nil {
		return nil, err
	}
	s := &staged{driver: d, home: h, temp: temp, tree: tree, dirty: true, again: true, shared: !apart}
	if err := s.fillAgain(ctx, id); err != nil {
		return nil, errors.Join(err, s.Discard())
	}
	return s, nil
}

func (s *staged) fillAgain(ctx context.Context, id graphdriver.ID) error {
	if err := faults.Hit("vfs.restage", s.home.path); err != nil {
		return err
	}
	return treecopy.Copy(ctx, s.tree, s.home.Dir(id), treecopy.Options{
		Unprivileged: s.driver.rootless, IgnoreChownErrors: s.driver.settings.ignoreChownErrors, AllXattrs: true, Share: s.shared,
	})
}

// Generation goes by the layer's directory.
func (d *driver) Generation(_ context.Context, id graphdriver.ID) (string, error) {
	h, err := d.homes.Find(id)
	if err != nil {
		return "", err
	}
	return homes.Generation(h.Dir(id))
}

// Generation is of the staged tree.
func (s *staged) Generation() (string, error) {
	if s.over {
		return "", errOver
	}
	return homes.Generation(s.tree)
}

package vfs

import (
	"context"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

var _ graphdriver.Replacer = (*staged)(nil)

// Replace swaps the trees. Layers on this one have copies of their own.
func (s *staged) Replace(ctx context.Context, id graphdriver.ID) error {
	if s.over {
		return errOver
	}
	if err := s.Sync(ctx); err != nil {
		return err
	}
	unlock, err := s.driver.locks.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	h, err := s.driver.homes.Writable(id)
	if err != nil {
		return err
	}
	if err := faults.Hit("vfs.replace", h.path); err != nil {
		return err
	}
	if err := atomicfile.Exchange(s.tree, h.Dir(id)); err != nil {
		return err
	}
	s.over = true
	return s.driver.syncDirs(h.layers(), s.temp.Path())
}

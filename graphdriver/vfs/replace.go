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
	if err := s.Sync(ctx); err != nil { // of one that is over, too
		return err
	}
	h, unlock, err := s.driver.homes.Hold(ctx, &s.driver.locks, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := faults.Hit("vfs.replace", h.path); err != nil {
		return err
	}
	if err := atomicfile.Exchange(s.tree, h.Dir(id)); err != nil {
		return err
	}
	s.over = true
	return s.driver.syncDirs(h.layers(), s.temp.Path())
}

package vfs

import (
	"context"
	"fmt"

	"github.com/stratastore/strata/errdefs"
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
	h, err := s.driver.find(id)
	if err != nil {
		return err
	}
	if h.readOnly {
		return fmt.Errorf("replace files of layer %s in %s: %w", id, h.path, errdefs.ErrReadOnly)
	}
	if err := faults.Hit("vfs.replace", h.path); err != nil {
		return err
	}
	if err := atomicfile.Exchange(s.tree, h.layer(id)); err != nil {
		return fmt.Errorf("replace files of layer %s: %w", id, err)
	}
	s.over = true
	return s.driver.syncDirs(h.layers(), s.temp.Path())
}

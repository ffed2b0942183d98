package overlay

import (
	"context"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

var _ graphdriver.Replacer = (*staged)(nil)

// Replace swaps the directory of files alone: the layer keeps its short name, by which
// the layers on it know it.
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
	l := h.layer(id)
	if err := faults.Hit("overlay.replace", l.home.path); err != nil {
		return err
	}
	if err := atomicfile.Exchange(s.files(), l.path("diff")); err != nil {
		return err
	}
	s.over, s.adopted = true, true
	return s.driver.syncDirs(l.dir(), s.tree)
}

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
	if err := s.Sync(ctx); err != nil { // of one that is over, too
		return err
	}
	h, unlock, err := s.driver.homes.Hold(ctx, &s.driver.locks, id)
	if err != nil {
		return err
	}
	defer unlock()
	l := h.layer(id)
	if err := faults.Hit("overlay.replace", l.home.path); err != nil {
		return err
	}
	err = steadily(func() error { return atomicfile.Exchange(s.files(), l.path("diff")) })
	if err != nil {
		return err
	}
	s.over, s.adopted = true, true
	return s.driver.syncDirs(l.dir(), s.tree)
}

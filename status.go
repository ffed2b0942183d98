package strata

import (
	"context"
	"strings"

	"github.com/stratastore/strata/graphdriver"
)

// Status returns facts about the store for people, in a fixed order: its
// directories, its driver and the driver's options, then the driver's own.
func (s *Store) Status(context.Context) ([]graphdriver.StatusItem, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	items := []graphdriver.StatusItem{
		{Key: "Root", Value: s.roots.graph},
		{Key: "Run Root", Value: s.roots.run},
		{Key: "Driver Name", Value: s.driver.name},
		{Key: "Driver Options", Value: "[" + strings.Join(s.opts.DriverOptions, " ") + "]"},
	}
	return append(items, s.driver.get().Status()...), nil
}

package strata

import "slices"

// Transient reports whether the records of containers live in the run root.
func (s *Store) Transient() bool { return s.opts.Transient }

// DefaultMapping returns the ID mapping of layers and containers that are made without one
// of their own or of a parent's.
func (s *Store) DefaultMapping() Mapping {
	m := s.opts.DefaultMapping
	return Mapping{UIDs: slices.Clone(m.UIDs), GIDs: slices.Clone(m.GIDs)}
}

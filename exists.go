package strata

import (
	"context"
	"errors"
)

// Exists reports whether an object has this ID, name or unique prefix of an ID: one of the
// given kinds, or of any kind when none is given.
func (s *Store) Exists(ctx context.Context, nameOrID string, kinds ...Kind) (bool, error) {
	_, err := s.Find(ctx, nameOrID, kinds...)
	if isUnknown(err) || errors.Is(err, ErrNotAnID) {
		return false, nil
	}
	return err == nil, err
}

// Lookup returns the ID that a name stands for; the order of the kinds and the errors are
// Find's.
func (s *Store) Lookup(ctx context.Context, nameOrID string, order ...Kind) (string, error) {
	o, err := s.Find(ctx, nameOrID, order...)
	return o.ID, err
}

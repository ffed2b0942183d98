package volume

import (
	"context"
	"errors"
	"fmt"
)

// RemoveOptions of Remove.
type RemoveOptions struct {
	// Force makes a volume that does not exist success, and makes the store forget a volume
	// whose driver fails or does not answer, unless the driver says that it has the volume
	// still: then its labels stay, too. It does not remove a volume in use.
	Force bool
}

// Remove deletes a volume with its data. A volume with holders is an ErrInUse whose Error
// lists them, whatever the options. The driver's error is returned with Force too; Error.Forgotten
// then says that the store has let go of the volume.
func (s *Store) Remove(ctx context.Context, name string, opts RemoveOptions) error {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return fail(OpRemove, name, err)
	}
	defer unlock()
	if err := s.forgetUnlessUsed(ctx, key); err != nil {
		return fail(OpRemove, name, err)
	}
	e, known := s.entry(key)
	if refs := s.references(name); len(refs) > 0 && !s.goneByForce(ctx, e, opts) {
		return fail(OpRemove, name, ErrInUse, refs...)
	}
	if !known || e.Driver == "" {
		return fail(OpRemove, name, s.removeUnknown(ctx, key, name, opts))
	}
	return s.removeKnown(ctx, key, e, opts)
}

// goneByForce reports whether a forced removal is of a volume that its driver does not have
// any more: its holders hold nothing.
func (s *Store) goneByForce(ctx context.Context, e entry, opts RemoveOptions) bool {
	if !opts.Force || e.Driver == "" {
		return false
	}
	_, err := s.ask(ctx, e.Driver, e.Name)
	return err != nil && classify(err) == gone
}

// forgetUnlessUsed drops dead holders before they are counted.
func (s *Store) forgetUnlessUsed(ctx context.Context, key string) error {
	e, ok := s.entry(key)
	if !ok || len(s.living(e.refs)) == len(e.refs) {
		return nil
	}
	d, err := s.drivers.Lookup(ctx, e.Driver)
	if err != nil {
		d = nil
	}
	return s.dropDead(ctx, key, d)
}

// removeUnknown removes a volume that only a driver knows.
func (s *Store) removeUnknown(ctx context.Context, key, name string, opts RemoveOptions) error {
	driver, _, err := s.search(ctx, name)
	if errors.Is(err, ErrNoSuchVolume) && opts.Force {
		return s.forget(key)
	}
	if err != nil {
		return err
	}
	d, err := s.drivers.Lookup(ctx, driver)
	if err != nil {
		return err
	}
	if err := d.Remove(ctx, name); err != nil {
		return err
	}
	return s.forget(key)
}

func (s *Store) removeKnown(ctx context.Context, key string, e entry, opts RemoveOptions) error {
	err := s.driverRemove(ctx, e)
	if err != nil && (!opts.Force || errors.Is(err, ErrInUse) || ctx.Err() != nil && errors.Is(err, ctx.Err()) || s.has(ctx, e)) {
		return fail(OpRemove, e.Name, err)
	}
	if forgotten := s.forget(key); forgotten != nil {
		return fail(OpRemove, e.Name, errors.Join(err, forgotten))
	}
	if err != nil {
		return &Error{Op: OpRemove, Name: e.Name, Err: err, Forgotten: true}
	}
	return nil
}

// has reports whether a volume's driver says that it has it.
func (s *Store) has(ctx context.Context, e entry) bool {
	_, err := s.ask(ctx, e.Driver, e.Name)
	return err == nil
}

// driverRemove asks the owner; a volume that it does not have is removed already.
func (s *Store) driverRemove(ctx context.Context, e entry) error {
	d, err := s.drivers.Lookup(ctx, e.Driver)
	if err != nil {
		return err
	}
	err = d.Remove(ctx, e.Name)
	if err != nil && classify(err) == gone {
		return nil
	}
	if errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("driver %q: %w", e.Driver, err)
	}
	return err
}

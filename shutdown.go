package strata

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/lockfile"
)

// ShutdownOptions belong to Shutdown.
type ShutdownOptions struct {
	// Force unmounts what is mounted, whatever the counts, and clears the counts of what
	// is not.
	Force bool
}

// Shutdown releases the driver for all processes: the private mount of its home
// goes. It returns the layers that were mounted, in listing order, together with a
// *MountedError: without Force nothing has happened then; with it they have
// been unmounted, and the store is shut down. Other processes that have the store open
// notice and set their driver up again.
func (s *Store) Shutdown(ctx context.Context, opts ShutdownOptions) (mounted []layer.ID, err error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	// Nobody can mount while storage.lock is held, so what is found here is all.
	held, err := s.storage.Exclusive(ctx)
	if err != nil {
		return nil, fmt.Errorf("shut down: %w", err)
	}
	defer func() { err = errors.Join(err, held.Unlock()) }()
	mounted, counted, err := s.layers.MountedLayers(ctx)
	if err != nil && opts.Force {
		// Records that can not be read must not keep the driver's home mounted.
		return nil, errors.Join(err, s.releaseDriver(ctx, held))
	}
	if err != nil {
		return nil, err
	}
	if len(mounted) > 0 && !opts.Force {
		return mounted, &MountedError{Layers: mounted}
	}
	if !opts.Force {
		counted = nil // others may know more of them
	}
	for _, id := range slices.Concat(mounted, counted) {
		if _, err := s.layers.Unmount(ctx, id, layer.UnmountOptions{Force: true}); err != nil {
			return mounted, fmt.Errorf("shut down: %w", err)
		}
	}
	if err := s.releaseDriver(ctx, held); err != nil {
		return mounted, err
	}
	if len(mounted) > 0 {
		return mounted, &MountedError{Layers: mounted}
	}
	return nil, nil
}

// releaseDriver tells the other processes by a new token, then cleans up
// (on-disk format, 3.5).
func (s *Store) releaseDriver(ctx context.Context, held *lockfile.Held) error {
	if err := faults.Hit("strata.shutdown", s.roots.graph); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	if _, err := held.Touch(); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	if err := s.driver.get().Cleanup(ctx); err != nil {
		return fmt.Errorf("shut down driver %s: %w", s.driver.name, err)
	}
	return nil
}

package layer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/lease"
	"github.com/stratastore/strata/internal/tempdir"
)

// Unheld lists what Collect would remove, in order of removal.
func (c *ChainStore) Unheld(ctx context.Context, olderThan time.Duration) (_ []Layer, err error) {
	tx, err := c.store.View(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, tx)
	k, err := c.keepers(ctx, tx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, k)
	return k.unheld(time.Now().Add(-olderThan))
}

// Collect removes the collectable layers that nothing holds and that are older than
// that, children first: what processes registered and ended, or were killed, without
// giving back. It returns those that went. After an error about some the others
// are gone; what is left of those is removed by the next one who opens the store.
func (c *ChainStore) Collect(ctx context.Context, olderThan time.Duration) (removed []Layer, err error) {
	return c.collect(ctx, func(k *keepers) ([]Layer, error) { return k.unheld(time.Now().Add(-olderThan)) })
}

// collect removes what choose finds.
func (c *ChainStore) collect(ctx context.Context, choose func(*keepers) ([]Layer, error)) (removed []Layer, err error) {
	d, err := c.demolish(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	k, err := c.keepers(ctx, d.tx.ReadTx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, k)
	found, err := choose(k)
	if err != nil {
		return nil, err
	}
	err = d.remove(ctx, found)
	return slices.DeleteFunc(found, func(l Layer) bool { return d.tx.Exists(l.ID) }), err
}

// Cleanup removes orphans: what interrupted registrations, creations and deletions
// left, of whatever process that has ended, init layers whose read-write layer was
// never finished, and leases of the dead. Then it has the driver release what it
// holds, for all processes that have the store open; they notice and set it up again.
// Layers that were registered and are held by nobody are no orphans; see Collect.
func (c *ChainStore) Cleanup(ctx context.Context) error {
	_, err := c.collect(ctx, (*keepers).abandoned)
	err = errors.Join(err, tempdir.Recover(ctx, c.store.tempRoot()), lease.Sweep(c.opts.LeaseDir))
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return c.store.releaseDriver(ctx)
}

// abandoned returns init layers that nothing stands on and nobody is filling.
func (k *keepers) abandoned() (out []Layer, err error) {
	all, err := k.unheld(time.Now())
	return slices.DeleteFunc(all, func(l Layer) bool { return l.initOf() == "" }), err
}

// releaseDriver tells the other processes by a new token, then cleans up
// (on-disk format, 3.5).
func (s *Store) releaseDriver(ctx context.Context) (err error) {
	held, err := s.opts.StorageLock.Exclusive(ctx)
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	defer func() { err = errors.Join(err, held.Unlock()) }()
	if err := faults.Hit("layer.release", s.opts.GraphDir); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	if _, err := held.Touch(); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	if err := s.driver().Cleanup(ctx); err != nil {
		return fmt.Errorf("clean up driver %s: %w", s.driver().Name(), err)
	}
	return nil
}

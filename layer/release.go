package layer

import (
	"context"
	"errors"
	"fmt"
)

// Removed is what was known of a layer that went.
type Removed struct {
	ChainID ChainID
	DiffID  DiffID
	// Size is the length in bytes of the tars of the layer and of all that were below
	// it, DiffSize that of its own.
	Size, DiffSize int64
}

// Release gives a reference back. The layer goes if nothing else holds it, then its
// parent if nothing else holds that, and so on; all that went are returned, the
// first one first. If none did, the list is empty and not nil.
//
// ErrNotRetained if the reference is given back already, or is another
// ChainStore's; if the layer is gone by then, that is an empty list and no error.
// When nothing could be done, the reference is still held. When some layers could
// not be removed, the others are: those are returned beside the error, and what is
// left is removed by the next one who opens the store.
func (c *ChainStore) Release(ctx context.Context, r *Ref) ([]Removed, error) {
	if !c.takeBack(r) {
		return c.notRetained(ctx, r)
	}
	removed, untouched, err := c.giveBack(ctx, r.CacheID())
	if untouched {
		c.handOut(r)
	}
	if err != nil {
		return removed, fmt.Errorf("release layer %s: %w", r.ChainID(), err)
	}
	return removed, nil
}

// notRetained says what giving back a reference means that nobody has.
func (c *ChainStore) notRetained(ctx context.Context, r *Ref) (_ []Removed, err error) {
	if r == nil || r.ReadOnly == nil {
		return nil, ErrNotRetained
	}
	tx, err := c.store.View(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, tx)
	if _, err := c.find(tx, r.ChainID()); errors.Is(err, ErrNoLayer) {
		return []Removed{}, nil
	}
	return nil, about(r.ChainID(), ErrNotRetained)
}

// giveBack gives one lease of a layer back, and removes what nothing holds then.
// untouched: it failed before anything was changed, and the lease is still held.
func (c *ChainStore) giveBack(ctx context.Context, id ID) (removed []Removed, untouched bool, err error) {
	h, err := c.leases()
	if err != nil {
		return nil, true, err
	}
	if h.DropUnlessLast(string(id)) {
		return []Removed{}, false, nil
	}
	if done, err := c.dropKept(ctx, id); done || err != nil {
		return []Removed{}, !done, err
	}
	return c.cascade(ctx, id)
}

// dropKept gives the lease back under shared locks, if records keep the layer: who
// takes those away looks at leases himself. Other leases do not count here: two who
// each see the other's would both go away and leave the layer behind.
func (c *ChainStore) dropKept(ctx context.Context, id ID) (done bool, err error) {
	tx, err := c.store.View(ctx)
	if err != nil {
		return false, err
	}
	defer closing(&err, tx)
	l, err := tx.Get(id)
	if errors.Is(err, ErrUnknown) {
		return true, c.unhold(id)
	}
	if err != nil {
		return false, err
	}
	k, err := c.keepers(ctx, tx)
	if err != nil {
		return false, err
	}
	defer closing(&err, k)
	if kept, err := k.kept(&l, nil); err != nil || !kept {
		return false, err
	}
	return true, c.unhold(id)
}

// cascade removes id and what is below it, as far as nothing but one lease of id
// keeps them, and gives that lease back.
func (c *ChainStore) cascade(ctx context.Context, id ID) (removed []Removed, untouched bool, err error) {
	d, err := c.demolish(ctx)
	if err != nil {
		return nil, true, err
	}
	if err = d.below(ctx, id, 1); err == nil {
		err = c.unhold(id)
		return d.all(), false, errors.Join(err, d.close())
	}
	err = errors.Join(err, d.close())
	removed, untouched = d.recount(ctx)
	if !untouched {
		err = errors.Join(err, c.unhold(id))
	}
	return removed, untouched, err
}

package layer

import (
	"context"
	"errors"
	"fmt"
)

// ReleaseRWLayer gives a reference back. With the last one, of all processes, the
// read-write layer and its init layer go, and then what Release would remove from
// the parent down: those read-only layers are returned. If none went, the list is
// empty and not nil.
//
// ErrNotRetained; ErrMounted, a *LeasedError's kind and other uses are
// errdefs.ErrInUse. After an error about the read-write layer itself the reference
// is still held and the call can be repeated. If no layer has the name any more,
// giving a reference back a second time is an empty list and no error.
func (c *ChainStore) ReleaseRWLayer(ctx context.Context, r *RWRef) ([]Removed, error) {
	if !c.takeBack(r) {
		return c.rwNotRetained(ctx, r)
	}
	removed, untouched, err := c.giveBackRW(ctx, r)
	if untouched {
		c.handOut(r)
	}
	if err != nil {
		return removed, fmt.Errorf("release read-write layer %s: %w", r.name, err)
	}
	return removed, nil
}

func (c *ChainStore) rwNotRetained(ctx context.Context, r *RWRef) ([]Removed, error) {
	if r == nil {
		return nil, ErrNotRetained
	}
	if _, err := c.MountID(ctx, r.name); errors.Is(err, ErrNoMount) {
		return []Removed{}, nil
	}
	return nil, about(r.name, ErrNotRetained)
}

func (c *ChainStore) giveBackRW(ctx context.Context, r *RWRef) (removed []Removed, untouched bool, err error) {
	h, err := c.leases()
	if err != nil {
		return nil, true, err
	}
	if h.DropUnlessLast(string(r.id)) {
		return []Removed{}, false, nil
	}
	d, err := c.demolish(ctx)
	if err != nil {
		return nil, true, err
	}
	if err := d.removeRW(ctx, r); err != nil {
		// What went with it is known when the call is repeated.
		return []Removed{}, true, errors.Join(err, d.close())
	}
	if err = c.unhold(r.id); r.parent != nil && !d.sharedRW {
		err = errors.Join(err, d.below(ctx, r.parent.CacheID(), 0))
	}
	if err = errors.Join(err, d.close()); err == nil {
		return d.all(), false, nil
	}
	removed, _ = d.recount(ctx)
	return removed, false, err
}

// removeRW removes the layer with its init layer, unless somebody else refers to it.
func (d *demolition) removeRW(ctx context.Context, r *RWRef) error {
	own, shared, err := d.ownRW(ctx, r)
	if err != nil {
		return err
	}
	if d.sharedRW = shared; shared {
		return nil
	}
	return d.remove(ctx, own)
}

// ownRW returns the read-write layer and its init layer, as far as they are there.
// shared: another process refers to it, too.
func (d *demolition) ownRW(ctx context.Context, r *RWRef) (own []Layer, shared bool, err error) {
	l, err := d.tx.Get(r.id)
	if errors.Is(err, ErrUnknown) {
		return nil, false, nil // an earlier call came this far, or another engine deleted it
	}
	if err != nil {
		return nil, false, err
	}
	k, err := d.chains.keepers(ctx, d.tx.ReadTx)
	if err != nil {
		return nil, false, err
	}
	defer closing(&err, k)
	if k.leased(r.id, 1) {
		return nil, true, nil
	}
	if err := d.idle(ctx, k, &l); err != nil {
		return nil, false, err
	}
	own = []Layer{l}
	init, _, err := d.chains.under(d.tx.ReadTx, &l)
	if errors.Is(err, ErrParentUnknown) {
		return own, false, nil
	}
	if init != "" {
		l, err = d.tx.Get(init)
		own = append(own, l)
	}
	return own, false, err
}

// idle makes sure that nobody uses a read-write layer.
func (d *demolition) idle(ctx context.Context, k *keepers, l *Layer) error {
	if user, err := k.users.UserOf(l.ID); err != nil || user != "" {
		return errors.Join(err, usedBy(l.ID, user))
	}
	if l.MountCount == 0 {
		return nil
	}
	mounted, err := d.chains.store.isMounted(ctx, l.ID, l.MountPath)
	if err != nil {
		return err
	}
	if mounted {
		return fmt.Errorf("%w at %s", ErrMounted, l.MountPath)
	}
	return nil
}

func usedBy(id ID, user string) error {
	if user == "" {
		return nil
	}
	return fmt.Errorf("layer %s used by %s: %w", id, user, ErrUsedByContainer)
}

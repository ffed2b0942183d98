package layer

import (
	"context"
	"errors"
)

// demolition removes layers in one transaction and knows afterwards which went.
type demolition struct {
	chains  *ChainStore
	tx      *WriteTx
	cleanup []func() error // for when no lock is held
	wanted  []wantedGone   // read-only layers that were to go, top first
	// sharedRW: the read-write layer stays, since somebody else refers to it.
	sharedRW bool
}

// wantedGone is a layer that was to go, and what is said of it if it did.
type wantedGone struct {
	id   ID
	note Removed
}

// demolish begins.
func (c *ChainStore) demolish(ctx context.Context) (*demolition, error) {
	tx, err := c.store.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &demolition{chains: c, tx: tx}, nil
}

// close ends the transaction and deletes the bytes.
func (d *demolition) close() error {
	errs := []error{d.tx.Close()}
	for _, f := range d.cleanup {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// below removes id and what is below it, as far as nothing but mine leases of id
// keep them.
func (d *demolition) below(ctx context.Context, id ID, mine int) (err error) {
	k, err := d.chains.keepers(ctx, d.tx.ReadTx)
	if err != nil {
		return err
	}
	defer closing(&err, k)
	doomed, err := k.doomed(id, mine)
	if err != nil {
		return err
	}
	for i := range doomed {
		d.wanted = append(d.wanted, wantedGone{doomed[i].ID, d.note(&doomed[i])})
	}
	return d.remove(ctx, doomed)
}

// remove removes layers, children first.
func (d *demolition) remove(ctx context.Context, doomed []Layer) error {
	if len(doomed) == 0 {
		return nil
	}
	ids := make([]ID, len(doomed))
	for i := range doomed {
		ids[i] = doomed[i].ID
	}
	cleanup, err := d.tx.Delete(ctx, ids...)
	d.cleanup = append(d.cleanup, cleanup)
	return err
}

// note describes a layer while all below it are there.
func (d *demolition) note(l *Layer) Removed {
	size, _ := l.size()
	sum, err := d.tx.ChainSize(l.ID)
	if err != nil {
		sum = size // something is missing below; nobody relies on the sum
	}
	return Removed{ChainID: l.Chain, DiffID: l.DiffID, Size: sum, DiffSize: size}
}

// all lists what was to go.
func (d *demolition) all() []Removed {
	removed := []Removed{}
	for _, w := range d.wanted {
		removed = append(removed, w.note)
	}
	return removed
}

// recount looks, after a failure and with the transaction closed, what went after
// all: records may have been saved although saving failed, and the look itself
// finishes what was begun. untouched: everything is as it was.
func (d *demolition) recount(ctx context.Context) (removed []Removed, untouched bool) {
	ctx, cancel := undoing(ctx)
	defer cancel()
	removed = []Removed{}
	tx, err := d.chains.store.View(ctx)
	if err != nil {
		return removed, true // nobody knows; asking again does
	}
	defer func() { _ = tx.Close() }() // there is an error to report already
	untouched = true
	for _, w := range d.wanted {
		l, err := tx.Get(w.id)
		if errors.Is(err, ErrUnknown) {
			removed = append(removed, w.note)
		}
		untouched = untouched && err == nil && !l.Incomplete()
	}
	return removed, untouched
}

package layer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/recordfile"
)

// WriteTx adds the changing methods, for layers of the writable store only.
//
// Reads see the transaction's own changes. Commit saves and ends it. Close
// without Commit drops unsaved changes and removes layers that were made in it.
// Create, Adopt and Delete save in between; everything that was changed before
// them is then saved too.
type WriteTx struct {
	*ReadTx
	records *recordfile.WriteTx[Record]
	made    []ID // created, not yet committed
}

// Begin takes the exclusive locks (and the additional stores' shared ones). Keep
// it short: nobody else can read meanwhile.
func (s *Store) Begin(ctx context.Context) (*WriteTx, error) {
	s.sweep(ctx)
	records, err := s.main.records.Begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("load layers of %s: %w", s.main.dir, err)
	}
	read := &ReadTx{store: s, views: []openPart{{&records.ReadTx, s.main}}, close: records.Close}
	tx := &WriteTx{ReadTx: read, records: records}
	if err := read.load(ctx); err != nil {
		return nil, err
	}
	return tx, nil
}

// Commit saves what is pending and gives the locks back. After an error the
// transaction has ended as by Close.
func (tx *WriteTx) Commit(ctx context.Context) error {
	if tx.closed {
		return ErrTxClosed
	}
	err := tx.records.Save(ctx)
	if err == nil {
		tx.made = nil
	}
	return errors.Join(err, tx.end(context.WithoutCancel(ctx)))
}

// Close ends the transaction; after Commit it does nothing. Always defer it.
// Layers made in it are removed, however the caller's context stands.
func (tx *WriteTx) Close() error { return tx.end(context.Background()) }

func (tx *WriteTx) end(ctx context.Context) error {
	if tx.closed {
		return nil
	}
	err := tx.undo(ctx, tx.made...)
	return errors.Join(err, tx.ReadTx.Close())
}

// undo removes layers that this transaction made, the newest first. They are
// flagged again before anything goes, because a save that failed, or one in
// between, may have left complete records on disk: without the flag there, the
// content stays with them. What can not be removed stays flagged, for a later opener.
func (tx *WriteTx) undo(ctx context.Context, ids ...ID) error {
	if len(ids) == 0 {
		return nil
	}
	if err := faults.Hit("layer.undo", tx.store.opts.GraphDir); err != nil {
		return fmt.Errorf("undo layers: %w", err)
	}
	for _, id := range ids {
		if err := tx.update(id, (*Record).setIncomplete); err != nil {
			return fmt.Errorf("undo layer %s: %w", id, err)
		}
	}
	if err := tx.records.Save(ctx); err != nil {
		return fmt.Errorf("undo layers: %w", err)
	}
	bin := &trash{store: tx.store}
	tx.store.later(bin.empty)
	var errs []error
	for _, id := range slices.Backward(slices.Clone(ids)) {
		if err := bin.add(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("undo layer %s: %w", id, err))
			continue
		}
		errs = append(errs, tx.drop(id))
	}
	return errors.Join(append(errs, tx.records.Save(ctx))...)
}

// changed drops what was derived from the records.
func (tx *WriteTx) changed() { tx.chains = newChains() }

// writable reports whether the layer is one of the writable store.
func (tx *WriteTx) writable(id ID) bool { return !tx.closed && tx.records.Has(string(id)) }

// update changes one record of the writable store.
func (tx *WriteTx) update(id ID, change func(*Record)) error {
	if tx.closed {
		return ErrTxClosed
	}
	if !tx.records.Has(string(id)) {
		return about(id, ErrUnknown)
	}
	tx.changed()
	return tx.records.Update(string(id), func(r *Record) error { change(r); return nil })
}

package layer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faults"
)

// Delete removes layers; a parent and its children may be given together, in any
// order. Mounted ones are unmounted. It saves twice, whatever the number: flags
// first, then without the records (on-disk format, 3.7). Both saves include what
// else the transaction has changed.
//
// The returned cleanup deletes the bytes. It is never nil; call it after the
// transaction has ended, also after an error. If it never runs, a later opener
// does its work.
//
// ErrUnknown, *ChildError, and then nothing has changed. After other errors the
// layers that could not be moved away stay, flagged, for a later opener to
// remove. Use by images and containers is not looked at.
func (tx *WriteTx) Delete(ctx context.Context, ids ...ID) (cleanup func() error, err error) {
	cleanup = func() error { return nil }
	if err := tx.deletable(ids); err != nil {
		return cleanup, err
	}
	if err := tx.childless(ids); err != nil {
		return cleanup, err
	}
	return tx.DeleteUnchecked(ctx, ids...)
}

// DeleteUnchecked is Delete for a caller who wants layers gone although others
// stand on them: those keep a dangling parent and can only be deleted.
func (tx *WriteTx) DeleteUnchecked(ctx context.Context, ids ...ID) (cleanup func() error, err error) {
	cleanup = func() error { return nil }
	ids = unique(ids)
	if err := tx.deletable(ids); err != nil || len(ids) == 0 {
		return cleanup, err
	}
	err = tx.flag(ctx, ids)
	if isFull(err) && !tx.records.Uncertain() {
		return tx.makeRoom(ctx, ids)
	}
	if err != nil {
		return cleanup, fmt.Errorf("flag layers for deletion: %w", err)
	}
	return tx.remove(ctx, ids)
}

// isFull reports whether an error says that the disk or a quota is full.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// makeRoom deletes layers when there is no room to flag them: bytes first, under
// the lock, then the records. A crash in between leaves records without content;
// deleting those again works.
func (tx *WriteTx) makeRoom(ctx context.Context, ids []ID) (cleanup func() error, err error) {
	tx.store.opts.Logger.WarnContext(ctx, "no room to delete layers safely: deleting their files first", "layers", len(ids))
	bin := &trash{store: tx.store}
	err = errors.Join(
		tx.trash(ctx, bin, ids),
		bin.empty(),
		tx.records.Save(context.WithoutCancel(ctx)),
		tx.store.forgetMounts(ctx, ids),
	)
	return bin.empty, err
}

// flag marks layers as being deleted and saves. After an error none is marked, so
// that a later save of the transaction does not lose them.
func (tx *WriteTx) flag(ctx context.Context, ids []ID) error {
	for _, id := range ids {
		if err := tx.update(id, (*Record).setIncomplete); err != nil {
			return errors.Join(err, tx.unflag(ids))
		}
	}
	if err := faults.Hit("layer.flag", tx.store.opts.GraphDir); err != nil {
		return errors.Join(err, tx.unflag(ids))
	}
	if err := tx.records.Save(ctx); err != nil {
		return errors.Join(err, tx.unflag(ids))
	}
	return nil
}

func (tx *WriteTx) unflag(ids []ID) error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, tx.update(id, (*Record).clearIncomplete))
	}
	return errors.Join(errs...)
}

// unique returns ids without repetitions, keeping the first of each.
func unique(ids []ID) []ID {
	seen := make(map[ID]bool, len(ids))
	out := make([]ID, 0, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// deletable makes sure that all layers are ours.
func (tx *WriteTx) deletable(ids []ID) error {
	if tx.closed {
		return ErrTxClosed
	}
	for _, id := range ids {
		if !tx.writable(id) {
			return about(id, ErrUnknown)
		}
	}
	return nil
}

// childless makes sure that no layers stand on these but these.
func (tx *WriteTx) childless(ids []ID) error {
	going := make(map[ID]bool, len(ids))
	for _, id := range ids {
		going[id] = true
	}
	for _, id := range ids {
		for _, child := range tx.Children(id) {
			if !going[child] {
				return &ChildError{Layer: id, Child: child}
			}
		}
	}
	return nil
}

// remove takes flagged layers away: content first, then the records. Children go
// before their parents.
func (tx *WriteTx) remove(ctx context.Context, ids []ID) (cleanup func() error, err error) {
	bin := &trash{store: tx.store}
	err = errors.Join(
		tx.store.forgetMounts(ctx, ids),
		tx.trash(ctx, bin, ids),
		tx.records.Save(context.WithoutCancel(ctx)),
	)
	return bin.empty, err
}

// trash takes the layers' content away and drops the records of those that went.
func (tx *WriteTx) trash(ctx context.Context, bin *trash, ids []ID) error {
	var errs []error
	for _, id := range tx.childrenFirst(ids) {
		if err := bin.add(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("delete layer %s: %w", id, err))
			continue
		}
		errs = append(errs, tx.drop(id))
	}
	return errors.Join(errs...)
}

// drop deletes the record.
func (tx *WriteTx) drop(id ID) error {
	tx.changed()
	tx.made = slices.DeleteFunc(tx.made, func(m ID) bool { return m == id })
	return tx.records.Delete(string(id))
}

// childrenFirst orders layers so that none comes before one that stands on it.
func (tx *WriteTx) childrenFirst(ids []ID) []ID {
	ordered := make([]ID, 0, len(ids))
	seen := make(map[ID]bool, len(ids))
	var visit func(id ID)
	visit = func(id ID) {
		if seen[id] || !slices.Contains(ids, id) {
			return
		}
		seen[id] = true
		for _, child := range tx.Children(id) {
			visit(child)
		}
		ordered = append(ordered, id)
	}
	for _, id := range ids {
		visit(id)
	}
	return ordered
}

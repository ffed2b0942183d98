package layer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/lockfile"
)

// ReadTx is the store's layers while its locks are held. It is not safe for
// concurrent use. After Close calls that can return an error return ErrTxClosed,
// the others nothing.
type ReadTx struct {
	store  *Store
	views  []openPart
	close  func() error // gives the writable store's lock back
	mounts map[ID]mountRecord
	damage error // why mounts could not be read
	chains *chains
	closed bool
}

// openPart is one part's records while its lock is held.
type openPart struct {
	*recordfile.ReadTx[Record]
	part *part
}

// View takes the shared locks (layers.lock, the image store's, then those of the
// additional stores) and returns the layers as they are. Close it soon: writers
// and new openers of all engines wait for it. A flagged record is repaired on the
// way, for which the exclusive locks are taken for a moment (on-disk format, 2.8).
// The caller may take images.lock and what follows in the order of locks afterwards.
// A cancelled wait leaves nothing.
func (s *Store) View(ctx context.Context) (*ReadTx, error) {
	s.sweep(ctx)
	main, err := s.main.view(ctx)
	if err != nil {
		return nil, err
	}
	tx := &ReadTx{store: s, views: []openPart{{main, s.main}}, close: main.Close}
	if err := tx.load(ctx); err != nil {
		return nil, err
	}
	return tx, nil
}

// load takes what belongs to a transaction besides the writable store's records.
// After an error tx is closed.
func (tx *ReadTx) load(ctx context.Context) (err error) {
	if err := tx.addExtra(ctx); err != nil {
		return errors.Join(err, tx.Close())
	}
	if tx.mounts, tx.damage, err = tx.store.mountState(ctx); err != nil {
		return errors.Join(fmt.Errorf("load mount counts: %w", err), tx.Close())
	}
	return nil
}

// addExtra takes the additional stores' locks.
func (tx *ReadTx) addExtra(ctx context.Context) error {
	for _, p := range tx.store.extra {
		records, err := p.view(ctx)
		if err != nil {
			return err
		}
		if records != nil {
			tx.views = append(tx.views, openPart{records, p})
		}
	}
	return nil
}

// Close gives the locks back. A second call does nothing.
func (tx *ReadTx) Close() error {
	if tx.closed {
		return nil
	}
	tx.closed = true
	var errs []error
	for _, v := range slices.Backward(tx.views) {
		if v.part.readOnly {
			errs = append(errs, v.Close())
		}
	}
	errs = append(errs, tx.close())
	tx.views = nil
	tx.store.runDeferred()
	return errors.Join(errs...)
}

// viewForMounting holds storage.lock and the shared locks, for what may mount.
func (s *Store) viewForMounting(ctx context.Context) (*mountingTx, error) {
	held, err := s.opts.StorageLock.Exclusive(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare mounting: %w", err)
	}
	if err := s.current.renew(ctx, held, s.opts.Renew); err != nil {
		return nil, errors.Join(err, held.Unlock())
	}
	tx, err := s.View(ctx)
	if err != nil {
		return nil, errors.Join(err, held.Unlock())
	}
	return &mountingTx{ReadTx: tx, storage: held}, nil
}

// mountingTx is a ReadTx under storage.lock.
type mountingTx struct {
	*ReadTx
	storage *lockfile.Held
}

// Close gives all locks back.
func (tx *mountingTx) Close() error { return errors.Join(tx.ReadTx.Close(), tx.storage.Unlock()) }

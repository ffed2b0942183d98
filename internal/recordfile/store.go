package recordfile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/reserve"
	"github.com/stratastore/strata/lockfile"
)

// Store is the records in some files. It is safe for concurrent use. Between
// transactions it holds no lock and no descriptor, so there is nothing to close.
type Store[R any] struct {
	schema Schema[R]
	files  []File
	locks  []*lockfile.Lock
	log    *slog.Logger
	spare  *reserve.Space
	plan   *plan
	keys   []string // of R, in order
	cache  cache
}

// cache is what was read last.
type cache struct {
	mu    sync.Mutex // held while reading: one reader suffices
	state *state     // nil: nothing that could be right
	// unrepairable is a snapshot whose repair failed: it is not tried again before
	// something changes.
	unrepairable *snapshot
}

// state is a snapshot and how to tell whether it still holds.
type state struct {
	*snapshot
	token lockfile.Token
	ids   []fileID
}

// Open returns the Store of the records in files, listed in this order, behind
// locks, taken in this order; the first lock's token tells of changes, all tokens
// are written. Nothing on disk is touched yet. A schema that can not work panics.
func Open[R any](schema Schema[R], files []File, locks []*lockfile.Lock, opts Options) *Store[R] {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	keys := jsonKeys(reflect.TypeFor[R]())
	plan := newPlan(schema.Indexes, keys)
	plan.named = schema.SetNames != nil
	return &Store[R]{
		schema: schema, files: slices.Clone(files), locks: slices.Clone(locks), log: opts.Logger, spare: opts.Reserve,
		plan: plan, keys: keys,
	}
}

// View takes the locks shared, reads the files if somebody wrote since the last
// time, and returns the records. The caller closes the result, soon: writers of
// all engines wait for it. If Schema.NeedsRepair says so and the Store may write,
// the records are repaired first. The error is the context's, a *CorruptError, or
// one of the disk's; after an error nothing is held.
func (s *Store[R]) View(ctx context.Context) (*ReadTx[R], error) {
	const rounds = 3 // somebody else may break things while no lock is held
	for range rounds {
		tx, err := s.lockShared(ctx)
		if err != nil {
			return nil, err
		}
		if !s.needsRepair(tx) {
			return tx, nil
		}
		base := tx.view.base
		if err := tx.Close(); err != nil {
			return nil, err
		}
		if err := s.repairOnce(ctx, base); err != nil {
			return nil, err
		}
	}
	return s.lockShared(ctx)
}

// Begin takes the locks exclusively and returns the records for changing; apart
// from that it is like View. On a read-only lock it is errdefs.ErrReadOnly.
func (s *Store[R]) Begin(ctx context.Context) (*WriteTx[R], error) {
	held, err := s.lockAll(ctx, (*lockfile.Lock).Exclusive)
	if err != nil {
		return nil, err
	}
	tx, err := s.open(ctx, held)
	if err != nil {
		return nil, errors.Join(err, unlockAll(held))
	}
	w := &WriteTx[R]{ReadTx: tx}
	if err := s.repair(ctx, w); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (s *Store[R]) lockShared(ctx context.Context) (*ReadTx[R], error) {
	held, err := s.lockAll(ctx, (*lockfile.Lock).Shared)
	if err != nil {
		return nil, err
	}
	tx, err := s.open(ctx, held)
	if err != nil {
		return nil, errors.Join(err, unlockAll(held))
	}
	return &tx, nil
}

// open makes a transaction of the records as they are under the held locks.
func (s *Store[R]) open(ctx context.Context, held []*lockfile.Held) (ReadTx[R], error) {
	snap, err := s.current(ctx, held)
	if err != nil {
		return ReadTx[R]{}, err
	}
	return ReadTx[R]{store: s, view: newPending(snap), held: held}, nil
}

func (s *Store[R]) lockAll(ctx context.Context, take func(*lockfile.Lock, context.Context) (*lockfile.Held, error)) ([]*lockfile.Held, error) {
	held := make([]*lockfile.Held, 0, len(s.locks))
	for _, l := range s.locks {
		if err := faults.Hit("recordfile.lock", l.Path()); err != nil {
			return nil, errors.Join(fmt.Errorf("%s records: %w", s.schema.Kind, err), unlockAll(held))
		}
		h, err := take(l, ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s records: %w", s.schema.Kind, err), unlockAll(held))
		}
		held = append(held, h)
	}
	return held, nil
}

// unlockAll lets go in the opposite order of taking.
func unlockAll(held []*lockfile.Held) error {
	var errs []error
	for _, h := range slices.Backward(held) {
		errs = append(errs, h.Unlock())
	}
	return errors.Join(errs...)
}

// checkWritable refuses changes to records of a file that is read-only.
func (s *Store[R]) checkWritable(file int) error {
	if s.files[file].ReadOnly {
		return fmt.Errorf("change %s: %w", s.files[file].Path, errdefs.ErrReadOnly)
	}
	return nil
}

package recordfile

import (
	"context"
	"errors"
)

// needsRepair reports whether something in the records has to be put right and
// can be.
func (s *Store[R]) needsRepair(tx *ReadTx[R]) bool {
	if !s.mayWrite() || s.gaveUp(tx.view.base) {
		return false
	}
	// Writing a file drops the records whose ID another one has: which of them is right
	// is for a repair to say that was asked for.
	strip := len(tx.view.base.stripped) > 0 && !tx.view.base.sameIDs()
	return strip || s.schema.NeedsRepair != nil && s.schema.NeedsRepair(tx)
}

// mayWrite reports whether this Store owns its files.
func (s *Store[R]) mayWrite() bool {
	for _, l := range s.locks {
		if l.ReadOnly() {
			return false
		}
	}
	return true
}

func (s *Store[R]) gaveUp(snap *snapshot) bool {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return s.cache.unrepairable == snap
}

func (s *Store[R]) giveUp(snap *snapshot) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.unrepairable = snap
}

// repairOnce opens a writing transaction, which repairs, and closes it. That it
// can not be opened is no reason to serve nothing.
func (s *Store[R]) repairOnce(ctx context.Context, base *snapshot) error {
	tx, err := s.Begin(ctx)
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		s.log.Warn("records need a repair that is not possible now", "kind", s.schema.Kind, "error", err)
		s.giveUp(base)
		return nil
	}
	return tx.Close()
}

// repair puts right what needsRepair found and saves. If that fails, the records
// are served as they are: a clean-up must not keep anybody from the store. The
// error is the context's or that of a Save half done.
func (s *Store[R]) repair(ctx context.Context, tx *WriteTx[R]) error {
	if !s.needsRepair(&tx.ReadTx) {
		return nil
	}
	base := tx.view.base
	err := errors.Join(s.runRepair(ctx, tx), ctx.Err())
	if err == nil {
		err = tx.Save(ctx)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || tx.failed != nil {
		return err
	}
	s.log.Warn("records could not be repaired", "kind", s.schema.Kind, "error", err)
	s.giveUp(base)
	tx.view = newPending(tx.view.base)
	return nil
}

func (s *Store[R]) runRepair(ctx context.Context, tx *WriteTx[R]) error {
	for id := range tx.view.base.stripped {
		// Re-encoding a record that was stripped of a name writes it without.
		if err := tx.Update(id, func(*R) error { return nil }); err != nil {
			return err
		}
	}
	if s.schema.NeedsRepair == nil || !s.schema.NeedsRepair(&tx.ReadTx) {
		return nil
	}
	return s.schema.Repair(ctx, tx)
}

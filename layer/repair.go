package layer

import (
	"context"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/recordfile"
)

// needsRepair reports whether a creation or deletion was interrupted (on-disk
// format, 2.8), or the exchange of a layer's files. Only the boolean true counts, in
// which the index can not tell from the text "true"; repair looks closer.
func needsRepair(tx *recordfile.ReadTx[Record]) bool {
	return len(tx.By(byIncomplete, "true")) > 0 || len(tx.By(byExchange, exchangeBegun)) > 0
}

// repair ends what processes were in the middle of that died. It runs under the exclusive
// locks, on the first load by anybody after the interruption.
func (s *Store) repair(ctx context.Context, tx *recordfile.WriteTx[Record]) error {
	if err := faults.Hit("layer.repair", s.opts.GraphDir); err != nil {
		return err
	}
	s.removeIncomplete(ctx, tx)
	for _, id := range tx.By(byExchange, exchangeBegun) {
		if err := s.settle(ctx, tx, ID(id)); err != nil {
			s.opts.Logger.WarnContext(ctx, "interrupted change of a layer's files stays", "layer", id, "error", err)
			continue
		}
		s.opts.Logger.InfoContext(ctx, "ended an interrupted change of a layer's files", "layer", id)
	}
	return nil
}

// removeIncomplete removes flagged layers with all that is kept for them. A layer
// that can not be removed (something holds its mount) stays flagged, for the next
// load to try again, and keeps nobody from using the others.
func (s *Store) removeIncomplete(ctx context.Context, tx *recordfile.WriteTx[Record]) {
	bin := &trash{store: s}
	s.later(bin.empty)
	var gone []ID
	for _, id := range tx.By(byIncomplete, "true") {
		r, _, err := tx.Get(id)
		if err == nil && !r.Incomplete() {
			continue
		}
		if err == nil {
			err = bin.add(ctx, ID(id))
		}
		if err == nil {
			err = tx.Delete(id)
		}
		if err != nil {
			s.opts.Logger.WarnContext(ctx, "incomplete layer stays", "layer", id, "error", err)
			continue
		}
		s.opts.Logger.InfoContext(ctx, "removed the rest of an interrupted layer", "layer", id)
		gone = append(gone, ID(id))
	}
	if err := s.forgetMounts(ctx, gone); err != nil {
		s.opts.Logger.WarnContext(ctx, "mount counts of removed layers stay", "error", err)
	}
}

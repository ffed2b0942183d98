package container

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/layer"
)

// Look is View for whoever examines a store: names that several containers have stay as they
// are in the files, and nothing else is changed on the disk either.
func (s *Store) Look(ctx context.Context) (*ReadTx, error) {
	r, err := s.looking.View(ctx)
	if err != nil {
		return nil, fmt.Errorf("read containers: %w", err)
	}
	return &ReadTx{store: s, records: r}, nil
}

// Clashes returns the IDs and names that several records have.
func (tx *ReadTx) Clashes() []recordfile.Clash {
	found := tx.records.Clashes()
	for i := range found {
		found[i].ReadOnly = false // only Look is
	}
	return found
}

// Keep makes text the only record of its ID, for a repair. The change is saved by Commit.
func (tx *WriteTx) Keep(id ID, text json.RawMessage) error { return tx.writer.Keep(string(id), text) }

// Restore adds a record of an older version of the file, for a repair; see recordfile.WriteTx.
// The change is saved by Commit.
func (tx *WriteTx) Restore(text json.RawMessage) error {
	return tx.writer.Restore(stableFile, text)
}

// SetLayer makes the record name another layer, for a repair. The change is saved by Commit.
func (tx *WriteTx) SetLayer(id ID, l layer.ID) error {
	return tx.update(id, func(r *Record) { r.Layer = l })
}

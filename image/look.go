package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/stratastore/strata/internal/recordfile"
)

// Look is View for whoever examines a store: names that several images have stay as they
// are in the files, and nothing else is changed on the disk either.
func (s *Store) Look(ctx context.Context) (*ReadTx, error) {
	tx := &ReadTx{store: s}
	for i, p := range s.parts {
		if !p.readOnly {
			p.records = openRecords(p.dir, true, s.backups[i], recordfile.Options{Logger: s.log})
		}
		r, err := s.view(ctx, p)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read images in %s: %w", p.dir, err), tx.Close())
		}
		tx.parts = append(tx.parts, r)
	}
	return tx, nil
}

// Clashes returns the IDs and names that several records of one file have.
func (tx *ReadTx) Clashes() (found []recordfile.Clash) {
	for i, p := range tx.parts {
		for _, c := range p.Clashes() {
			c.ReadOnly = tx.store.parts[i].readOnly
			found = append(found, c)
		}
	}
	return found
}

// Keep makes text the only record of its ID, for a repair. The change is saved by Commit.
func (tx *WriteTx) Keep(id ID, text json.RawMessage) error {
	home, err := tx.homeOf(id)
	if err != nil {
		return err
	}
	return tx.writers[home].Keep(string(id), text)
}

// Restore adds a record of an older version of a file, for a repair; see recordfile.WriteTx. Which
// file is told by its index in Options.Dirs. The change is saved by Commit.
func (tx *WriteTx) Restore(dir int, text json.RawMessage) error {
	return tx.writers[dir].Restore(0, text)
}

// RecordFile returns the record file in a directory, by its index in Options.Dirs, and its backup.
func (s *Store) RecordFile(dir int) (path, backup string) {
	return filepath.Join(s.parts[dir].dir, recordsName), s.backups[dir]
}

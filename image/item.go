package image

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/stratastore/strata/internal/bigdata"
)

// Item is one data item on its way in.
type Item struct {
	datum BigDatum
	stage *bigdata.Stage
}

// StageItem writes one data item aside, with no lock held. The caller defers Discard.
func (s *Store) StageItem(ctx context.Context, it BigDatum) (*Item, error) {
	if it.Key == "" {
		return nil, fmt.Errorf("can't set empty name for image big data item: %w", ErrInvalidDataName)
	}
	if _, err := it.digest(); err != nil {
		return nil, err
	}
	st, err := s.stageItems(ctx, []BigDatum{it})
	if err != nil {
		return nil, err
	}
	return &Item{datum: it, stage: st}, nil
}

// Discard removes the item unless it was adopted. Always safe to defer.
func (it *Item) Discard() error { return it.stage.Discard() }

// SetBigData puts a staged item into an image, replacing one of that key: the
// file at once, length and digest in the record with Commit.
func (tx *WriteTx) SetBigData(id ID, it *Item) error {
	home, err := tx.homeOf(id)
	if err != nil {
		return err
	}
	if err := tx.adoptItem(home, id, it); err != nil {
		return fmt.Errorf("set data of image %s: %w", id, err)
	}
	return tx.update(id, func(r *Record) error { return r.note(it.datum) })
}

// adoptItem moves the item's file; a part on another file system gets it written.
func (tx *WriteTx) adoptItem(home int, id ID, it *Item) error {
	if home == 0 {
		return it.stage.AdoptItem(string(id), it.datum.Key)
	}
	return bigdata.Write(filepath.Join(tx.store.parts[home].dir, string(id)), it.datum.Key, it.datum.Data, bigdata.Options{})
}

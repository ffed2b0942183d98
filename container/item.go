package container

import (
	"context"
	"fmt"

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
		return nil, fmt.Errorf("can't set empty name for container big data item: %w", ErrInvalidDataName)
	}
	st, err := s.stageItems(ctx, []BigDatum{it})
	if err != nil {
		return nil, err
	}
	return &Item{datum: it, stage: st}, nil
}

// Discard removes the item unless it was adopted. Always safe to defer.
func (it *Item) Discard() error { return it.stage.Discard() }

// SetBigData puts a staged item into a container, replacing one of that key: the
// file at once, length and digest in the record with Commit.
func (tx *WriteTx) SetBigData(id ID, it *Item) error {
	if _, err := tx.Get(id); err != nil {
		return err
	}
	if err := it.stage.AdoptItem(string(id), it.datum.Key); err != nil {
		return fmt.Errorf("set data of container %s: %w", id, err)
	}
	return tx.update(id, func(r *Record) { r.note(it.datum) })
}

package image

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/objectid"
	"github.com/stratastore/strata/internal/recordfile"
)

// SetNames replaces all names. Like AddNames and RemoveNames it changes the
// names and return the result; repeated names count once, names of other images
// move here, and each name of the result goes into the history. An image of an
// additional store is copied to the writable store first, under the same ID.
func (tx *WriteTx) SetNames(ctx context.Context, id ID, names []string) ([]string, error) {
	return tx.changeNames(ctx, id, names, func([]string) []string { return names })
}

// AddNames puts names in front of those that the image has; see SetNames.
func (tx *WriteTx) AddNames(ctx context.Context, id ID, names []string) ([]string, error) {
	return tx.changeNames(ctx, id, names, func(old []string) []string { return slices.Concat(names, old) })
}

// RemoveNames takes names away; one that the image has not is no error. See SetNames.
func (tx *WriteTx) RemoveNames(ctx context.Context, id ID, names []string) ([]string, error) {
	return tx.changeNames(ctx, id, nil, func(old []string) []string { return objectid.Without(old, names...) })
}

func (tx *WriteTx) changeNames(ctx context.Context, id ID, added []string, change func([]string) []string) ([]string, error) {
	if err := objectid.ValidateNames("image", added); err != nil {
		return nil, err
	}
	home, err := tx.own(ctx, id)
	if err != nil {
		return nil, err
	}
	old, _, err := tx.writers[home].Get(string(id))
	if err != nil {
		return nil, err
	}
	names := objectid.Unique(change(old.Names))
	if err := tx.assign(home, id, names); err != nil {
		return nil, fmt.Errorf("name image %s: %w", id, err)
	}
	return names, nil
}

// assign gives the image its names, taking them from other images in all parts
// that are written.
func (tx *WriteTx) assign(home int, id ID, names []string) error {
	for other, w := range tx.writers {
		if w == nil || other == home {
			continue
		}
		if err := takeNames(w, names); err != nil {
			return err
		}
	}
	if err := tx.writers[home].AssignNames(string(id), names); err != nil {
		return err
	}
	return tx.writers[home].Update(string(id), func(r *Record) error {
		r.NamesHistory = History(r.NamesHistory, r.Names)
		return nil
	})
}

// freeNames takes names from the images of all parts that are written.
func (tx *WriteTx) freeNames(names []string) error {
	for _, w := range tx.writers {
		if w == nil {
			continue
		}
		if err := takeNames(w, names); err != nil {
			return err
		}
	}
	return nil
}

// takeNames removes names from whatever image of w has them.
func takeNames(w *recordfile.WriteTx[Record], names []string) error {
	for _, name := range names {
		owner, ok := w.ByName(name)
		if !ok {
			continue
		}
		r, _, err := w.Get(owner)
		if err != nil {
			return err
		}
		if err := w.AssignNames(owner, objectid.Without(r.Names, name)); err != nil {
			return err
		}
	}
	return nil
}

// own returns the writable part that has the image, after copying it there when
// only an additional store has it.
func (tx *WriteTx) own(ctx context.Context, id ID) (int, error) {
	home, err := tx.homeOf(id)
	if !errors.Is(err, ErrUnknown) {
		return home, err
	}
	foreign, err := tx.Get(id)
	if err != nil {
		return 0, err
	}
	if err := tx.copyHere(ctx, foreign); err != nil {
		return 0, fmt.Errorf("copy image %s out of a read-only store: %w", id, err)
	}
	return 0, nil
}

// copyHere copies an image's record and data items into the first part. Names
// that are taken there stay where they are.
func (tx *WriteTx) copyHere(ctx context.Context, foreign Image) error {
	items := make([]bigdata.Item, 0, len(foreign.BigDataNames))
	for _, key := range foreign.BigDataNames {
		data, err := tx.BigData(ctx, foreign, key)
		if err != nil {
			return err
		}
		items = append(items, bigdata.Item{Key: key, Data: data})
	}
	st := &Stage{record: foreign.Record}
	st.record.Names = slices.DeleteFunc(slices.Clone(st.record.Names), tx.nameTaken)
	var err error
	if len(items) > 0 {
		if st.items, err = bigdata.StageItems(ctx, tx.store.parts[0].dir, items, bigdata.Options{}); err != nil {
			return err
		}
	}
	_, err = tx.Adopt(ctx, st, foreign.TopLayer)
	return errors.Join(err, st.Discard())
}

func (tx *WriteTx) nameTaken(name string) bool {
	return slices.ContainsFunc(tx.writers, func(w *recordfile.WriteTx[Record]) bool {
		if w == nil {
			return false
		}
		_, taken := w.ByName(name)
		return taken
	})
}

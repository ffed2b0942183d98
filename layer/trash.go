package layer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/tempdir"
)

// trash collects what is renamed out of the store and dies later. Not safe for
// concurrent use.
type trash struct {
	store   *Store
	dir     *tempdir.Dir
	removes []func() error
}

// add takes away all that the store keeps for a layer. What is not there is
// success, so a deletion can be repeated.
func (t *trash) add(ctx context.Context, id ID) error {
	t.store.gets.take(id)
	if err := faults.Hit("layer.trash", t.store.opts.GraphDir); err != nil {
		return err
	}
	if err := t.addContent(ctx, graphdriver.ID(id)); err != nil {
		return err
	}
	return t.addFiles(id)
}

// addFiles takes away what lies beside the records.
func (t *trash) addFiles(id ID) error {
	split, err := splitPath(t.store.opts.GraphDir, id)
	if err != nil {
		return err
	}
	data, err := dataPath(t.store.opts.GraphDir, id)
	if err != nil {
		return err
	}
	return errors.Join(t.addPath(split), t.addPath(data))
}

func (t *trash) addContent(ctx context.Context, id graphdriver.ID) error {
	trasher, ok := t.store.driver().(graphdriver.Trasher)
	if !ok {
		return t.store.driver().Remove(ctx, id)
	}
	remove, err := trasher.Trash(ctx, id)
	if remove != nil {
		t.removes = append(t.removes, remove)
	}
	return err
}

func (t *trash) addPath(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if t.dir == nil {
		dir, err := tempdir.New(t.store.tempRoot())
		if err != nil {
			// A full disk must not keep anybody from deleting.
			return tempdir.RemoveTree(path)
		}
		t.dir = dir
	}
	_, err := t.dir.Trash(path)
	if isFull(err) {
		return tempdir.RemoveTree(path) // a name more, in another directory, can be too much
	}
	return err
}

// empty deletes the bytes.
func (t *trash) empty() error {
	var errs []error
	for _, remove := range t.removes {
		errs = append(errs, remove())
	}
	t.removes = nil
	if t.dir != nil {
		errs = append(errs, t.dir.Close())
	}
	return errors.Join(errs...)
}

// clearLeftovers removes what an earlier layer of that ID left without a record.
// A layer of an additional store is none, and the driver says so by ErrReadOnly.
func (tx *WriteTx) clearLeftovers(ctx context.Context, id ID) error {
	exists, err := tx.store.driver().Exists(ctx, graphdriver.ID(id))
	if err != nil {
		return fmt.Errorf("create layer %s: %w", id, err)
	}
	bin := &trash{store: tx.store}
	tx.store.later(bin.empty)
	if exists {
		err = bin.addContent(ctx, graphdriver.ID(id))
	}
	if errors.Is(err, errdefs.ErrReadOnly) {
		err = nil
	}
	err = errors.Join(err, bin.addFiles(id))
	if err != nil {
		return fmt.Errorf("remove leftovers of layer %s: %w", id, err)
	}
	return nil
}

package layer

import (
	"context"
	"fmt"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// Replace cures a damaged layer: what was staged takes the place of its files and of
// its tar-split, at once. The record stays as it is, and so do the layers on it. The
// stage must have the layer's parent, mapping and diff ID.
//
// ErrUnknown; ErrReadOnlyStore for a layer of an additional store; ErrMounted while the
// layer or one on it is mounted, since the kernel allows no change below a mount;
// errdefs.ErrInvalid for a stage of something else; errdefs.ErrUnsupported for a driver
// without that power. After an error the layer has its old files or its new ones.
func (tx *WriteTx) Replace(ctx context.Context, id ID, st *Stage) error {
	l, err := tx.complete(id)
	if err != nil {
		return err
	}
	if err := tx.replaceable(ctx, l, st); err != nil {
		return fmt.Errorf("replace files of layer %s: %w", id, err)
	}
	if err := st.Sync(ctx); err != nil {
		return err
	}
	if err := st.replace(ctx, id); err != nil {
		return fmt.Errorf("replace files of layer %s: %w", id, err)
	}
	return nil
}

// replaceable makes sure that the stage is the layer once more, and that nobody looks at it.
func (tx *WriteTx) replaceable(ctx context.Context, l Layer, st *Stage) error {
	switch {
	case st.store != tx.store || st.adopted || st.on != nil:
		return errForeignStage
	case l.ReadOnly:
		return ErrReadOnlyStore
	case st.below() != l.Parent || st.DiffID() != l.DiffID || !st.opts.Mapping.Equal(l.Mapping()):
		return fmt.Errorf("what was staged has diff ID %s on %q, the layer %s on %q: %w",
			st.DiffID(), st.below(), l.DiffID, l.Parent, errdefs.ErrInvalid)
	}
	if err := tx.sameParent(st); err != nil {
		return err
	}
	return tx.unmounted(ctx, l.ID)
}

// replace is adopt for a layer that is there. A driver that lost it altogether gets it anew.
func (st *Stage) replace(ctx context.Context, id ID) error {
	tree, ok := st.content.(*stagedTree)
	if !ok {
		return fmt.Errorf("with this driver: %w", errdefs.ErrUnsupported)
	}
	r, ok := tree.staged.(graphdriver.Replacer)
	if !ok {
		return fmt.Errorf("with this driver: %w", errdefs.ErrUnsupported)
	}
	exists, err := st.store.driver().Exists(ctx, graphdriver.ID(id))
	if err != nil {
		return err
	}
	if !exists {
		return st.adopt(ctx, id)
	}
	st.adopted = true
	if err := r.Replace(ctx, graphdriver.ID(id)); err != nil {
		return err
	}
	if st.split == nil {
		return nil
	}
	return st.split.adopt(st.store.opts.GraphDir, id, st.store.durable())
}

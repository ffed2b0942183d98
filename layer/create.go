package layer

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/objectid"
)

// Create makes an empty layer: a flagged record is saved, then the driver's layer
// is made. Commit, or the next save of the same transaction, takes the flag away;
// without it Close removes the layer again.
//
// ErrUnknown (about the parent), ErrIncomplete (the parent), ErrDuplicateID,
// ErrDuplicateName; errdefs.ErrInvalid for an ID or name that can not be one.
// After an error nothing of the layer remains.
func (tx *WriteTx) Create(ctx context.Context, opts CreateOptions) (Layer, error) {
	r := opts.record()
	fill := func() error {
		driverOpts, err := tx.creation(r.Parent, graphdriver.CreateOptions{
			Mapping: opts.Mapping, MountLabel: opts.MountLabel, StorageOpt: opts.StorageOpt, Image: opts.Image,
		})
		if err != nil {
			return err
		}
		return healer(tx.heal).retry(ctx, r.Parent, func() error {
			return tx.store.driver().Create(ctx, graphdriver.ID(r.ID), graphdriver.ID(r.Parent), driverOpts)
		})
	}
	return tx.create(ctx, r, opts, fill)
}

// creation is Store.creation for a parent's ID.
func (tx *WriteTx) creation(parent ID, o graphdriver.CreateOptions) (graphdriver.CreateOptions, error) {
	if parent == "" {
		return o, nil
	}
	l, err := tx.Get(parent)
	if err != nil {
		return o, err
	}
	return tx.store.creation(&l, o)
}

// Adopt turns a stage into a layer: ID, names and parent are checked again, a
// flagged record is saved, the staged tree and the tar-split are renamed into
// place, and the record gets its digests; see Create for what Commit does.
//
// ErrDuplicateID when somebody else was faster: nothing is changed, and the
// caller discards the stage and uses the other's layer. ErrUnknown when the
// parent has gone since, ErrParentChanged when it was replaced: stage again. After
// an error of the driver or the disk the stage can only be discarded.
func (tx *WriteTx) Adopt(ctx context.Context, st *Stage, opts CreateOptions) (Layer, error) {
	if st.store != tx.store || st.adopted {
		return Layer{}, fmt.Errorf("adopt layer: %w", errForeignStage)
	}
	opts.Parent, opts.Mapping, opts.Image = st.below(), st.opts.Mapping, st.opts.Image
	opts.MountLabel = st.opts.MountLabel
	if err := st.Sync(ctx); err != nil {
		return Layer{}, err
	}
	if err := tx.sameParent(st); err != nil {
		return Layer{}, err
	}
	r := opts.record()
	st.describe(&r)
	return tx.create(ctx, r, opts, func() error { return st.adopt(ctx, r.ID) })
}

// sameParent makes sure that the layer below is still the one that the stage was
// unpacked for: not one that was made anew under the same ID, nor re-owned.
func (tx *WriteTx) sameParent(st *Stage) error {
	if st.parent == nil {
		return nil
	}
	parent, err := tx.complete(st.parent.ID)
	if err != nil {
		return err
	}
	if !parent.identity().equal(st.parent.identity()) || !parent.Mapping().Equal(st.parent.Mapping()) {
		return fmt.Errorf("adopt layer on %s: %w", parent.ID, ErrParentChanged)
	}
	return nil
}

// adopt moves what is staged to where layer id is kept.
func (st *Stage) adopt(ctx context.Context, id ID) error {
	st.adopted = true
	if err := st.content.adopt(ctx, id); err != nil {
		return err
	}
	if st.split == nil {
		return nil
	}
	return st.split.adopt(st.store.opts.GraphDir, id, st.store.durable())
}

// create is the protocol of a new layer (on-disk format, 2.8): flagged record,
// data items, content, record without the flag (pending until the next save).
func (tx *WriteTx) create(ctx context.Context, r Record, opts CreateOptions, fill func() error) (Layer, error) {
	if err := tx.free(&r); err != nil {
		return Layer{}, err
	}
	if err := tx.clearLeftovers(ctx, r.ID); err != nil {
		return Layer{}, err
	}
	final := r
	r.setIncomplete()
	if err := tx.records.Insert(tx.store.fileFor(opts), r); err != nil {
		return Layer{}, err
	}
	tx.changed()
	if err := tx.records.Save(ctx); err != nil {
		// Nothing is there yet but, perhaps, a flagged record.
		return Layer{}, errors.Join(fmt.Errorf("create layer %s: %w", r.ID, err), tx.drop(r.ID))
	}
	tx.made = append(tx.made, r.ID)
	err := tx.store.writeData(r.ID, opts.BigData)
	if err == nil {
		err = fill()
	}
	if err == nil {
		err = tx.records.Update(string(r.ID), func(p *Record) error { p.Flags = final.Flags; return nil })
	}
	if err != nil {
		return Layer{}, errors.Join(fmt.Errorf("create layer %s: %w", r.ID, err), tx.undo(context.WithoutCancel(ctx), r.ID))
	}
	tx.changed()
	return tx.Get(r.ID)
}

// free makes sure that the record can be added.
func (tx *WriteTx) free(r *Record) error {
	if tx.closed {
		return ErrTxClosed // before anything is taken for a leftover
	}
	if err := r.ID.Validate(); err != nil {
		return err
	}
	if err := errors.Join(objectid.ValidateNames("layer", r.Names), objectid.ValidateText("metadata", r.Metadata), objectid.ValidateText("mount label", r.MountLabel)); err != nil {
		return err
	}
	for _, key := range r.BigDataNames {
		if _, err := bigdata.FileName(key); err != nil {
			return fmt.Errorf("data item of layer %s: %w", r.ID, err)
		}
	}
	if tx.writable(r.ID) {
		return about(r.ID, ErrDuplicateID)
	}
	for _, name := range r.Names {
		if _, taken := tx.records.ByName(name); taken {
			return about(name, ErrDuplicateName)
		}
	}
	if r.Parent == "" {
		return nil
	}
	_, err := tx.complete(r.Parent)
	return err
}

// writeData stores the first data items of a layer.
func (s *Store) writeData(id ID, items []Datum) error {
	dir, err := dataPath(s.opts.GraphDir, id)
	if err != nil {
		return err
	}
	for _, d := range items {
		if err := bigdata.Write(dir, d.Key, d.Data, bigdata.Options{NoSync: !s.durable()}); err != nil {
			return err
		}
	}
	return nil
}

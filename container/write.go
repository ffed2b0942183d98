package container

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/objectid"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/layer"
)

// WriteTx adds the changing methods. Reads see the transaction's own changes.
// Commit saves and ends it; Close without Commit drops unsaved changes. It is not
// safe for concurrent use.
type WriteTx struct {
	*ReadTx
	writer *recordfile.WriteTx[Record]
	data   bigdata.Changes
}

// Adopt turns a stage into a container at its place: ErrDuplicateID and
// ErrDuplicateName when something took the ID or a name meanwhile; the stage is
// still there then.
func (tx *WriteTx) Adopt(ctx context.Context, st *Stage, at Place) (Container, error) {
	r := st.record
	r.Image, r.Layer = at.Image, at.Layer
	r.UIDMap, r.GIDMap = slices.Clone(at.Mapping.UIDs), slices.Clone(at.Mapping.GIDs)
	if err := tx.checkFree(r); err != nil {
		return Container{}, err
	}
	if err := tx.data.Adopt(st.items, string(r.ID)); err != nil {
		return Container{}, err
	}
	file := stableFile
	if tx.store.transient {
		file = volatileFile
	}
	if err := tx.writer.Insert(file, r); err != nil {
		return Container{}, fmt.Errorf("store container %s: %w", r.ID, err)
	}
	return Container{Record: r, Transient: tx.store.transient}, ctx.Err()
}

// checkFree looks for the ID and the names.
func (tx *WriteTx) checkFree(r Record) error {
	_, taken, err := tx.writer.Get(string(r.ID))
	if err != nil {
		return err
	}
	if taken {
		return &layer.SubjectError{Subject: string(r.ID), Err: ErrDuplicateID}
	}
	for _, name := range r.Names {
		if _, taken := tx.writer.ByName(name); taken {
			return &layer.SubjectError{Subject: name, Err: ErrDuplicateName}
		}
	}
	return nil
}

// Delete removes a container's record; its directories go when the transaction
// commits. Its layer is the caller's business. ErrUnknown if there is none.
func (tx *WriteTx) Delete(id ID) error {
	if err := tx.writer.Delete(string(id)); err != nil {
		return fmt.Errorf("delete container %s: %w", id, err)
	}
	tx.data.Delete(tx.store.DataDir(id), tx.store.RunDir(id))
	return nil
}

// SetNames replaces all names. Like AddNames and RemoveNames it changes the
// names and return the result; repeated names count once, and names of other
// containers move here.
func (tx *WriteTx) SetNames(id ID, names []string) ([]string, error) {
	return tx.changeNames(id, names, func([]string) []string { return names })
}

// AddNames puts names in front of those that the container has; see SetNames.
func (tx *WriteTx) AddNames(id ID, names []string) ([]string, error) {
	return tx.changeNames(id, names, func(old []string) []string { return slices.Concat(names, old) })
}

// RemoveNames takes names away; one that the container has not is no error. See SetNames.
func (tx *WriteTx) RemoveNames(id ID, names []string) ([]string, error) {
	return tx.changeNames(id, nil, func(old []string) []string { return objectid.Without(old, names...) })
}

func (tx *WriteTx) changeNames(id ID, added []string, change func([]string) []string) ([]string, error) {
	if err := objectid.ValidateNames("container", added); err != nil {
		return nil, err
	}
	c, err := tx.Get(id)
	if err != nil {
		return nil, err
	}
	names := objectid.Unique(change(c.Names))
	if err := tx.writer.AssignNames(string(id), names); err != nil {
		return nil, fmt.Errorf("name container %s: %w", id, err)
	}
	return names, nil
}

// SetMetadata replaces the creator's text; errdefs.ErrInvalid for what is not UTF-8.
func (tx *WriteTx) SetMetadata(id ID, text string) error {
	if err := objectid.ValidateText("metadata", text); err != nil {
		return err
	}
	return tx.update(id, func(r *Record) { r.Metadata = text })
}

func (tx *WriteTx) update(id ID, change func(*Record)) error {
	err := tx.writer.Update(string(id), func(r *Record) error {
		change(r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("change container %s: %w", id, err)
	}
	return nil
}

// Commit saves what is pending, gives the lock back and removes the directories
// of deleted containers. After an error the transaction has ended; what was not
// saved is dropped.
func (tx *WriteTx) Commit(ctx context.Context) error {
	if err := tx.data.Save(ctx, tx.writer); err != nil {
		return errors.Join(err, tx.Close())
	}
	remove, err := tx.data.Commit()
	return errors.Join(err, tx.Close(), remove())
}

// Uncertain reports whether Commit failed so late that the records may be on disk
// all the same. What they refer to has to stay then.
func (tx *WriteTx) Uncertain() bool { return tx.writer.Uncertain() }

// Close ends the transaction; after Commit it does nothing. Always defer it.
func (tx *WriteTx) Close() error { return errors.Join(tx.data.Undo(), tx.ReadTx.Close()) }

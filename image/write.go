package image

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
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
	writers []*recordfile.WriteTx[Record] // one per part, nil for those that are only read
	data    bigdata.Changes
	adopted []ID // into the first part
}

func (tx *WriteTx) open(ctx context.Context, p part) error {
	if p.readOnly {
		r, err := tx.store.view(ctx, p)
		if err != nil {
			return err
		}
		tx.parts, tx.writers = append(tx.parts, r), append(tx.writers, nil)
		return nil
	}
	w, err := p.records.Begin(ctx)
	if err != nil {
		return err
	}
	tx.parts, tx.writers = append(tx.parts, w), append(tx.writers, w)
	return nil
}

// Adopt turns a stage into an image on layer top ("" for none), which the caller
// knows to exist: ErrDuplicateID and ErrDuplicateName when
// something took the ID or a name meanwhile; the stage is still there then.
// Nobody sees the image before Commit, and with it everything is there at once.
func (tx *WriteTx) Adopt(ctx context.Context, st *Stage, top layer.ID) (Image, error) {
	st.record.TopLayer = top
	r := st.record
	if st.moveNames {
		if err := tx.freeNames(r.Names); err != nil {
			return Image{}, err
		}
	}
	if err := tx.checkFree(r); err != nil {
		return Image{}, err
	}
	if err := tx.data.Adopt(st.items, string(r.ID)); err != nil {
		return Image{}, err
	}
	if err := tx.writers[0].Insert(0, r); err != nil {
		return Image{}, fmt.Errorf("store image %s: %w", r.ID, err)
	}
	tx.adopted = append(tx.adopted, r.ID)
	return tx.store.image(0, r), ctx.Err()
}

// checkFree looks for the ID and the names in every part that is written.
func (tx *WriteTx) checkFree(r Record) error {
	for _, w := range tx.writers {
		if w == nil {
			continue
		}
		if _, taken, err := w.Get(string(r.ID)); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("an image with ID %q already exists: %w", string(r.ID), ErrDuplicateID)
		}
		for _, name := range r.Names {
			if owner, taken := w.ByName(name); taken {
				return fmt.Errorf("image name %q is already associated with image %q: %w", name, owner, ErrDuplicateName)
			}
		}
	}
	return nil
}

// Delete removes an image's record; its data goes when the transaction commits.
// Whether a container needs it is not looked at. ErrUnknown if no part that is
// written has it.
func (tx *WriteTx) Delete(id ID) error {
	home, err := tx.homeOf(id)
	if err != nil {
		return err
	}
	if err := tx.writers[home].Delete(string(id)); err != nil {
		return fmt.Errorf("delete image %s: %w", id, err)
	}
	return tx.forget(home, id)
}

// forget notes the directories of a deleted image: its data, and the engines'
// files about it unless another part has an image of that ID.
func (tx *WriteTx) forget(home int, id ID) error {
	s := tx.store
	tx.data.Delete(filepath.Join(s.parts[home].dir, string(id)))
	_, err := tx.homeOf(id)
	if !errors.Is(err, ErrUnknown) {
		return err
	}
	if home != s.last {
		tx.data.Delete(filepath.Join(s.parts[s.last].dir, string(id)))
	}
	tx.data.Delete(filepath.Join(s.runDir, string(id)))
	return nil
}

// homeOf returns the first writable part that has id.
func (tx *WriteTx) homeOf(id ID) (int, error) {
	for home, w := range tx.writers {
		if w == nil {
			continue
		}
		if _, ok, err := w.Get(string(id)); err != nil || ok {
			return home, err
		}
	}
	return 0, ErrUnknown
}

// SetMetadata replaces the creator's text; errdefs.ErrInvalid for what is not UTF-8.
func (tx *WriteTx) SetMetadata(id ID, text string) error {
	if err := objectid.ValidateText("metadata", text); err != nil {
		return err
	}
	return tx.update(id, func(r *Record) error {
		r.Metadata = text
		return nil
	})
}

// AddMappedLayer notes a copy of the top layer with other owners; one that is
// noted already stays as it is.
func (tx *WriteTx) AddMappedLayer(id ID, l layer.ID) error {
	return tx.update(id, func(r *Record) error {
		if !slices.Contains(r.MappedLayers, l) {
			r.MappedLayers = append(slices.Clone(r.MappedLayers), l)
		}
		return nil
	})
}

// RemoveMappedLayer forgets a mapped copy that was deleted.
func (tx *WriteTx) RemoveMappedLayer(id ID, l layer.ID) error {
	return tx.update(id, func(r *Record) error {
		r.MappedLayers = slices.DeleteFunc(slices.Clone(r.MappedLayers), func(m layer.ID) bool { return m == l })
		return nil
	})
}

func (tx *WriteTx) update(id ID, change func(*Record) error) error {
	home, err := tx.homeOf(id)
	if err != nil {
		return err
	}
	if err := tx.writers[home].Update(string(id), change); err != nil {
		return fmt.Errorf("change image %s: %w", id, err)
	}
	return nil
}

// Commit saves what is pending, gives the locks back and removes the data of
// deleted images. After an error the transaction has ended; what was not saved is dropped.
func (tx *WriteTx) Commit(ctx context.Context) error {
	for part, w := range tx.writers {
		if w == nil {
			continue
		}
		err := tx.data.Save(ctx, w)
		if err != nil && part > 0 && !w.Uncertain() {
			err = errors.Join(err, tx.takeBack(context.WithoutCancel(ctx)))
		}
		if err != nil {
			return errors.Join(err, tx.Close())
		}
	}
	remove, err := tx.data.Commit()
	return errors.Join(err, tx.Close(), remove())
}

// takeBack removes the adopted images again, which the first part has saved already. While
// their records stay, so does their data.
func (tx *WriteTx) takeBack(ctx context.Context) error {
	var errs []error
	for _, id := range tx.adopted {
		errs = append(errs, tx.writers[0].Delete(string(id)))
	}
	err := errors.Join(errs...)
	if err == nil {
		err = tx.writers[0].Save(ctx)
	}
	if err != nil {
		tx.data.Keep()
		return fmt.Errorf("take back what was saved: %w", err)
	}
	return nil
}

// Uncertain reports whether Commit failed so late that the records may be on disk
// all the same. What they refer to has to stay then.
func (tx *WriteTx) Uncertain() bool {
	return slices.ContainsFunc(tx.writers, func(w *recordfile.WriteTx[Record]) bool { return w != nil && w.Uncertain() })
}

// Close ends the transaction; after Commit it does nothing. Always defer it.
func (tx *WriteTx) Close() error { return errors.Join(tx.data.Undo(), tx.ReadTx.Close()) }

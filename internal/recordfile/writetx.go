package recordfile

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/stratastore/strata/errdefs"
)

// WriteTx is the records of a Store while its locks are held exclusively. Its
// reading methods see the changes made so far. Nothing is written before Save or
// Commit; Close drops what was not saved. It is not safe for concurrent use.
type WriteTx[R any] struct {
	ReadTx[R]
	// failed is the error of a Save that may have replaced some of the files.
	failed error
}

// Uncertain reports whether a Save failed so late that the files may hold what it
// was to save. Whoever made other files for new records leaves them alone then.
func (tx *WriteTx[R]) Uncertain() bool { return tx.failed != nil }

// usable returns why the transaction can not change anything, or nil.
func (tx *WriteTx[R]) usable() error {
	if tx.view == nil {
		return ErrTxClosed
	}
	return tx.failed
}

// Insert adds a record at the end of a file (its place in Open's list). An ID that
// is in use is Schema.DuplicateID, a name that is in use Schema.DuplicateName, an
// ID that can not be one errdefs.ErrInvalid. Repeated names are dropped.
func (tx *WriteTx[R]) Insert(file int, r R) error {
	if err := tx.usable(); err != nil {
		return err
	}
	s := tx.store
	id := s.schema.ID(&r)
	if err := s.checkNewID(id); err != nil {
		return err
	}
	if err := s.checkWritable(file); err != nil {
		return err
	}
	if tx.view.find(id) != nil {
		return fmt.Errorf("%s %q: %w", s.schema.Kind, id, s.schema.DuplicateID)
	}
	for _, n := range s.uniqueNames(&r) {
		if other := tx.view.byName(n); other != nil {
			return fmt.Errorf("%s name %q of %s: %w", s.schema.Kind, n, other.id, s.schema.DuplicateName)
		}
	}
	e, err := s.encode(&r, nil, file, tx.view.nextOrder(file))
	if err != nil {
		return err
	}
	tx.view.put(e)
	return nil
}

func (s *Store[R]) checkNewID(id string) error {
	if id == "" {
		return fmt.Errorf("%s without an ID: %w", s.schema.Kind, errdefs.ErrInvalid)
	}
	if s.schema.CheckID == nil {
		return nil
	}
	return s.schema.CheckID(id)
}

// uniqueNames drops repeated names from r, keeping the first of each, and returns
// the rest.
func (s *Store[R]) uniqueNames(r *R) []string {
	if s.schema.Names == nil {
		return nil
	}
	names := s.schema.Names(r)
	var unique []string
	for _, n := range names {
		if !slices.Contains(unique, n) {
			unique = append(unique, n)
		}
	}
	if len(unique) != len(names) && s.schema.SetNames != nil {
		s.schema.SetNames(r, slices.Clone(unique))
	}
	return unique
}

// Update changes the record with this ID by a function, whose error is Update's
// and drops the change. The function gets a copy of its own; it may not change the
// ID. Names that it adds are taken from the records that have them (on-disk
// format, 2.4). The error is Schema.Unknown if there is no such record.
func (tx *WriteTx[R]) Update(id string, change func(*R) error) error {
	old, err := tx.writable(id)
	if err != nil {
		return err
	}
	s := tx.store
	r, err := s.decode(old)
	if err != nil {
		return err
	}
	if err := change(&r); err != nil {
		return err
	}
	if now := s.schema.ID(&r); now != id {
		return fmt.Errorf("change the ID of %s %q to %q: %w", s.schema.Kind, id, now, errdefs.ErrInvalid)
	}
	names := s.uniqueNames(&r)
	e, err := s.encode(&r, old, old.file, old.order)
	if err != nil || bytes.Equal(e.text, old.text) && !old.stripped {
		return err
	}
	losers, err := tx.losers(id, names)
	if err != nil {
		return err
	}
	for _, l := range append(losers, e) {
		tx.view.put(l)
	}
	return nil
}

// writable returns the entry with this ID if it may be changed.
func (tx *WriteTx[R]) writable(id string) (*entry, error) {
	if err := tx.usable(); err != nil {
		return nil, err
	}
	e := tx.view.find(id)
	if e == nil {
		return nil, tx.store.unknown(id)
	}
	return e, tx.store.checkWritable(e.file)
}

// losers returns the records other than id that have any of the names, as they
// are without them.
func (tx *WriteTx[R]) losers(id string, names []string) ([]*entry, error) {
	var owners []*entry
	for _, n := range names {
		if o := tx.view.byName(n); o != nil && o.id != id && !slices.Contains(owners, o) {
			owners = append(owners, o)
		}
	}
	var out []*entry
	for _, o := range owners {
		e, err := tx.withoutNames(o, names)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (tx *WriteTx[R]) withoutNames(e *entry, names []string) (*entry, error) {
	s := tx.store
	if err := s.checkWritable(e.file); err != nil {
		return nil, err
	}
	r, err := s.decode(e)
	if err != nil {
		return nil, err
	}
	rest := slices.DeleteFunc(slices.Clone(e.names), func(n string) bool { return slices.Contains(names, n) })
	s.schema.SetNames(&r, rest)
	return s.encode(&r, e, e.file, e.order)
}

// AssignNames gives the record with this ID these names in place of its own, each
// once, and takes them from the records that have them. The error is
// Schema.Unknown if there is no such record.
func (tx *WriteTx[R]) AssignNames(id string, names []string) error {
	return tx.Update(id, func(r *R) error {
		tx.store.schema.SetNames(r, slices.Clone(names))
		return nil
	})
}

// Delete drops the record with this ID; Schema.Unknown if there is none.
func (tx *WriteTx[R]) Delete(id string) error {
	e, err := tx.writable(id)
	if err != nil {
		return err
	}
	tx.view.remove(e)
	return nil
}

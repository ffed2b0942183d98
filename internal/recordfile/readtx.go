package recordfile

import (
	"fmt"
	"iter"

	"github.com/stratastore/strata/lockfile"
)

// ReadTx is the records of a Store while its locks are held. It is not safe for
// concurrent use, but several may be open at once and share what they read. After
// Close its methods give ErrTxClosed or, without an error result, nothing.
type ReadTx[R any] struct {
	store *Store[R]
	view  *pending // nil after Close
	held  []*lockfile.Held
}

// Close gives the locks back. A second call does nothing.
func (tx *ReadTx[R]) Close() error {
	held := tx.held
	tx.view, tx.held = nil, nil
	if err := unlockAll(held); err != nil {
		return fmt.Errorf("close %s records: %w", tx.store.schema.Kind, err)
	}
	return nil
}

// Version is equal in two transactions of a Store that see the same records: what
// is derived from the records may be kept by it. The zero Version is no
// transaction's.
type Version struct {
	base  *snapshot
	edits int
	tx    *pending
}

// Version returns the version of the records as this transaction sees them now.
func (tx *ReadTx[R]) Version() Version {
	switch {
	case tx.view == nil:
		return Version{}
	case tx.view.edits == 0:
		return Version{base: tx.view.base}
	default:
		return Version{tx.view.base, tx.view.edits, tx.view}
	}
}

// Len returns the number of records.
func (tx *ReadTx[R]) Len() int {
	if tx.view == nil {
		return 0
	}
	return tx.view.count()
}

// IDs returns the IDs of all records in listing order: the files in the order of
// Open, and within a file the order of creation.
func (tx *ReadTx[R]) IDs() []string {
	if tx.view == nil {
		return nil
	}
	out := make([]string, 0, tx.view.count())
	for e := range tx.view.all() {
		out = append(out, e.id)
	}
	return out
}

// All yields all records in listing order, each decoded afresh. A record that can
// not be decoded yields its error, and the iteration goes on.
func (tx *ReadTx[R]) All() iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		if tx.view == nil {
			var zero R
			yield(zero, ErrTxClosed)
			return
		}
		for e := range tx.view.all() {
			if !yield(tx.store.decode(e)) {
				return
			}
		}
	}
}

// Has reports whether there is a record with this ID.
func (tx *ReadTx[R]) Has(id string) bool { return tx.view != nil && tx.view.find(id) != nil }

// Get returns the record with this ID; ok is false if there is none. The record
// is the caller's own. The error is a *CorruptError if it can not be decoded.
func (tx *ReadTx[R]) Get(id string) (r R, ok bool, err error) {
	if tx.view == nil {
		return r, false, ErrTxClosed
	}
	e := tx.view.find(id)
	if e == nil {
		return r, false, nil
	}
	r, err = tx.store.decode(e)
	return r, err == nil, err
}

// Lookup returns the ID of the record that a person means: the one with exactly
// this ID, else with exactly this name, else the only one whose ID begins so
// (on-disk format, 2.1). Otherwise the error is Schema.Unknown.
func (tx *ReadTx[R]) Lookup(text string) (id string, err error) {
	if tx.view == nil {
		return "", ErrTxClosed
	}
	if text == "" {
		return "", tx.store.unknown(text)
	}
	e := tx.view.find(text)
	if e == nil {
		e = tx.view.byName(text)
	}
	if e == nil {
		e = tx.view.prefixed(text)
	}
	if e == nil {
		return "", tx.store.unknown(text)
	}
	return e.id, nil
}

func (s *Store[R]) unknown(text string) error {
	return fmt.Errorf("%s %q: %w", s.schema.Kind, text, s.schema.Unknown)
}

// ByName returns the ID of the record with this name.
func (tx *ReadTx[R]) ByName(name string) (id string, ok bool) {
	if tx.view == nil {
		return "", false
	}
	e := tx.view.byName(name)
	if e == nil {
		return "", false
	}
	return e.id, true
}

// By returns the IDs of the records that have a value in one of Schema.Indexes, in
// listing order. An index that the schema does not have panics.
func (tx *ReadTx[R]) By(index, value string) (ids []string) {
	if tx.view == nil {
		return nil
	}
	for _, e := range tx.view.lookup(tx.store.plan.find(index), value) {
		ids = append(ids, e.id)
	}
	return ids
}

// Values returns what one of Schema.Indexes holds of the record with this ID, in
// the order of the members. It decodes nothing else of the record.
func (tx *ReadTx[R]) Values(index, id string) []string {
	if tx.view == nil {
		return nil
	}
	e := tx.view.find(id)
	if e == nil {
		return nil
	}
	x := &tx.store.plan.indexes[tx.store.plan.find(index)]
	return x.values(e.raw)
}

// FileOf returns which of the files of Open holds the record with this ID, -1 if
// there is no such record.
func (tx *ReadTx[R]) FileOf(id string) int {
	if tx.view == nil {
		return -1
	}
	e := tx.view.find(id)
	if e == nil {
		return -1
	}
	return e.file
}

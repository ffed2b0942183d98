package recordfile

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Clash is an ID or a name that several records of a Store have.
type Clash struct {
	// Path of the file with the record that loses.
	Path string
	// ReadOnly: the file is not written.
	ReadOnly bool
	// ID is what the records have in common, or that of the record that loses Name.
	ID string
	// Name is claimed by the records ID and Keeper, and counts for Keeper; "" for an ID.
	Name, Keeper string
	// Records are the texts of those with one ID, the one that counts first.
	Records []json.RawMessage
	// Bytes are what the records that lose take in the file.
	Bytes int64
}

// Clashes returns what several records have, in the order of the files. Without a
// clash it costs nothing.
func (tx *ReadTx[R]) Clashes() (found []Clash) {
	if tx.view == nil {
		return nil
	}
	base := tx.view.base
	if !base.sameIDs() && len(base.stripped) == 0 {
		return nil
	}
	place := map[string]int{}
	for file := range base.texts {
		for i := range base.texts[file] {
			r := &base.texts[file][i]
			if first := base.byID[unquote(r.value(idPlace))]; first.raw == r {
				found = append(found, tx.lostNames(first)...)
			} else {
				found = tx.addSameID(found, place, first, r, file)
			}
		}
	}
	return found
}

// sameIDs reports whether several records have one ID.
func (s *snapshot) sameIDs() bool {
	total := 0
	for _, t := range s.texts {
		total += len(t)
	}
	return total > len(s.byID)
}

func (tx *ReadTx[R]) clash(file int, id string) Clash {
	f := tx.store.files[file]
	return Clash{Path: f.Path, ReadOnly: f.ReadOnly, ID: id}
}

// addSameID notes a record that is passed over for the one that counts.
func (tx *ReadTx[R]) addSameID(found []Clash, place map[string]int, first *entry, r *raw, file int) []Clash {
	at, known := place[first.id]
	if !known {
		c := tx.clash(file, first.id)
		c.Records = append(c.Records, slices.Clone(first.text))
		at = len(found)
		place[first.id], found = at, append(found, c)
	}
	found[at].Records = append(found[at].Records, slices.Clone(r.text))
	found[at].Bytes += int64(len(r.text))
	return found
}

// lostNames are the names that a record has in its file and another one keeps.
func (tx *ReadTx[R]) lostNames(e *entry) (found []Clash) {
	if !e.stripped {
		return nil
	}
	whole, err := newEntry(e.raw, true, e.file, e.order)
	if err != nil {
		return nil // it was read before
	}
	for _, name := range whole.names {
		if slices.Contains(e.names, name) {
			continue
		}
		c := tx.clash(e.file, e.id)
		c.Name, c.Keeper, c.Bytes = name, tx.view.base.byName[name].id, int64(len(name))
		found = append(found, c)
	}
	return found
}

// Keep makes text the only record of its ID, in the place of the one that counts.
// Names that other records have by now stay theirs. The error is Schema.Unknown if
// there is no record with the ID.
func (tx *WriteTx[R]) Keep(id string, text json.RawMessage) error {
	old, err := tx.writable(id)
	if err != nil {
		return err
	}
	r, err := parseRecord(slices.Clone(text), tx.store.plan.wanted)
	if err != nil {
		return fmt.Errorf("keep %s %q: %w", tx.store.schema.Kind, id, err)
	}
	e, err := newEntry(&r, tx.store.plan.named, old.file, old.order)
	if err != nil || e.id != id {
		return fmt.Errorf("keep %s %q: the record is another's: %w", tx.store.schema.Kind, id, err)
	}
	for file := range tx.view.base.texts {
		if slices.ContainsFunc(tx.view.base.texts[file], func(r raw) bool { return unquote(r.value(idPlace)) == id }) {
			tx.view.touch(file) // writing it leaves out those that do not count
		}
	}
	return tx.putFree(&e)
}

// putFree puts a record with those of its names that no other one has.
func (tx *WriteTx[R]) putFree(e *entry) error {
	free := slices.DeleteFunc(slices.Clone(e.names), func(name string) bool {
		owner := tx.view.byName(name)
		return owner != nil && owner.id != e.id
	})
	e.names = free
	tx.view.put(e)
	if tx.store.schema.SetNames == nil {
		return nil
	}
	return tx.Update(e.id, func(r *R) error { tx.store.schema.SetNames(r, free); return nil })
}

// Restore adds a record of an older version of a file, as it stands there, at the end of that
// file. Names that other records have by now stay theirs. An ID that is in use is
// Schema.DuplicateID.
func (tx *WriteTx[R]) Restore(file int, text json.RawMessage) error {
	if err := tx.usable(); err != nil {
		return err
	}
	s := tx.store
	if err := s.checkWritable(file); err != nil {
		return err
	}
	r, err := parseRecord(slices.Clone(text), s.plan.wanted)
	if err != nil {
		return fmt.Errorf("restore a %s: %w", s.schema.Kind, err)
	}
	e, err := newEntry(&r, s.plan.named, file, tx.view.nextOrder(file))
	if err == nil {
		err = s.checkNewID(e.id)
	}
	if err != nil {
		return fmt.Errorf("restore a %s: %w", s.schema.Kind, err)
	}
	if tx.view.find(e.id) != nil {
		return fmt.Errorf("%s %q: %w", s.schema.Kind, e.id, s.schema.DuplicateID)
	}
	return tx.putFree(&e)
}

package recordfile

import "slices"

// The places of the keys that every Store wants, among its wanted keys.
const (
	idPlace = iota
	namesPlace
)

// entry is one record of a snapshot or of a transaction. It is never changed, so
// that snapshots can be shared.
type entry struct {
	*raw
	id string
	// names are the record's names without those that a later record has as well.
	names []string
	// stripped: names are fewer than in the text.
	stripped bool
	// file is the record's place in Store.files; order is its place in the listing
	// among the records of that file.
	file, order int
}

// newEntry reads the ID of a record and, if its kind is named, the names. The error
// is a *syntaxError.
func newEntry(r *raw, named bool, file, order int) (entry, error) {
	e := entry{raw: r, file: file, order: order}
	id := r.value(idPlace)
	if len(id) < 3 || id[0] != '"' {
		return e, &syntaxError{r.offset, "the record has no ID"}
	}
	e.id = unquote(id)
	names := r.value(namesPlace)
	if !named || names == nil || names[0] == 'n' {
		return e, nil
	}
	if names[0] != '[' {
		return e, &syntaxError{r.offset, "the names of the record are no list"}
	}
	for element := range elements(names) {
		if element[0] != '"' {
			return e, &syntaxError{r.offset, "a name of the record is no text"}
		}
		if name := unquote(element); name != "" {
			e.names = append(e.names, name)
		}
	}
	return e, nil
}

// without returns a copy of the entry that does not have the name.
func (e *entry) without(name string) *entry {
	c := *e
	c.names = slices.DeleteFunc(slices.Clone(e.names), func(n string) bool { return n == name })
	c.stripped = true
	return &c
}

// compareEntries orders as the listing does.
func compareEntries(a, b *entry) int {
	if a.file != b.file {
		return a.file - b.file
	}
	return a.order - b.order
}

package recordfile

import (
	"iter"
	"slices"
	"strings"
)

// pending is a snapshot with the changes of a transaction over it. Without changes
// it costs nothing.
type pending struct {
	base *snapshot
	// changed replaces records of base in their places; gone are those that were
	// deleted. An ID is in one of the two at most.
	changed map[string]*entry
	gone    map[string]bool
	// added are new records, in the order of their coming; those that were changed
	// or deleted since are in it no more.
	added []*entry
	// news finds the added ones by ID.
	news map[string]*entry
	// names overrides base.byName: who has a name now, nil for nobody.
	names map[string]*entry
	// indexed holds changed and new records by index and value; what is not current
	// any more stays in it and is left out when asked for.
	indexed []map[string][]*entry
	// dirty files have to be written; edits counts the changes since base.
	dirty map[int]bool
	edits int
}

func newPending(base *snapshot) *pending {
	p := &pending{
		base: base, changed: map[string]*entry{}, gone: map[string]bool{}, news: map[string]*entry{},
		names: map[string]*entry{}, dirty: map[int]bool{},
	}
	for range base.plan.indexes {
		p.indexed = append(p.indexed, map[string][]*entry{})
	}
	return p
}

// find returns the record with an ID, or nil.
func (p *pending) find(id string) *entry {
	if e, ok := p.news[id]; ok {
		return e
	}
	if e, ok := p.changed[id]; ok {
		return e
	}
	if p.gone[id] {
		return nil
	}
	return p.base.byID[id]
}

func (p *pending) count() int { return len(p.base.byID) - len(p.gone) + len(p.news) }

// byName returns the record that has a name, or nil.
func (p *pending) byName(name string) *entry {
	if e, ok := p.names[name]; ok {
		return e
	}
	if e := p.base.byName[name]; e != nil {
		return p.find(e.id)
	}
	return nil
}

// file yields the records of one file in listing order.
func (p *pending) file(file int) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := range p.base.files[file] {
			e := &p.base.files[file][i]
			if p.gone[e.id] {
				continue
			}
			if c, ok := p.changed[e.id]; ok {
				e = c
			}
			if !yield(e) {
				return
			}
		}
		for _, e := range p.added {
			if e.file == file && !yield(e) {
				return
			}
		}
	}
}

// all yields all records in listing order.
func (p *pending) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for file := range p.base.files {
			for e := range p.file(file) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// lookup returns the records that have a value in an index, in listing order.
func (p *pending) lookup(index int, value string) []*entry {
	found := p.base.lookup(index, value)
	if p.edits == 0 {
		return found
	}
	var out []*entry
	for _, e := range slices.Concat(found, p.indexed[index][value]) {
		if p.find(e.id) == e {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, compareEntries)
	return out
}

// prefixed returns the only record whose ID begins so, or nil.
func (p *pending) prefixed(prefix string) *entry {
	var found *entry
	for e := range p.all() {
		if strings.HasPrefix(e.id, prefix) {
			if found != nil {
				return nil
			}
			found = e
		}
	}
	return found
}

// put adds e or sets it in the place of the record with its ID.
func (p *pending) put(e *entry) {
	old := p.find(e.id)
	p.touch(e.file)
	p.renamed(old, e)
	switch {
	case old == nil:
		p.added = append(p.added, e)
		p.news[e.id] = e
	case p.news[e.id] != nil:
		p.added[slices.Index(p.added, old)] = e
		p.news[e.id] = e
	default:
		p.changed[e.id] = e
	}
	for i := range p.base.plan.indexes {
		for _, v := range p.base.plan.indexes[i].values(e.raw) {
			p.indexed[i][v] = append(p.indexed[i][v], e)
		}
	}
}

// remove deletes e, which find has returned.
func (p *pending) remove(e *entry) {
	p.touch(e.file)
	p.renamed(e, nil)
	if p.news[e.id] != nil {
		delete(p.news, e.id)
		p.added = slices.DeleteFunc(p.added, func(o *entry) bool { return o == e })
		return
	}
	delete(p.changed, e.id)
	p.gone[e.id] = true
}

func (p *pending) touch(file int) {
	p.dirty[file] = true
	p.edits++
}

// renamed notes who has the names of a record before and after its change; either
// may be nil.
func (p *pending) renamed(before, after *entry) {
	if before != nil {
		for _, n := range before.names {
			p.names[n] = nil
		}
	}
	if after != nil {
		for _, n := range after.names {
			p.names[n] = after
		}
	}
}

// nextOrder is the order of the next added record: behind all that there are.
func (p *pending) nextOrder(file int) int { return len(p.base.texts[file]) + p.edits }

package recordfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// index is one of Schema.Indexes, parsed.
type index struct {
	name    string
	members []indexed
}

// indexed is one kind of member that an index holds.
type indexed struct {
	place  int    // of the record's member among the wanted keys
	nested bool   // whether members of that member count
	key    string // their key, or how it begins
	prefix bool
}

// plan is what a Store looks for in its records.
type plan struct {
	wanted  *wanted
	named   bool // whether the records have names
	indexes []index
	byName  map[string]int // places in indexes
}

// newPlan parses the indexes; usual are all keys of a record. A malformed index is
// the program's own mistake, so it panics.
func newPlan(indexes map[string]string, usual []string) *plan {
	keys := []string{idPlace: idKey, namesPlace: namesKey}
	p := &plan{byName: map[string]int{}}
	for _, name := range slices.Sorted(maps.Keys(indexes)) {
		x := index{name: name}
		for _, text := range strings.Fields(indexes[name]) {
			top, nested, hasNested := strings.Cut(text, ".")
			if top == "" || hasNested && nested == "" {
				panic(fmt.Sprintf("recordfile: index %s: malformed member %q", name, text))
			}
			key, prefix := strings.CutSuffix(nested, "*")
			x.members = append(x.members, indexed{placeOf(&keys, top), hasNested, key, prefix})
		}
		p.byName[name] = len(p.indexes)
		p.indexes = append(p.indexes, x)
	}
	p.wanted = newWanted(keys, usual)
	return p
}

// placeOf returns the place of key in keys, appending it if it is not there.
func placeOf(keys *[]string, key string) int {
	if i := slices.Index(*keys, key); i >= 0 {
		return i
	}
	*keys = append(*keys, key)
	return len(*keys) - 1
}

// find returns the place of the index called name; there being none is a mistake
// of the program.
func (p *plan) find(name string) int {
	i, ok := p.byName[name]
	if !ok {
		panic(fmt.Sprintf("recordfile: no index %q in the schema", name))
	}
	return i
}

// values returns what the index holds of a record, each value once.
func (x *index) values(r *raw) []string {
	var out []string
	for _, m := range x.members {
		text := r.value(m.place)
		switch {
		case text == nil:
		case !m.nested:
			out = appendValues(out, text)
		case text[0] == '{':
			for key, value := range keyed(text) {
				if m.matches(unquote(key)) {
					out = appendValues(out, value)
				}
			}
		}
	}
	return out
}

func (m *indexed) matches(key string) bool {
	if m.prefix {
		return strings.HasPrefix(key, m.key)
	}
	return key == m.key
}

// appendValues appends the values in a JSON text, see Schema.Indexes.
func appendValues(out []string, text []byte) []string {
	switch text[0] {
	case '"':
		return appendValue(out, unquote(text))
	case '[':
		for element := range elements(text) {
			out = appendValues(out, element)
		}
		return out
	case '{':
		for _, value := range keyed(text) {
			out = appendValues(out, value)
		}
		return out
	case 'n':
		return out
	default:
		return appendValue(out, string(text))
	}
}

func appendValue(out []string, value string) []string {
	if value == "" || slices.Contains(out, value) {
		return out
	}
	return append(out, value)
}

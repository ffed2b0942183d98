package recordfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// jsonKeys returns the keys that encoding/json uses for a struct, in their order.
func jsonKeys(t reflect.Type) []string {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("recordfile: record type %s is no struct", t))
	}
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			keys = append(keys, jsonKeys(f.Type)...)
		case !f.IsExported():
		case name == "":
			keys = append(keys, f.Name)
		default:
			keys = append(keys, name)
		}
	}
	return keys
}

// member is one member of a record: its key as it is written, and its value.
type member struct{ key, value []byte }

func split(object []byte) []member {
	var out []member
	for k, v := range keyed(object) {
		out = append(out, member{k, v})
	}
	return out
}

// merge returns the text of a record that was changed from before to after, both
// as encoding/json writes them. Members that are equal in both keep their bytes in
// old, and so do the members of old that are not in keys; they come last.
func merge(old, before, after []byte, keys []string) []byte {
	if bytes.Equal(before, after) {
		return old
	}
	was, read := split(before), split(old)
	out := make([]byte, 0, len(old)+len(after))
	out = append(out, '{')
	for _, m := range split(after) {
		if kept := lastOf(read, m.key); kept != nil && bytes.Equal(lastOf(was, m.key), m.value) {
			m.value = kept
		}
		out = appendMember(out, m)
	}
	for _, m := range read {
		if !isKey(keys, m.key) {
			out = appendMember(out, m)
		}
	}
	return append(out, '}')
}

func appendMember(out []byte, m member) []byte {
	if len(out) > 1 {
		out = append(out, ',')
	}
	return append(append(append(out, m.key...), ':'), m.value...)
}

// lastOf returns the value of the last member with a key, nil if there is none.
func lastOf(members []member, quoted []byte) []byte {
	key := unquote(quoted)
	for _, m := range slices.Backward(members) {
		if strings.EqualFold(unquote(m.key), key) {
			return m.value
		}
	}
	return nil
}

func isKey(keys []string, quoted []byte) bool {
	key := unquote(quoted)
	return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, key) })
}

// decode returns the record in e.
func (s *Store[R]) decode(e *entry) (R, error) {
	var r R
	if err := json.Unmarshal(e.text, &r); err != nil {
		var zero R
		reason := fmt.Sprintf("%s %q: %v", s.schema.Kind, e.id, err)
		return zero, s.corrupt(e.file, &syntaxError{e.offset, reason})
	}
	if e.stripped && s.schema.SetNames != nil {
		s.schema.SetNames(&r, slices.Clone(e.names))
	}
	return r, nil
}

// encode returns the entry for a record that is new (old nil) or takes old's place.
func (s *Store[R]) encode(r *R, old *entry, file, order int) (*entry, error) {
	text, err := json.Marshal(r)
	if err == nil && old != nil {
		text, err = s.mergeInto(old, text)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s %q: %w", s.schema.Kind, s.schema.ID(r), err)
	}
	parsed, err := parseRecord(text, s.plan.wanted)
	if err != nil {
		return nil, fmt.Errorf("encode %s %q: %w", s.schema.Kind, s.schema.ID(r), err)
	}
	e, err := newEntry(&parsed, s.plan.named, file, order)
	if err != nil {
		return nil, fmt.Errorf("encode %s %q: %w", s.schema.Kind, s.schema.ID(r), err)
	}
	return &e, nil
}

func (s *Store[R]) mergeInto(old *entry, text []byte) ([]byte, error) {
	var r R
	if err := json.Unmarshal(old.text, &r); err != nil {
		return nil, err
	}
	before, err := json.Marshal(&r)
	if err != nil {
		return nil, err
	}
	return merge(old.text, before, text, s.keys), nil
}

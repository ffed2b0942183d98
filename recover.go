package strata

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/layer"
)

// recoverable are the records that a damaged file can have again: those before the damage, then
// those of the last good copy, then what follows from files and other records.
func (s *Store) recoverable(ctx context.Context, e *exam, f Finding, damaged []byte) ([]json.RawMessage, error) {
	copied, err := copiedRecords(f.backup)
	if err != nil {
		return nil, err
	}
	texts := mergeRecords(recordsBefore(damaged), copied)
	file, known := s.recordFileAt(f.Kind, f.Path)
	if !known {
		return texts, nil // of volatile objects nothing else is known
	}
	switch f.Kind {
	case KindImage:
		texts = mergeRecords(texts, s.imagesByFiles(ctx, e, file))
	case KindLayer:
		texts = mergeRecords(texts, s.layersByNeed(e, file))
		if f.backup == "" {
			texts = mergeRecords(texts, s.layersByNotes(e, file))
		}
		texts = finished(texts, s.neededLayers(e))
	}
	return texts, nil
}

// recordFileAt finds the record file that has a path.
func (s *Store) recordFileAt(kind Kind, path string) (recordFile, bool) {
	for _, root := range s.roots.writableRoots() {
		if f := s.recordFile(kind, root); f.path == path {
			return f, true
		}
	}
	return recordFile{}, false
}

// copiedRecords are those in a copy.
func copiedRecords(backup string) (texts []json.RawMessage, err error) {
	if backup == "" {
		return nil, nil
	}
	data, err := atomicfile.Read(backup)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fmt.Errorf("%s is damaged, too: %w", backup, errdefs.ErrCorrupt)
	}
	return texts, nil
}

// recordsBefore are the whole records in a file before its damage.
func recordsBefore(damaged []byte) (texts []json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(damaged))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil
	}
	for d.More() {
		var text json.RawMessage
		if d.Decode(&text) != nil {
			break
		}
		texts = append(texts, text)
	}
	return texts
}

// mergeable is what merging looks at in a record.
type mergeable struct {
	ID    string   `json:"id"`
	Names []string `json:"names"`
}

// mergeRecords puts lists together: of several records with one ID the first counts, and of
// several with one name the first keeps it. What is no record is left out.
func mergeRecords(lists ...[]json.RawMessage) (merged []json.RawMessage) {
	ids, names := map[string]bool{}, map[string]bool{}
	for _, text := range slices.Concat(lists...) {
		var r mergeable
		if json.Unmarshal(text, &r) != nil || r.ID == "" || ids[r.ID] {
			continue
		}
		own := slices.DeleteFunc(slices.Clone(r.Names), func(n string) bool { return names[n] })
		if len(own) < len(r.Names) {
			text = with(text, "names", own)
		}
		for _, n := range own {
			names[n] = true
		}
		ids[r.ID] = true
		merged = append(merged, text)
	}
	return merged
}

// with is a record with another value for one member.
func with(text json.RawMessage, member string, value any) json.RawMessage {
	members := map[string]json.RawMessage{}
	changed, err := json.Marshal(value)
	if err != nil || json.Unmarshal(text, &members) != nil {
		return text
	}
	members[member] = changed
	out, err := json.Marshal(members)
	if err != nil {
		return text
	}
	return out
}

// imagesByFiles are the records of images whose data items prove their layers, which are there.
func (s *Store) imagesByFiles(ctx context.Context, e *exam, file recordFile) (texts []json.RawMessage) {
	ids, err := objectDirs(file.dir, isImageDir)
	if err != nil {
		return nil
	}
	layers := e.layerIndex()
	for _, id := range ids {
		top, proven := s.provenTop(filepath.Join(file.dir, id), id)
		if !proven || layers[top] == nil && !s.hasFiles(top) {
			continue
		}
		if text, err := s.imageRecord(ctx, file.dir, id); err == nil && text != nil {
			texts = append(texts, text)
		}
	}
	return texts
}

// layersByNeed are the records of layers that images and containers need and whose files are
// there: an image's configuration proves which they are, a container stands on its image.
func (s *Store) layersByNeed(e *exam, file recordFile) (texts []json.RawMessage) {
	add := func(r layer.Record) {
		if p, err := s.place(r.ID); err == nil && !p.home.readOnly && p.hasContent() && s.rootOf(r.ID) == file.root {
			if info, err := os.Lstat(p.dir); err == nil {
				r.Created = info.ModTime().UTC()
			}
			if text, err := json.Marshal(r); err == nil {
				texts = append(texts, text)
			}
		}
	}
	for _, i := range e.snap.Images {
		diffs, proven := s.diffIDs(i)
		if !proven || topOf(diffs) != i.TopLayer {
			continue
		}
		var below layer.ID
		for _, diff := range diffs {
			id := layer.ImageLayerID(below, diff)
			add(layer.Record{ID: id, Parent: below, DiffID: diff})
			below = id
		}
	}
	images := e.imageIndex()
	for _, c := range e.snap.Containers {
		if c.Volatile() || !c.Mapping().Empty() {
			continue // recorded elsewhere; or on a copy of its image's layer that is not known
		}
		r := layer.Record{ID: c.Layer}
		if i := images[c.Image]; i != nil {
			r.Parent = i.TopLayer
		} else if c.Image != "" {
			continue
		}
		add(r)
	}
	return texts
}

// neededLayers are the layers that images and containers name.
func (s *Store) neededLayers(e *exam) map[layer.ID]bool {
	needed := map[layer.ID]bool{}
	for _, i := range e.snap.Images {
		for _, top := range i.TopLayers() {
			needed[top] = true
		}
	}
	for _, c := range e.snap.Containers {
		needed[c.Layer] = true
	}
	return needed
}

// finished takes the mark of an interrupted creation or deletion from layers that are needed, or
// that such ones stand on: a copy of an earlier version may be of the time when they
// were being made.
func finished(texts []json.RawMessage, needed map[layer.ID]bool) []json.RawMessage {
	records := map[layer.ID]*layer.Record{}
	for _, text := range texts {
		var r layer.Record
		if json.Unmarshal(text, &r) == nil {
			records[r.ID] = &r
		}
	}
	whole := map[layer.ID]bool{}
	for id := range needed {
		for r := records[id]; r != nil && !whole[r.ID]; r = records[r.Parent] {
			whole[r.ID] = true
		}
	}
	for i, text := range texts {
		var r layer.Record
		if json.Unmarshal(text, &r) != nil || !whole[r.ID] || !r.Incomplete() {
			continue
		}
		flags := r.Flags
		delete(flags, layer.FlagIncomplete)
		texts[i] = with(text, "flags", flags)
	}
	return texts
}

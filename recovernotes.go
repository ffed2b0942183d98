package strata

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/layer"
)

// noted are overlay's layers in one root, by what the driver noted beside them (on-disk format, 4.1,
// 4.3, 4.6), images and containers.
type noted struct {
	// parents are the layers below; "" for none.
	parents map[layer.ID]layer.ID
	made    map[layer.ID]os.FileInfo
	// copies are images' top layers with other owners, with what they are copies of.
	copies map[layer.ID]layer.Record
	// mapped are the containers with ID maps, by their layer and by the copy that they stand on.
	mapped map[layer.ID]container.Container
}

// layersByNotes are the records of all layers that the driver has, needed or not: for a store without
// any copy of its records, in which they would be garbage.
func (s *Store) layersByNotes(e *exam, file recordFile) (texts []json.RawMessage) {
	if s.driver.name != overlayDriver {
		return nil
	}
	n, err := s.notedLayers(e, file)
	if err != nil {
		return nil
	}
	for _, id := range n.order() {
		r := layer.Record{ID: id, Parent: n.parents[id]}
		if c, is := n.copies[id]; is {
			r.Parent, r.DiffID = c.Parent, c.DiffID
		}
		r.Created = n.made[id].ModTime().UTC()
		c := n.mapped[id]
		r.UIDMap, r.GIDMap = c.UIDMap, c.GIDMap
		if text, err := json.Marshal(r); err == nil {
			texts = append(texts, text)
		}
	}
	return texts
}

// order puts the ones below first, and else sorts by ID.
func (n *noted) order() (ids []layer.ID) {
	depth := func(id layer.ID) (d int) {
		for ; n.parents[id] != "" && d <= len(n.parents); d++ {
			id = n.parents[id]
		}
		return d
	}
	ids = slices.Sorted(maps.Keys(n.parents))
	slices.SortStableFunc(ids, func(a, b layer.ID) int { return depth(a) - depth(b) })
	return ids
}

func (s *Store) notedLayers(e *exam, file recordFile) (*noted, error) {
	home := filepath.Join(file.root, s.driver.name)
	n := &noted{
		parents: map[layer.ID]layer.ID{}, made: map[layer.ID]os.FileInfo{},
		copies: map[layer.ID]layer.Record{}, mapped: map[layer.ID]container.Container{},
	}
	hidden := &orphanScan{store: s, layers: map[string]bool{}, containers: map[string]bool{}}
	if err := hidden.addHidden(); err != nil {
		return nil, err
	}
	table, err := s.links(nil)
	if err != nil {
		return nil, err
	}
	ids, err := objectDirs(home, func(dir string) bool { return isDir(filepath.Join(dir, "diff")) })
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		parent, ok := below(table, filepath.Join(home, id, "lower"))
		info, err := os.Lstat(filepath.Join(home, id))
		if ok && err == nil && !hidden.layers[id] {
			n.parents[layer.ID(id)], n.made[layer.ID(id)] = parent, info
		}
	}
	n.addMapped(s, e)
	return n, nil
}

// below is the first layer in the driver's list of those below; false if that leads nowhere.
func below(table *linkTable, lower string) (layer.ID, bool) {
	text, err := atomicfile.Read(lower)
	if os.IsNotExist(err) {
		return "", true
	}
	first, _, _ := strings.Cut(string(text), ":")
	id := table.linked[strings.TrimPrefix(first, "l/")]
	return id, err == nil && id != ""
}

// addMapped looks which layers belong to containers with ID maps.
func (n *noted) addMapped(s *Store, e *exam) {
	for _, i := range e.snap.Images {
		diffs, proven := s.diffIDs(i)
		if !proven {
			continue
		}
		last := len(diffs) - 1
		for _, id := range i.MappedLayers {
			n.copies[id] = layer.Record{Parent: topOf(diffs[:last]), DiffID: diffs[last]}
		}
	}
	for _, c := range e.snap.Containers {
		if c.Mapping().Empty() {
			continue
		}
		n.mapped[c.Layer] = c
		if _, is := n.copies[n.parents[c.Layer]]; is {
			n.mapped[n.parents[c.Layer]] = c
		}
	}
}

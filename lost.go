package strata

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/layer"
)

// lostRecords looks for signs that a record file had more in it: something that other
// records need, and whose files are there, has no record; or a file is not there, or no
// list, while objects of its kind are. No engine, however it is
// killed, leaves that behind: records go after what needs them, and files go first.
func (s *Store) lostRecords(e *exam) error {
	hidden := &orphanScan{store: s, layers: map[string]bool{}, containers: map[string]bool{}}
	if err := hidden.addHidden(); err != nil {
		return ignoreCorrupt(err)
	}
	e.lost = map[objectKey]bool{}
	if e.layers {
		s.lostLayers(e, hidden.layers)
	}
	if e.images {
		if err := s.lostImages(e); err != nil {
			return err
		}
	}
	if e.containers && !s.opts.Transient {
		return s.lostContainers(e, len(e.snap.Containers)+len(hidden.containers))
	}
	return nil
}

// ignoreCorrupt: volatile records that can not be read are told by whoever shows them.
func ignoreCorrupt(err error) error {
	if errors.Is(err, errdefs.ErrCorrupt) {
		return nil
	}
	return err
}

// losses are the objects whose records one file has lost.
type losses struct {
	file    recordFile
	ids     []string
	example string
}

// lostLayers looks at all layers that something needs.
func (s *Store) lostLayers(e *exam, hidden map[string]bool) {
	of := e.layerIndex()
	lost := map[string]*losses{} // by root
	need := func(id layer.ID, by string) {
		key := objectKey{KindLayer, string(id)}
		if id == "" || of[id] != nil || hidden[string(id)] || e.lost[key] || !s.hasFiles(id) {
			return
		}
		e.lost[key] = true
		root := s.rootOf(id)
		if lost[root] == nil {
			lost[root] = &losses{file: s.recordFile(KindLayer, root), example: fmt.Sprintf("layer %s, which %s needs", id, by)}
		}
		lost[root].ids = append(lost[root].ids, string(id))
	}
	for _, i := range e.snap.Images {
		for _, top := range i.TopLayers() {
			need(top, "image "+string(i.ID))
		}
	}
	for _, c := range e.snap.Containers {
		need(c.Layer, "container "+string(c.ID))
	}
	for i := range e.snap.Layers {
		need(e.snap.Layers[i].Parent, "layer "+string(e.snap.Layers[i].ID))
	}
	for _, root := range s.roots.writableRoots() {
		if lost[root] != nil {
			e.addLost(*lost[root])
		}
	}
}

// hasFiles reports whether a home that is written has a layer.
func (s *Store) hasFiles(id layer.ID) bool {
	p, err := s.place(id)
	return err == nil && !p.home.readOnly && p.hasContent()
}

// rootOf is the root that has a layer's files.
func (s *Store) rootOf(id layer.ID) string {
	p, err := s.place(id)
	if err != nil {
		return s.roots.graph
	}
	return filepath.Dir(p.home.path)
}

// lostImages looks at the images that containers need, and at the images' own directories.
func (s *Store) lostImages(e *exam) error {
	for _, root := range s.roots.writableRoots() {
		l := losses{file: s.recordFile(KindImage, root)}
		s.lostImagesOfContainers(e, &l)
		if len(l.ids) == 0 {
			if err := s.lostImagesByFiles(e, &l); err != nil {
				return err
			}
		}
		if len(l.ids) > 0 {
			e.addLost(l)
		}
	}
	return nil
}

func (s *Store) lostImagesOfContainers(e *exam, l *losses) {
	of := e.imageIndex()
	for _, c := range e.snap.Containers {
		key := objectKey{KindImage, string(c.Image)}
		if c.Image == "" || of[c.Image] != nil || e.lost[key] || c.Image.Validate() != nil || !isImageDir(filepath.Join(l.file.dir, string(c.Image))) {
			continue
		}
		e.lost[key] = true
		if l.ids = append(l.ids, string(c.Image)); len(l.ids) == 1 {
			l.example = fmt.Sprintf("image %s, which container %s needs", c.Image, c.ID)
		}
	}
}

// lostImagesByFiles looks at a record file that is not there, or no list. An empty list is what a
// deletion leaves that was cut short, and no file what the store's first image does: then nobody
// has saved the list yet, or its layers are noted.
func (s *Store) lostImagesByFiles(e *exam, l *losses) error {
	if !noList(l.file.path) {
		return nil
	}
	ids, err := objectDirs(l.file.dir, isImageDir)
	if err != nil || len(ids) == 0 {
		return err
	}
	going, err := s.goingLayers()
	if err != nil {
		return err
	}
	known, saved := l.file.backedUpTops(), l.file.wasSaved()
	of := e.layerIndex()
	for _, id := range ids {
		top, ok := known[id]
		if !ok {
			top, ok = s.provenTop(filepath.Join(l.file.dir, id), id)
		}
		has := saved && ok && e.layers && of[top] != nil && !of[top].ReadOnly && !of[top].Incomplete() && !going[top]
		if len(known) > 0 || has {
			e.lost[objectKey{KindImage, id}] = true
			l.ids = append(l.ids, id)
		}
	}
	if len(l.ids) > 0 {
		l.example = "image " + l.ids[0]
	}
	return nil
}

// provenTop is the top layer of an image, by the configuration among its data items.
func (s *Store) provenTop(dir, id string) (layer.ID, bool) {
	diffs, proven := diffIDsIn(dir, id)
	return topOf(diffs), proven
}

// goingLayers are layers that go when what killed processes left is finished, or that are being
// made for an image: images on these have no records, or not yet, and lost none.
func (s *Store) goingLayers() (map[layer.ID]bool, error) {
	n, err := s.notes("")
	if err != nil {
		return nil, err
	}
	going := n.made
	for id := range n.busy {
		going[id] = true
	}
	for _, left := range n.changes {
		for _, id := range left.Layers {
			going[layer.ID(id)] = true
		}
	}
	for _, left := range n.drafts {
		for _, id := range left.Uses {
			going[layer.ID(id)] = true
		}
	}
	return going, nil
}

// isImageDir reports whether an engine stored an image there, to its manifest.
func isImageDir(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, image.ManifestKey))
	return err == nil
}

func isContainerDir(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, bigdata.UserData))
	return err == nil && info.IsDir()
}

// lostContainers is for a record file that is not there, or that is no list, and had records
// once: no engine leaves that. An empty list with directories of several objects is also what
// a wipe leaves that was killed, and no list at all what the store's first object leaves.
func (s *Store) lostContainers(e *exam, recorded int) error {
	l := losses{file: s.recordFile(KindContainer, s.roots.graph)}
	if recorded > 0 || !noList(l.file.path) {
		return nil
	}
	backup := l.file.lastGood()
	if !hasRecords(backup) {
		return nil
	}
	ids, err := objectDirs(l.file.dir, isContainerDir)
	if err != nil {
		return err
	}
	for _, id := range slices.Concat(ids, s.copiedContainers(e, backup)) {
		if key := (objectKey{KindContainer, id}); !e.lost[key] {
			e.lost[key] = true
			l.ids = append(l.ids, id)
		}
	}
	if len(l.ids) > 0 {
		l.example = "container " + l.ids[0]
		e.addLost(l)
	}
	return nil
}

// copiedContainers are those in a copy of the records whose layers are there.
func (s *Store) copiedContainers(e *exam, backup string) (ids []string) {
	texts, err := copiedRecords(backup)
	if err != nil {
		return nil
	}
	layers := e.layerIndex()
	for _, text := range texts {
		var r container.Record
		if json.Unmarshal(text, &r) == nil && r.ID.Validate() == nil && (layers[r.Layer] != nil || s.hasFiles(r.Layer)) {
			ids = append(ids, string(r.ID))
		}
	}
	return ids
}

// objectDirs lists the directories of objects, by their IDs.
func objectDirs(dir string, is func(dir string) bool) (ids []string, err error) {
	entries, err := list(dir)
	for _, entry := range entries {
		if entry.IsDir() && hexID.MatchString(entry.Name()) && is(filepath.Join(dir, entry.Name())) {
			ids = append(ids, entry.Name())
		}
	}
	return ids, err
}

// addLost makes the finding.
func (e *exam) addLost(l losses) {
	kind := l.file.kind
	f := Finding{
		Kind: kind, Problem: ProblemRecordsLost, Path: l.file.path, Repair: RepairRestoreRecords, backup: l.file.lastGood(), root: l.file.root,
		Reason: fmt.Sprintf("it has lost records: files of %d %ss are there that it does not speak of, among them %s", len(l.ids), kind, l.example),
	}
	if info, err := os.Stat(l.file.path); err == nil {
		f.Bytes = info.Size()
	}
	if f.backup == "" && kind != KindImage { // images can be recorded by their files
		f.Repair = RepairNone
		f.Reason += "; strata has no copy of an earlier version"
	}
	e.findings = append(e.findings, f)
}

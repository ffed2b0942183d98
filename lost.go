package strata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/atomicfile"
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
		return s.lostObjects(e, KindContainer, len(e.snap.Containers)+len(hidden.containers), containersDir(s.roots.graph, s.driver.name), isContainerDir)
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

// lostLayers looks at all layers that something needs.
func (s *Store) lostLayers(e *exam, hidden map[string]bool) {
	of := e.layerIndex()
	var example string
	n := 0
	need := func(id layer.ID, by string) {
		key := objectKey{KindLayer, string(id)}
		if id == "" || of[id] != nil || hidden[string(id)] || e.lost[key] || !s.hasFiles(id) {
			return
		}
		e.lost[key] = true
		if n++; n == 1 {
			example = fmt.Sprintf("layer %s, which %s needs", id, by)
		}
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
	if n > 0 {
		e.addLost(s, KindLayer, n, example)
	}
}

// hasFiles reports whether a home that is written has a layer.
func (s *Store) hasFiles(id layer.ID) bool {
	p, err := s.place(id)
	return err == nil && !p.home.readOnly && p.hasContent()
}

// lostImages looks at the images that containers need, and at the images' own directories.
func (s *Store) lostImages(e *exam) error {
	of := e.imageIndex()
	var example string
	n := 0
	for _, c := range e.snap.Containers {
		key := objectKey{KindImage, string(c.Image)}
		if c.Image == "" || of[c.Image] != nil || e.lost[key] || !s.hasImageFiles(c.Image) {
			continue
		}
		e.lost[key] = true
		if n++; n == 1 {
			example = fmt.Sprintf("image %s, which container %s needs", c.Image, c.ID)
		}
	}
	if n > 0 {
		e.addLost(s, KindImage, n, example)
		return nil
	}
	return s.lostObjects(e, KindImage, len(e.snap.Images), imagesDir(s.roots.graph, s.driver.name), isImageDir)
}

func (s *Store) hasImageFiles(id image.ID) bool {
	return id.Validate() == nil && isImageDir(filepath.Join(imagesDir(s.roots.graph, s.driver.name), string(id)))
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

// lostObjects is for record files that are not there, or that are no list, and had records
// once: no engine leaves that. An empty list with directories of several objects is also what
// a wipe leaves that was killed, and no list at all what the store's first object leaves.
func (s *Store) lostObjects(e *exam, kind Kind, recorded int, dir string, is func(dir string) bool) error {
	if recorded > 0 {
		return nil
	}
	entries, err := list(dir)
	if err != nil {
		return err
	}
	var ids []string
	for _, entry := range entries {
		if entry.IsDir() && hexID.MatchString(entry.Name()) && is(filepath.Join(dir, entry.Name())) {
			ids = append(ids, entry.Name())
		}
	}
	if path, backup := s.recordFile(kind); len(ids) == 0 || !noList(path) || !hasRecords(backup) {
		return nil
	}
	for _, id := range ids {
		e.lost[objectKey{kind, id}] = true
	}
	e.addLost(s, kind, len(ids), kind.String()+" "+ids[0])
	return nil
}

// noList reports whether a record file is not there, or there without any list.
func noList(path string) bool {
	text, err := atomicfile.Read(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && string(bytes.TrimSpace(text)) == "null"
}

// hasRecords reports whether a record file can be read and is not empty.
func hasRecords(path string) bool {
	text, err := atomicfile.Read(path)
	var records []json.RawMessage
	return err == nil && json.Unmarshal(text, &records) == nil && len(records) > 0
}

// addLost makes the finding.
func (e *exam) addLost(s *Store, kind Kind, n int, example string) {
	path, backup := s.recordFile(kind)
	f := Finding{
		Kind: kind, Problem: ProblemRecordsLost, Path: path, Repair: RepairRestoreRecords, backup: backup,
		Reason: fmt.Sprintf("it has lost records: files of %d %ss are there that it does not speak of, among them %s", n, kind, example),
	}
	if info, err := os.Stat(path); err == nil {
		f.Bytes = info.Size()
	}
	if _, err := os.Stat(backup); err != nil {
		f.Repair = RepairNone
		f.Reason += "; strata has no copy of an earlier version"
	}
	e.findings = append(e.findings, f)
}

// recordFile returns the graph root's record file of a kind, and its backup.
func (s *Store) recordFile(kind Kind) (path, backup string) {
	name := kind.String() + "s.json"
	switch kind {
	case KindLayer:
		dir := layersDir(s.roots.graph, s.driver.name)
		return filepath.Join(dir, name), filepath.Join(s.roots.backupDir(), filepath.Base(dir)+"-"+name)
	case KindImage:
		dir := imagesDir(s.roots.graph, s.driver.name)
		return filepath.Join(dir, name), filepath.Join(s.roots.backupDir(), filepath.Base(dir)+".json")
	default:
		dir := containersDir(s.roots.graph, s.driver.name)
		return filepath.Join(dir, name), filepath.Join(s.roots.backupDir(), filepath.Base(dir)+".json")
	}
}

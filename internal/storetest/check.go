package storetest

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/layer"
)

// Check fails the test for everything that a sound store does not have: dangling
// references, flagged records, content without a record or records without
// content, data items that differ from their record, temporary files.
func (s *Store) Check(ctx context.Context) {
	s.t.Helper()
	snap, err := s.Snapshot(ctx)
	if err != nil {
		s.t.Errorf("check: %v", err)
		return
	}
	if !s.damaged {
		s.checkReferences(snap)
		s.checkDriver(ctx, snap)
	}
	s.checkImages(snap)
	s.checkContainers(snap)
	if !s.tolerant {
		s.checkLeftovers(snap)
	}
}

func (s *Store) checkReferences(snap *strata.Snapshot) {
	s.t.Helper()
	layers := map[layer.ID]bool{}
	for _, l := range snap.Layers {
		layers[l.ID] = true
	}
	for _, l := range snap.Layers {
		if l.Parent != "" && !layers[l.Parent] {
			s.t.Errorf("check: layer %s: parent %s is missing", l.ID, l.Parent)
		}
		if l.Incomplete() {
			s.t.Errorf("check: layer %s is flagged", l.ID)
		}
	}
	for _, i := range snap.Images {
		for _, top := range i.TopLayers() {
			if !layers[top] {
				s.t.Errorf("check: image %s: layer %s is missing", i.ID, top)
			}
		}
	}
	for _, c := range snap.Containers {
		if !layers[c.Layer] {
			s.t.Errorf("check: container %s: layer %s is missing", c.ID, c.Layer)
		}
		if c.Image != "" && !slices.ContainsFunc(snap.Images, func(i image.Image) bool { return i.ID == c.Image }) {
			s.t.Errorf("check: container %s: image %s is missing", c.ID, c.Image)
		}
	}
}

// checkDriver compares the driver's layers with the records.
func (s *Store) checkDriver(ctx context.Context, snap *strata.Snapshot) {
	s.t.Helper()
	found, err := s.DriverLayers(ctx)
	if err != nil {
		s.t.Errorf("check: %v", err)
		return
	}
	for _, l := range snap.Layers {
		if !l.ReadOnly && !slices.Contains(found, l.ID) {
			s.t.Errorf("check: layer %s: the driver does not have it", l.ID)
		}
	}
	for _, id := range found {
		if s.tolerant {
			break
		}
		if !slices.ContainsFunc(snap.Layers, func(l layer.Layer) bool { return l.ID == id }) {
			s.t.Errorf("check: driver's layer %s has no record", id)
		}
	}
}

func (s *Store) checkImages(snap *strata.Snapshot) {
	s.t.Helper()
	for _, i := range snap.Images {
		dir := s.Substores().Images.DataDir(i)
		s.checkItems(dir, "image "+string(i.ID), i.BigDataNames, i.BigDataSizes, i.BigDataDigests)
	}
}

func (s *Store) checkContainers(snap *strata.Snapshot) {
	s.t.Helper()
	for _, c := range snap.Containers {
		dir := s.Substores().Containers.DataDir(c.ID)
		s.checkItems(dir, "container "+string(c.ID), c.BigDataNames, c.BigDataSizes, c.BigDataDigests)
	}
}

// checkItems compares data items with their record. Digests of manifests may be
// of other bytes than the file's (signed ones); only their presence counts.
func (s *Store) checkItems(dir, what string, keys []string, sizes map[string]int64, digests map[string]digest.Digest) {
	s.t.Helper()
	if len(keys) != len(sizes) || len(keys) != len(digests) {
		s.t.Errorf("check: %s: %d keys, %d sizes, %d digests", what, len(keys), len(sizes), len(digests))
	}
	for _, key := range keys {
		data, err := bigdata.Read(context.Background(), dir, key)
		if err != nil {
			s.t.Errorf("check: %s: item %q: %v", what, key, err)
			continue
		}
		if int64(len(data)) != sizes[key] {
			s.t.Errorf("check: %s: item %q has %d bytes, recorded %d", what, key, len(data), sizes[key])
		}
		if !strings.HasPrefix(key, "manifest") && digest.FromBytes(data) != digests[key] {
			s.t.Errorf("check: %s: item %q has another digest than recorded", what, key)
		}
	}
}

// checkLeftovers looks for files and directories that nothing in the records
// accounts for.
func (s *Store) checkLeftovers(snap *strata.Snapshot) {
	s.t.Helper()
	known := map[string]bool{}
	for _, l := range snap.Layers {
		known[string(l.ID)], known[string(l.ID)+".tar-split.gz"] = true, true
	}
	s.checkDir(s.GraphRoot(), "-layers", known)
	known = map[string]bool{}
	for _, i := range snap.Images {
		known[string(i.ID)] = true
	}
	s.checkDir(s.GraphRoot(), "-images", known)
	if s.ImageStore() != "" {
		s.checkDir(s.ImageStore(), "-images", known)
	}
	known = map[string]bool{}
	for _, c := range snap.Containers {
		known[string(c.ID)] = true
	}
	s.checkDir(s.GraphRoot(), "-containers", known)
	s.checkDir(s.RunRoot(), "-containers", known)
}

// checkDir allows the records' objects, record and lock files, and an empty tmp.
func (s *Store) checkDir(root, suffix string, known map[string]bool) {
	s.t.Helper()
	dir := filepath.Join(root, s.DriverName()+suffix)
	entries, err := os.ReadDir(dir)
	if err != nil {
		s.t.Errorf("check: %v", err)
		return
	}
	for _, e := range entries {
		if !known[e.Name()] && !isStoreFile(dir, e) {
			s.t.Errorf("check: %s belongs to nothing", filepath.Join(dir, e.Name()))
		}
	}
}

func isStoreFile(dir string, e fs.DirEntry) bool {
	if e.Name() == "tmp" {
		inside, err := os.ReadDir(filepath.Join(dir, "tmp"))
		return err == nil && len(inside) == 0
	}
	plain := !strings.HasPrefix(e.Name(), ".")
	return plain && (strings.HasSuffix(e.Name(), ".json") || strings.HasSuffix(e.Name(), ".lock"))
}

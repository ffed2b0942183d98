package recordfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/lockfile"
)

// unpackStore unpacks a fixture and returns its graph root.
func unpackStore(t *testing.T, name string) string {
	t.Helper()
	testutil.RequireRoot(t)
	dir := t.TempDir()
	testutil.Unpack(t, filepath.Join("testdata", name+".tar.zst"), dir)
	return filepath.Join(dir, name, "graph")
}

func layersOf(graph string) (*Store[layerRecord], []File) {
	dir := filepath.Join(graph, "overlay-layers")
	files := []File{{Path: filepath.Join(dir, "layers.json")}, {Path: filepath.Join(dir, "volatile-layers.json"), NoSync: true}}
	lock := lockfile.New(filepath.Join(dir, "layers.lock"), lockfile.Options{})
	return Open(layerSchema(), files, []*lockfile.Lock{lock}, Options{}), files
}

// A real store: changing a record and changing it back gives the bytes of the
// engine that wrote it, and records stay in their files.
func TestRealStore(t *testing.T) {
	s, files := layersOf(unpackStore(t, "plain-overlay"))
	var before [][]byte
	for _, f := range files {
		data, err := os.ReadFile(f.Path)
		check(t, err)
		before = append(before, data)
	}
	set := func(text string) {
		tx := begin(t, s)
		for _, id := range tx.IDs() {
			check(t, tx.Update(id, func(r *layerRecord) error { r.Metadata = text; return nil }))
		}
		check(t, tx.Commit(t.Context()))
	}
	set("changed")
	for i, f := range files {
		data, err := os.ReadFile(f.Path)
		if err != nil || bytes.Count(data, []byte(`"metadata":"changed"`)) != bytes.Count(before[i], []byte(`"created"`)) {
			t.Errorf("%s: %s, %v", f.Path, data, err)
		}
	}
	set("")
	for i, f := range files {
		data, err := os.ReadFile(f.Path)
		if err != nil || !bytes.Equal(data, before[i]) {
			t.Errorf("%s:\n%s\nwant\n%s", f.Path, data, before[i])
		}
	}
}

func TestDamagedStores(t *testing.T) {
	t.Run("torn images", func(t *testing.T) {
		dir := filepath.Join(unpackStore(t, "damaged-torn-images"), "overlay-images")
		lock := lockfile.New(filepath.Join(dir, "images.lock"), lockfile.Options{})
		s := Open(layerSchema(), []File{{Path: filepath.Join(dir, "images.json")}}, []*lockfile.Lock{lock}, Options{})
		_, err := s.View(t.Context())
		var c *CorruptError
		if !errors.As(err, &c) || c.Offset != 300 {
			t.Errorf("error %v", err)
		}
	})
	t.Run("zero layers", func(t *testing.T) {
		graph := unpackStore(t, "damaged-zero-layers")
		s, files := layersOf(graph)
		s.schema.EmptyIsDamage = func(path string) bool { return path == files[0].Path }
		if _, err := s.View(t.Context()); !errors.Is(err, errdefs.ErrCorrupt) {
			t.Errorf("error %v", err)
		}
	})
}

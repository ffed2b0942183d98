package strata

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/layer"
)

// recordFile is where the records of one kind are, in one of the roots that are written.
type recordFile struct {
	kind      Kind
	root, dir string
	path      string
	// copies is where copies of earlier versions are kept.
	copies       string
	inImageStore bool
	imageDirs    int // its index among the directories of images
}

func (s *Store) recordFile(kind Kind, root string) recordFile {
	f := recordFile{kind: kind, root: root, inImageStore: root == s.roots.image}
	switch kind {
	case KindLayer:
		f.path, f.copies = s.layers.RecordFile(f.inImageStore)
	case KindImage:
		if s.roots.image != "" && !f.inImageStore {
			f.imageDirs = 1
		}
		f.path, f.copies = s.images.RecordFile(f.imageDirs)
	default:
		dir := containersDir(s.roots.graph, s.driver.name)
		f.path, f.copies = filepath.Join(dir, "containers.json"), filepath.Join(s.roots.backupDir(), filepath.Base(dir)+".json")
	}
	f.dir = filepath.Dir(f.path)
	return f
}

// lastGood is the newest copy that can be read; "" for none. It is looked for only where records are
// missing: a check of a sound store need not read them under its locks.
func (f recordFile) lastGood() string { return recordfile.LastGood(f.path, f.copies) }

// backedUpTops are the top layers of the images in the backup.
func (f recordFile) backedUpTops() map[string]layer.ID {
	text, err := atomicfile.Read(f.lastGood())
	var records []image.Record
	if err != nil || json.Unmarshal(text, &records) != nil {
		return nil
	}
	tops := map[string]layer.ID{}
	for _, r := range records {
		tops[string(r.ID)] = r.TopLayer
	}
	return tops
}

// wasSaved reports whether an engine ever saved the images: who does changes the lock file, which
// is made empty, before the list gets its name (on-disk format, 3.5).
func (f recordFile) wasSaved() bool {
	info, err := os.Stat(filepath.Join(f.dir, "images.lock"))
	if err != nil || info.Size() == 0 {
		return false
	}
	nameless, err := filepath.Glob(filepath.Join(f.dir, atomicfile.TempPrefix+filepath.Base(f.path)+"*"))
	return err == nil && len(nameless) == 0
}

// noList reports whether a record file is not there, or there without any list. An empty one that
// is damage has its finding without this.
func noList(path string) bool {
	text, err := atomicfile.Read(path)
	text = bytes.TrimSpace(text)
	return errors.Is(err, fs.ErrNotExist) || err == nil && (len(text) == 0 || string(text) == "null")
}

// hasRecords reports whether a record file can be read and is not empty.
func hasRecords(path string) bool {
	text, err := atomicfile.Read(path)
	var records []json.RawMessage
	return err == nil && json.Unmarshal(text, &records) == nil && len(records) > 0
}

package strata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// restoreLost gives a file back the records that it has lost, from the copy of an earlier version
// and from what files and other records tell: those whose files, and all that they stand on, are
// there. What the file has stays as it is, so nothing is undone that an engine did since. Other
// objects stay without a record, and the finding with them.
func (r *repairer) restoreLost(ctx context.Context, f Finding) error {
	file := r.store.recordFile(f.Kind, f.root)
	e, err := r.store.examine(ctx, nil)
	if err != nil {
		return err
	}
	texts, err := r.store.recoverable(ctx, e, f, nil)
	if err != nil {
		return err
	}
	restored := 0
	err = r.change(ctx, func(t *tx) error {
		restored, err = t.restore(file, texts)
		return err
	})
	if err != nil {
		return err
	}
	left, err := r.stillLost(ctx, file)
	if err != nil || left == 0 {
		return err
	}
	err = fmt.Errorf("%d of the lost records are back in %s, and %d are still missing: %w", restored, f.Path, left, errdefs.ErrCorrupt)
	return errdefs.WithHint(err, fmt.Sprintf("restore %s from a backup of your own; or remove the images and containers that need what is missing, "+
		"then `strata check --repair` collects the files", f.Path))
}

// stillLost counts the objects of a record file that have none.
func (r *repairer) stillLost(ctx context.Context, file recordFile) (n int, err error) {
	e, err := r.store.examine(ctx, nil)
	if err != nil {
		return 0, err
	}
	for key := range e.lost {
		if key.kind == file.kind && (file.kind != KindLayer || r.store.rootOf(layer.ID(key.id)) == file.root) &&
			(file.kind != KindImage || isDir(filepath.Join(file.dir, key.id))) {
			n++
		}
	}
	return n, nil
}

// restore adds the records that fit and are not there, and says how many.
func (t *tx) restore(file recordFile, texts []json.RawMessage) (n int, err error) {
	for again := true; again; {
		again = false
		for i, text := range texts {
			if text == nil || !t.fits(file, text) {
				continue
			}
			if err := t.addRecord(file, text); err != nil {
				return n, err
			}
			texts[i], again = nil, true
			n++
		}
	}
	return n, nil
}

// fits reports whether an old record is not known, and has what it needs.
func (t *tx) fits(file recordFile, text json.RawMessage) bool {
	switch file.kind {
	case KindLayer:
		var r layer.Record
		return json.Unmarshal(text, &r) == nil && !r.Incomplete() && !t.layers.Exists(r.ID) &&
			(r.Parent == "" || t.layers.Exists(r.Parent)) && t.store.hasFiles(r.ID) && t.store.rootOf(r.ID) == file.root
	case KindImage:
		var r image.Record
		if json.Unmarshal(text, &r) != nil || r.ID.Validate() != nil || r.TopLayer != "" && !t.layers.Exists(r.TopLayer) {
			return false
		}
		_, err := t.images.Get(r.ID)
		return errors.Is(err, image.ErrUnknown) && isDir(filepath.Join(file.dir, string(r.ID)))
	default:
		var r container.Record
		if json.Unmarshal(text, &r) != nil || r.ID.Validate() != nil || !t.layers.Exists(r.Layer) {
			return false
		}
		_, err := t.containers.Get(r.ID)
		return errors.Is(err, container.ErrUnknown)
	}
}

func isDir(path string) bool {
	info, err := os.Lstat(filepath.Clean(path))
	return err == nil && info.IsDir()
}

func (t *tx) addRecord(file recordFile, text json.RawMessage) error {
	switch file.kind {
	case KindLayer:
		return t.writeLayers.Restore(text, file.inImageStore)
	case KindImage:
		return t.writeImages.Restore(file.imageDirs, text)
	default:
		return t.writeContainers.Restore(text)
	}
}

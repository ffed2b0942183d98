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
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/layer"
)

// restoreLost takes the records that a file has lost from the copy of an earlier version:
// those whose files, and all that they stand on, are there. What the file has stays as it is,
// so nothing is undone that an engine did since. Other objects, which were made
// after the copy, stay without a record, and the finding with them.
func (r *repairer) restoreLost(ctx context.Context, f Finding) error {
	data, err := atomicfile.Read(f.backup)
	if err != nil {
		return err
	}
	var texts []json.RawMessage
	if err := json.Unmarshal(data, &texts); err != nil {
		return fmt.Errorf("%s is damaged, too: %w", f.backup, errdefs.ErrCorrupt)
	}
	restored := 0
	err = r.change(ctx, func(t *tx) error {
		restored, err = t.restore(f.Kind, texts)
		return err
	})
	if err != nil {
		return err
	}
	e, err := r.store.examine(ctx, nil)
	if err != nil {
		return err
	}
	left := 0
	for key := range e.lost {
		if key.kind == f.Kind {
			left++
		}
	}
	if left == 0 {
		return nil
	}
	err = fmt.Errorf("%s has %d of the lost records, and %d are still missing: %w", f.backup, restored, left, errdefs.ErrCorrupt)
	return errdefs.WithHint(err, fmt.Sprintf("restore %s from a backup of your own; or remove the images and containers that need what is missing, "+
		"then `strata check --repair` collects the files", f.Path))
}

// restore adds the records that fit and are not there, and says how many.
func (t *tx) restore(kind Kind, texts []json.RawMessage) (n int, err error) {
	for again := true; again; {
		again = false
		for i, text := range texts {
			if text == nil || !t.fits(kind, text) {
				continue
			}
			if err := t.addRecord(kind, text); err != nil {
				return n, err
			}
			texts[i], again = nil, true
			n++
		}
	}
	return n, nil
}

// fits reports whether an old record is not known, and has what it needs.
func (t *tx) fits(kind Kind, text json.RawMessage) bool {
	switch kind {
	case KindLayer:
		var r layer.Record
		return json.Unmarshal(text, &r) == nil && !r.Incomplete() && !t.layers.Exists(r.ID) &&
			(r.Parent == "" || t.layers.Exists(r.Parent)) && t.store.hasFiles(r.ID)
	case KindImage:
		var r image.Record
		if json.Unmarshal(text, &r) != nil || r.ID.Validate() != nil || r.TopLayer != "" && !t.layers.Exists(r.TopLayer) {
			return false
		}
		_, err := t.images.Get(r.ID)
		return errors.Is(err, image.ErrUnknown) && isDir(t.store.images.DataDir(image.Image{Record: r}))
	default:
		var r container.Record
		if json.Unmarshal(text, &r) != nil || r.ID.Validate() != nil || !t.layers.Exists(r.Layer) {
			return false
		}
		_, err := t.containers.Get(r.ID)
		return errors.Is(err, container.ErrUnknown) && isDir(t.store.containers.DataDir(r.ID))
	}
}

func isDir(path string) bool {
	info, err := os.Lstat(filepath.Clean(path))
	return err == nil && info.IsDir()
}

func (t *tx) addRecord(kind Kind, text json.RawMessage) error {
	switch kind {
	case KindLayer:
		return t.writeLayers.Restore(text)
	case KindImage:
		return t.writeImages.Restore(text)
	default:
		return t.writeContainers.Restore(text)
	}
}

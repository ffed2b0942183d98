package strata

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
)

// unrecorded are the keys of data items that the image's record has lost: of an image whose
// manifest lies there without being recorded, all that do so.
func (s *Store) unrecorded(i image.Image) (keys []string) {
	if i.ReadOnly || slices.Contains(i.BigDataNames, image.ManifestKey) {
		return nil
	}
	entries, err := os.ReadDir(s.images.DataDir(i))
	if err != nil {
		return nil // it may have none
	}
	for _, e := range entries {
		key, ok := bigdata.Key(e.Name())
		if ok && e.Type().IsRegular() && !tempFile.MatchString(e.Name()) && !slices.Contains(i.BigDataNames, key) {
			keys = append(keys, key)
		}
	}
	if !slices.Contains(keys, image.ManifestKey) {
		return nil
	}
	return keys
}

// checkUnrecorded reports lost items, and whether there are any.
func (c *checker) checkUnrecorded(i image.Image) bool {
	keys := c.store.unrecorded(i)
	for _, key := range keys {
		f := imageFinding(i, ProblemDataUnrecorded, RepairRecord, "its record does not name the data item %q, which is there", key)
		f.Item, f.Bytes = key, 0
		if name, err := bigdata.FileName(key); err == nil {
			if info, err := os.Stat(filepath.Join(c.store.images.DataDir(i), name)); err == nil {
				f.Bytes = info.Size()
			}
		}
		c.images = append(c.images, f)
	}
	return len(keys) > 0
}

// recordLost records an item that lies there. A manifest has to be the one that the record
// or the image's ID speaks of, an item whose key is a digest has to have that digest.
func (t *tx) recordLost(ctx context.Context, i image.Image, key string) error {
	data, err := bigdata.Read(ctx, t.images.DataDir(i), key)
	if err != nil {
		return err
	}
	got, err := image.BigDatum{Key: key, Data: data}.RecordedDigest()
	if err != nil {
		return err
	}
	isDigest := digest.Digest(key).Validate() == nil
	if key == image.ManifestKey && !isManifestOf(i, data, got) || isDigest && !named(key, got) {
		return fmt.Errorf("data item %q is not that of image %s: %w", key, i.ID, errdefs.ErrCorrupt)
	}
	return t.writeImages.RecordItem(i.ID, key, int64(len(data)), got)
}

// isManifestOf reports whether a manifest is the image's: by its digest, or by that of the
// configuration.
func isManifestOf(i image.Image, data []byte, got digest.Digest) bool {
	if i.Digest != "" && i.Digest.Validate() == nil {
		return i.Digest == got || slices.Contains(i.Digests(), got)
	}
	var m struct {
		Config struct {
			Digest digest.Digest `json:"digest"`
		} `json:"config"`
	}
	err := json.Unmarshal(data, &m)
	return err == nil && (m.Config.Digest == "" || m.Config.Digest.Validate() == nil && m.Config.Digest.Encoded() == string(i.ID))
}

package strata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
)

// imageRecord is the record of an image by its data items; nil if these prove no layers.
func (s *Store) imageRecord(ctx context.Context, dir, id string) (json.RawMessage, error) {
	top, proven := s.provenTop(filepath.Join(dir, id), id)
	if !proven {
		return nil, nil
	}
	r := image.Record{ID: image.ID(id), TopLayer: top, Metadata: "{}"}
	r.BigDataSizes, r.BigDataDigests = map[string]int64{}, map[string]digest.Digest{}
	entries, err := os.ReadDir(filepath.Join(dir, id))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		key, ok := bigdata.Key(e.Name())
		if !ok || !e.Type().IsRegular() || tempFile.MatchString(e.Name()) {
			continue
		}
		data, err := bigdata.Read(ctx, filepath.Join(dir, id), key)
		if err != nil {
			return nil, err
		}
		got, err := image.BigDatum{Key: key, Data: data}.RecordedDigest()
		if err != nil {
			return nil, fmt.Errorf("data item %q of image %s: %w", key, id, err)
		}
		r.BigDataNames = append(r.BigDataNames, key)
		r.BigDataSizes[key], r.BigDataDigests[key] = int64(len(data)), got
	}
	r.Digest = r.BigDataDigests[image.ManifestKey]
	r.Created = s.configTime(ctx, filepath.Join(dir, id), id)
	return json.Marshal(r)
}

// configTime is when the image was made by its configuration, else now.
func (s *Store) configTime(ctx context.Context, dir, id string) time.Time {
	var config struct {
		Created time.Time `json:"created"`
	}
	data, err := bigdata.Read(ctx, dir, digest.Canonical.String()+":"+id)
	if errors.Join(err, json.Unmarshal(data, &config)) != nil || config.Created.IsZero() {
		return time.Now().UTC()
	}
	return config.Created
}

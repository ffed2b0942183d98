package dockerroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/oci"
)

// The names under which an imported image keeps, as data of its own, what Docker knew of it
// beside its configuration.
const (
	// DataParent has the ID of the image that it was built on, "sha256:…".
	DataParent = "docker-parent"
	// DataLastUpdated has the time at which Docker last named it, in RFC 3339.
	DataLastUpdated = "docker-last-updated"
)

// readFacts reads what Docker keeps beside a configuration. Facts that are not there, or are none, are
// left out: nothing depends on them.
func (r *Root) readFacts(img *imageEntry) {
	dir := r.at("image", r.driver, "imagedb", "metadata", "sha256", img.id.Encoded())
	parent, err := r.digest(dir + "/parent")
	if err == nil {
		img.parent = parent
	} else if !errors.Is(err, fs.ErrNotExist) {
		r.skip("parent of image %s: %w", img.id, err)
	}
	text, err := r.value(dir + "/lastUpdated")
	if err != nil {
		return
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		img.updated = at
	}
}

// keepFacts stores them with the image.
func (r *Root) keepFacts(ctx context.Context, store oci.Store, img Image, loaded oci.Loaded) error {
	if loaded.Existed {
		return nil // from an earlier import, or not Docker's
	}
	facts := map[string]string{}
	if img.Parent != "" {
		facts[DataParent] = img.Parent.String()
	}
	if !img.LastUpdated.IsZero() {
		facts[DataLastUpdated] = img.LastUpdated.UTC().Format(time.RFC3339Nano)
	}
	for key, value := range facts {
		if err := store.SetBigData(ctx, strata.KindImage, string(loaded.ID), key, []byte(value)); err != nil {
			return fmt.Errorf("image %s: keep %s: %w", loaded.ID, key, err)
		}
	}
	return nil
}

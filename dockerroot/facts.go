package dockerroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
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
// left out: nothing depends on them. The error is for what could not be read.
func (r *Root) readFacts(img *imageEntry) error {
	dir := r.at("image", r.driver, "imagedb", "metadata", "sha256", img.id.Encoded())
	parent, err := r.digest(dir + "/parent")
	switch {
	case err == nil:
		img.parent = parent
	case damage(err):
		r.skip("parent of image %s: %w", img.id, err)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("parent of the image: %w", err)
	}
	text, err := r.value(dir + "/lastUpdated")
	if err != nil && !damage(err) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("when the image was last named: %w", err)
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		img.updated = at
	}
	return nil
}

// damage tells what is wrong with a data root from what keeps it from being read.
func damage(err error) bool {
	return errors.Is(err, errdefs.ErrCorrupt) || errors.Is(err, errdefs.ErrLimit)
}

// withFacts is a store that keeps what Docker knew of an image with the image itself, in the
// same save: an import that is killed leaves both or neither.
type withFacts struct {
	oci.Store
	facts []image.BigDatum
}

func (s withFacts) CreateImage(ctx context.Context, opts image.CreateOptions) (image.Image, error) {
	opts.BigData = slices.Concat(opts.BigData, s.facts)
	return s.Store.CreateImage(ctx, opts)
}

// facts are the data that the image gets. One that the store has already, from an earlier
// import or not from Docker, stays as it is.
func (i Image) facts() []image.BigDatum {
	var facts []image.BigDatum
	if i.Parent != "" {
		facts = append(facts, image.BigDatum{Key: DataParent, Data: []byte(i.Parent)})
	}
	if !i.LastUpdated.IsZero() {
		facts = append(facts, image.BigDatum{Key: DataLastUpdated, Data: []byte(i.LastUpdated.UTC().Format(time.RFC3339Nano))})
	}
	return facts
}

package image

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/objectid"
	"github.com/stratastore/strata/layer"
)

// ID names an image: 64 lower-case hex digits as the engines make them, usually
// the hex part of the config's digest. Other texts without path characters work.
type ID string

// Validate refuses what must not become a path; the error is an errdefs.ErrInvalid.
func (id ID) Validate() error { return objectid.Validate("image", string(id)) }

// NewID returns a random ID.
func NewID() ID { return ID(objectid.New()) }

// Record is one image in images.json (on-disk format, 2.4). The order of the
// fields is the order of the keys on disk; members that strata does not know
// stay in the file.
type Record struct {
	// ID is unique among the images of the store.
	ID ID `json:"id"`
	// Digest finds the image; normally that of the manifest.
	Digest digest.Digest `json:"digest,omitempty"`
	// Names are unique among the images of the store: full references.
	Names []string `json:"names,omitempty"`
	// NamesHistory holds the names that were ever added or set, newest first.
	NamesHistory []string `json:"names-history,omitempty"`
	// TopLayer is the uppermost layer, "" for an image without layers.
	TopLayer layer.ID `json:"layer,omitempty"`
	// MappedLayers are copies of the top layer with other owners.
	MappedLayers []layer.ID `json:"mapped-layers,omitempty"`
	// Metadata is free text of the creator.
	Metadata string `json:"metadata,omitempty"`
	// Inventory lists the data items: BigDataNames, BigDataSizes, BigDataDigests.
	bigdata.Inventory
	// Created is the time in the image's config if known, else that of storing.
	Created time.Time `json:"created"`
	// Flags are free; strata keeps them.
	Flags map[string]json.RawMessage `json:"flags,omitempty"`
}

// Image is a record and where it came from. Its JSON is the record's.
type Image struct {
	Record
	// ReadOnly is set for images of additional stores.
	ReadOnly bool `json:"-"`

	home int // index of the part of the store that holds it
}

// manifestPrefix begins the keys of items that are manifests.
const manifestPrefix = "manifest"

// ManifestKey is the item that engines need: the manifest of the image's platform.
const ManifestKey = "manifest"

// Digests returns every digest that finds the image, each once: the record's own,
// then those of the manifest items in the order of first setting.
func (r Record) Digests() []digest.Digest {
	var out []digest.Digest
	if r.Digest != "" {
		out = append(out, r.Digest)
	}
	for _, key := range r.BigDataNames {
		d := r.BigDataDigests[key]
		if strings.HasPrefix(key, manifestPrefix) && d.Validate() == nil && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// TopLayers returns the top layer and its mapped copies; nil for an image without layers.
func (r Record) TopLayers() []layer.ID {
	if r.TopLayer == "" {
		return slices.Clone(r.MappedLayers)
	}
	return append([]layer.ID{r.TopLayer}, r.MappedLayers...)
}

// History returns history with names pushed to its front one after the other:
// the last name comes first, and nothing stands there twice (on-disk format, 2.4).
func History(history, names []string) []string {
	all := slices.Clone(names)
	slices.Reverse(all)
	return objectid.Unique(append(all, history...))
}

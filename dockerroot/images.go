package dockerroot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// maxConfig caps a configuration, as an import does.
const maxConfig = 8 << 20

// Image is one image of the data root.
type Image struct {
	// ID is the digest of the configuration, "sha256:…".
	ID digest.Digest
	// Names are full references, sorted; an intermediate step of a build has none.
	Names []string
	// Created is from the configuration; zero if it does not say.
	Created time.Time
	// Layers are base first.
	Layers []layer.ChainID
	// Size is the sum in bytes of what Docker counted for each layer; -1 if it did
	// not for one of them.
	Size int64
	// Parent is the image that it was built on, "" if Docker does not know; LastUpdated is when
	// Docker last named it, zero if it does not know.
	Parent      digest.Digest
	LastUpdated time.Time
	// Err is the reason why the image can't be imported: its configuration is
	// damaged, or a layer is. Nil says nothing about the content of the layers.
	Err error
}

// imageEntry is an image with its documents.
type imageEntry struct {
	id      digest.Digest
	config  []byte
	names   []string
	created time.Time
	parent  digest.Digest
	updated time.Time
	layers  []*layerEntry
	err     error
}

// describe is the entry for others to see.
func (i *imageEntry) describe() Image {
	img := Image{ID: i.id, Names: slices.Clone(i.names), Created: i.created, Parent: i.parent, LastUpdated: i.updated, Err: i.err}
	for _, l := range i.layers {
		img.Layers = append(img.Layers, l.chain)
		if img.Size < 0 || l.size < 0 {
			img.Size = -1
			continue
		}
		img.Size += l.size
	}
	return img
}

// readImages reads configurations and names. An image that does not verify or
// lacks a layer is kept with the reason.
func (r *Root) readImages() error {
	names, err := r.readNames()
	switch {
	case damage(err):
		r.skip("the names of the images: %w", err)
	case err != nil:
		return fmt.Errorf("the names of the images: %w", err)
	}
	ids := map[digest.Digest]bool{}
	for id := range names {
		ids[id] = true // also when it is not there, which is for that image to tell
	}
	entries, err := r.names(r.at("image", r.driver, "imagedb", "content", "sha256"))
	if err != nil {
		return err
	}
	for _, base := range entries {
		if id, ok := sha256Named(base); ok {
			ids[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		img := imageEntry{id: id, names: names[id]}
		img.err = r.readImage(&img)
		if err := r.readFacts(&img); img.err == nil {
			img.err = err
		}
		r.images = append(r.images, img)
	}
	r.skipLayers()
	return nil
}

// readImage reads and verifies a configuration and finds its layers.
func (r *Root) readImage(img *imageEntry) error {
	config, err := r.read(r.at("image", r.driver, "imagedb", "content", "sha256", img.id.Encoded()), maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the image's configuration is missing: %w", errdefs.ErrCorrupt)
	case err != nil:
		return err
	}
	if got := digest.FromBytes(config); got != img.id {
		return fmt.Errorf("the image's configuration has the digest %s: %w", got, errdefs.ErrCorrupt)
	}
	var c struct {
		Created *time.Time `json:"created"`
		RootFS  struct {
			DiffIDs []layer.DiffID `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("the image's configuration: %w: %w", err, errdefs.ErrCorrupt)
	}
	if c.Created != nil {
		img.created = *c.Created
	}
	img.config = config
	img.layers, err = r.chain(c.RootFS.DiffIDs)
	return err
}

// Images lists the images in the order of their IDs: those with a name, or all.
// Most of those without one are steps of a build.
func (r *Root) Images(all bool) []Image {
	var list []Image
	for i := range r.images {
		if all || len(r.images[i].names) > 0 {
			list = append(list, r.images[i].describe())
		}
	}
	return list
}

// Find returns the image with a name, short as Docker takes it or full, an ID or
// a prefix of one. errdefs.ErrNotFound if there is none, errdefs.ErrInvalid if
// the prefix is that of several.
func (r *Root) Find(wanted string) (Image, error) {
	var byID []*imageEntry
	for i := range r.images {
		img := &r.images[i]
		if img.isNamed(wanted) {
			return img.describe(), nil
		}
		if wanted != "" && (strings.HasPrefix(img.id.Encoded(), wanted) || strings.HasPrefix(img.id.String(), wanted)) {
			byID = append(byID, img)
		}
	}
	switch len(byID) {
	case 1:
		return byID[0].describe(), nil
	case 0:
		return Image{}, errdefs.WithHint(fmt.Errorf("no image %q in the docker data root: %w", wanted, errdefs.ErrNotFound),
			"list what is there with `strata docker-import --list --all --root "+r.path+"`")
	}
	return Image{}, errdefs.WithHint(fmt.Errorf("%d images have IDs that begin with %q: %w", len(byID), wanted, errdefs.ErrInvalid), "type more digits")
}

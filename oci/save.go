package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// Format is a kind of file that Save writes.
type Format string

// The formats.
const (
	// OCIArchive is an OCI image layout in a tar.
	OCIArchive Format = "oci-archive"
	// OCIDir is an OCI image layout in a directory.
	OCIDir Format = "oci-dir"
	// DockerArchive is what "docker save" writes; layers are uncompressed.
	DockerArchive Format = "docker-archive"
)

// SaveOptions belong to Save.
type SaveOptions struct {
	// Format is OCIArchive when empty.
	Format Format
	// Compression of the layers; only None for a docker-archive.
	Compression archive.Compression
	// TempDir takes the spool files for compressed layers; they have no names and
	// vanish with the process. "" is the system's.
	TempDir string
	// Progress is told about each layer; nil is not.
	Progress Progress
}

// Selected is one image to save and the names that it is saved under.
type Selected struct {
	// Image is an ID, exact name or unique prefix.
	Image string
	// Names are the references to write; nil means all that the image has.
	Names []string
}

// SaveFile writes images to a new file, or to a directory for OCIDir. The file
// appears when it is complete; after an error nothing is left. An existing layout
// directory gets the images added, and a device or FIFO is written to, as it is no
// file that could be replaced.
func SaveFile(ctx context.Context, store Store, path string, images []Selected, opts SaveOptions) error {
	if opts.Format != OCIDir && isSpecial(path) {
		return saveInto(ctx, store, path, images, opts)
	}
	var to sink
	var err error
	if opts.Format == OCIDir {
		to, err = newDirSink(path)
	} else {
		to, err = newTarFile(path)
	}
	if err != nil {
		return err
	}
	return save(ctx, store, to, images, opts)
}

// isSpecial reports whether a path leads to something that is neither file nor directory.
func isSpecial(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

func saveInto(ctx context.Context, store Store, path string, images []Selected, opts SaveOptions) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return SaveStream(ctx, store, f, images, opts)
}

// SaveStream writes images as an archive to w, which stays open. After an error
// w has got a part of an archive.
func SaveStream(ctx context.Context, store Store, w io.Writer, images []Selected, opts SaveOptions) error {
	if opts.Format == OCIDir {
		return fmt.Errorf("a directory can not be written to a stream: %w", errdefs.ErrInvalid)
	}
	return save(ctx, store, newTarStream(w), images, opts)
}

func save(ctx context.Context, store Store, to sink, images []Selected, opts SaveOptions) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, to.abort())
		}
	}()
	var plans []plan
	for _, sel := range images {
		p, err := newPlan(ctx, store, sel)
		if err != nil {
			return fmt.Errorf("save %s: %w", sel.Image, err)
		}
		plans = merge(plans, p)
	}
	s := saver{store: store, to: to, opts: opts, progress: orSilent(opts.Progress)}
	if opts.Format == DockerArchive {
		err = s.dockerArchive(ctx, plans)
	} else {
		err = s.layout(ctx, plans)
	}
	if err != nil {
		return err
	}
	return to.finish()
}

// plan is an image with all that saving it needs.
type plan struct {
	image  image.Image
	names  []string
	config []byte
	// layers are base first; each has a diff ID.
	layers []layer.Layer
}

// merge adds p, or its names to a plan for the same image.
func merge(plans []plan, p plan) []plan {
	for i := range plans {
		if plans[i].image.ID == p.image.ID {
			for _, n := range p.names {
				if !slices.Contains(plans[i].names, n) {
					plans[i].names = append(plans[i].names, n)
				}
			}
			return plans
		}
	}
	return append(plans, p)
}

func newPlan(ctx context.Context, store Store, sel Selected) (plan, error) {
	img, err := store.Image(ctx, sel.Image)
	if err != nil {
		return plan{}, err
	}
	p := plan{image: img, names: sel.Names}
	if p.names == nil {
		p.names = img.Names
	}
	if p.config, err = imageConfig(ctx, store, img); err != nil {
		return plan{}, err
	}
	if p.layers, err = chain(ctx, store, img.TopLayer); err != nil {
		return plan{}, err
	}
	return p, p.check()
}

// check makes sure that the layers are those of the configuration.
func (p *plan) check() error {
	diffs, err := diffIDs(p.config)
	if err != nil {
		return err
	}
	if len(diffs) != len(p.layers) {
		return fmt.Errorf("the configuration lists %d layers, the store has %d: %w", len(diffs), len(p.layers), errdefs.ErrCorrupt)
	}
	for i, l := range p.layers {
		if string(l.DiffID) != string(diffs[i]) {
			return fmt.Errorf("layer %s has the diff ID %q, the configuration says %s: %w", l.ID, l.DiffID, diffs[i], errdefs.ErrCorrupt)
		}
	}
	return nil
}

// chain returns a layer and its ancestors, base first.
func chain(ctx context.Context, store Store, top layer.ID) ([]layer.Layer, error) {
	var list []layer.Layer
	for id := top; id != ""; {
		l, err := store.Layer(ctx, string(id))
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", id, err)
		}
		list = append(list, l)
		id = l.Parent
	}
	slices.Reverse(list)
	return list, nil
}

// imageConfig returns the image's configuration: the item that its manifest
// names, checked against that digest.
func imageConfig(ctx context.Context, store Store, img image.Image) ([]byte, error) {
	text, err := store.BigData(ctx, strata.KindImage, string(img.ID), image.ManifestKey)
	if errors.Is(err, image.ErrUnknown) {
		return nil, err // somebody deleted it
	}
	if err != nil {
		return nil, errdefs.WithHint(fmt.Errorf("the image has no manifest: %w", err), "load or pull the image again, or delete it with: strata delete-image "+string(img.ID))
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w: %w", err, errdefs.ErrCorrupt)
	}
	if m.Config.Digest == "" {
		return nil, fmt.Errorf("the manifest names no configuration (an index of images?): %w", errdefs.ErrUnsupported)
	}
	if err := validDescriptor(m.Config); err != nil {
		return nil, err
	}
	config, err := store.BigData(ctx, strata.KindImage, string(img.ID), m.Config.Digest.String())
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if got := m.Config.Digest.Algorithm().FromBytes(config); got != m.Config.Digest {
		return nil, fmt.Errorf("configuration %s has the digest %s: %w", m.Config.Digest, got, errdefs.ErrCorrupt)
	}
	return config, nil
}

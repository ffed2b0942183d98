package oci

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// LoadOptions say what to take from a source. The zero value takes every image,
// for the platform of the program, under the source's names.
type LoadOptions struct {
	// Names, full references, are given instead of the source's; only for a source
	// (or selection) of one image.
	Names []string
	// Platform chooses from indexes; the zero value is the program's own.
	Platform v1.Platform
	// Progress is told about each layer; nil is not.
	Progress Progress
}

// Loaded is one image that Load stored or found.
type Loaded struct {
	ID    image.ID
	Names []string
	// Existed: the image was in the store before.
	Existed bool
	// NewLayers and ReusedLayers count its layers.
	NewLayers, ReusedLayers int
}

// Load stores the images of src, one after the other. It returns what it stored
// also when a later image fails. A layer that the store has is not read. Every
// byte is checked against manifest and configuration; a mismatch is an
// errdefs.ErrCorrupt, and that image is not stored. After an error or a
// cancelled context, complete layers may be left, which the next Load reuses.
func Load(ctx context.Context, store Store, src Source, opts LoadOptions) ([]Loaded, error) {
	entries, err := src.Images(ctx)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("the source holds no image: %w", errdefs.ErrNotFound)
	}
	if len(opts.Names) > 0 && len(entries) > 1 {
		return nil, fmt.Errorf("one name for %d images: %w", len(entries), errdefs.ErrInvalid)
	}
	if opts.Platform.OS == "" {
		if opts.Platform, err = ParsePlatform(""); err != nil {
			return nil, err
		}
	}
	var loaded []Loaded
	for _, e := range entries {
		if len(opts.Names) > 0 {
			e.Names = opts.Names
		}
		one, err := loadOne(ctx, store, src, e, opts)
		if err != nil {
			return loaded, fmt.Errorf("load %s: %w", describeEntry(e), err)
		}
		loaded = append(loaded, one)
	}
	return loaded, nil
}

func describeEntry(e Entry) string {
	if len(e.Names) > 0 {
		return e.Names[0]
	}
	return "image " + e.Descriptor.Digest.String()
}

func loadOne(ctx context.Context, store Store, src Source, e Entry, opts LoadOptions) (Loaded, error) {
	c, err := choose(ctx, src, e.Descriptor, opts.Platform)
	if err != nil {
		return Loaded{}, err
	}
	parts, err := readParts(ctx, src, c)
	if err != nil {
		return Loaded{}, err
	}
	out := Loaded{ID: parts.id(), Names: e.Names}
	top, err := loadLayers(ctx, store, src, parts, orSilent(opts.Progress), &out)
	if err != nil {
		return Loaded{}, err
	}
	out.Existed, err = record(ctx, store, parts, top, e.Names)
	return out, err
}

// maxRestarts bounds how often a chain is begun anew because somebody deleted a
// layer of it meanwhile (on-disk format, 9.9).
const maxRestarts = 3

func loadLayers(ctx context.Context, store Store, src Source, p *parts, progress Progress, out *Loaded) (layer.ID, error) {
	for try := 0; ; try++ {
		top, err := loadChain(ctx, store, src, p, progress, out)
		if err == nil || try == maxRestarts || !errors.Is(err, layer.ErrParentUnknown) {
			return top, err
		}
	}
}

// loadChain stores the layers that are missing, base first.
func loadChain(ctx context.Context, store Store, src Source, p *parts, progress Progress, out *Loaded) (layer.ID, error) {
	out.NewLayers, out.ReusedLayers = 0, 0
	var parent layer.ID
	for i, desc := range p.manifest.Layers {
		diff := p.diffs[i]
		id := layer.ImageLayerID(parent, diff)
		have, err := present(ctx, store, id, diff)
		if err != nil {
			return "", err
		}
		task := progress.Start("layer "+short(string(diff)), desc.Size)
		if have {
			out.ReusedLayers++
			task.Done("already there")
		} else {
			if err := loadLayer(ctx, store, src, id, parent, desc, diff, task); err != nil {
				task.Done("failed")
				return "", fmt.Errorf("layer %s: %w", desc.Digest, err)
			}
			out.NewLayers++
			task.Done("done")
		}
		parent = id
	}
	return parent, nil
}

// present reports whether the layer is in the store already, with the diff ID that it must have.
func present(ctx context.Context, store Store, id layer.ID, diff layer.DiffID) (bool, error) {
	l, err := store.Layer(ctx, string(id))
	switch {
	case errors.Is(err, layer.ErrUnknown):
		return false, nil
	case err != nil:
		return false, err
	case l.ID != id:
		return false, nil // another layer with that name
	case l.DiffID != diff:
		return false, fmt.Errorf("layer %s is in the store with the diff ID %q instead of %s: %w", id, l.DiffID, diff, errdefs.ErrCorrupt)
	}
	return true, nil
}

func loadLayer(ctx context.Context, store Store, src Source, id, parent layer.ID, desc v1.Descriptor, diff layer.DiffID, task Task) error {
	blob, err := src.Blob(ctx, desc)
	if err != nil {
		return err
	}
	defer blob.Close()
	_, err = store.ImportLayer(ctx, strata.LayerOptions{
		ID: id, Parent: string(parent), Image: true,
		Expect: diff, ExpectBlob: layer.BlobDigest(desc.Digest),
	}, counted{blob, task})
	if !errors.Is(err, layer.ErrDuplicateID) {
		return err
	}
	// Somebody else stored the same layer meanwhile: theirs serves.
	if have, checkErr := present(ctx, store, id, diff); checkErr != nil || have {
		return checkErr
	}
	return err
}

// short is a digest's or ID's beginning, for people.
func short(text string) string {
	const prefix, digits = "sha256:", 12
	if len(text) > len(prefix) && text[:len(prefix)] == prefix {
		text = text[len(prefix):]
	}
	return text[:min(digits, len(text))]
}

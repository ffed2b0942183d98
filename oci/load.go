package oci

import (
	"context"
	"errors"
	"fmt"
	"io"

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
	// NewLayers and ReusedLayers count its layers. HealedLayers are those of the reused
	// ones that were damaged and have been put right.
	NewLayers, ReusedLayers, HealedLayers int
}

// Load stores the images of src, one after the other. It returns what it stored
// also when a later image fails. A layer that the store has is not read. Every
// byte is checked against manifest and configuration; a mismatch is an
// errdefs.ErrCorrupt, and that image is not stored. After an error or a
// cancelled context, complete layers may be left, which the next Load reuses and
// the store's GC removes.
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

func loadOne(ctx context.Context, store Store, src Source, e Entry, opts LoadOptions) (out Loaded, err error) {
	c, err := choose(ctx, src, e.Descriptor, opts.Platform)
	if err != nil {
		return Loaded{}, err
	}
	parts, err := readParts(ctx, src, c)
	if err != nil {
		return Loaded{}, err
	}
	out = Loaded{ID: parts.id(), Names: e.Names}
	l := &loading{Store: store, src: src, parts: parts, draft: store.NewDraft(), progress: orSilent(opts.Progress), out: &out}
	defer func() { err = errors.Join(err, l.draft.Close(ctx)) }()
	for try := 0; ; try++ {
		err = l.run(ctx, e.Names)
		if err == nil || try == maxRestarts || !overtaken(err) {
			return out, err
		}
	}
}

// loading is one image on its way in.
type loading struct {
	Store
	src      Source
	parts    *parts
	draft    *strata.Draft
	progress Progress
	out      *Loaded
}

// maxRestarts bounds how often an image is begun anew because somebody deleted it or a
// layer of it meanwhile (on-disk format, 9.9).
const maxRestarts = 3

// run makes sure that the store has all layers, keeps them from collection, and records
// the image.
func (l *loading) run(ctx context.Context, names []string) error {
	healed, err := heal(ctx, l.Store, l.src, l.parts, l.progress)
	l.out.HealedLayers += healed
	if err != nil {
		return err
	}
	if err := l.draft.Use(ctx, l.parts.layerIDs()...); err != nil {
		return err
	}
	top, err := l.chain(ctx)
	if err != nil {
		return err
	}
	l.out.Existed, err = record(ctx, l.Store, l.draft, l.parts, top, names)
	return err
}

// overtaken reports whether somebody deleted layers or the image meanwhile, or stored the
// same layers: theirs serve.
func overtaken(err error) bool {
	for _, sign := range []error{
		layer.ErrUnknown, layer.ErrParentUnknown, layer.ErrParentChanged, layer.ErrVanished, layer.ErrDuplicateID,
		image.ErrUnknown, strata.ErrNotAnID,
	} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// chain stores the layers that are missing, base first: each run of missing ones
// as one stack.
func (l *loading) chain(ctx context.Context) (layer.ID, error) {
	p, out := l.parts, l.out
	out.NewLayers, out.ReusedLayers = 0, 0
	ids := p.layerIDs()
	var parent layer.ID
	for i := 0; i < len(ids); {
		n, err := missing(ctx, l.Store, ids[i:], p.diffs[i:])
		if err != nil {
			return "", err
		}
		if n == 0 {
			l.progress.Start("layer "+short(string(p.diffs[i])), p.manifest.Layers[i].Size).Done("already there")
			out.ReusedLayers, n = out.ReusedLayers+1, 1
		} else {
			stored, err := l.ImportStack(ctx, strata.StackOptions{Parent: parent, Draft: l.draft}, p.stack(l.src, i, n, l.progress))
			out.NewLayers += len(stored)
			if err != nil {
				return "", err
			}
		}
		i += n
		parent = ids[i-1]
	}
	return parent, nil
}

// layerIDs returns the IDs that all engines derive, base first.
func (p *parts) layerIDs() []layer.ID {
	ids := make([]layer.ID, len(p.manifest.Layers))
	var parent layer.ID
	for i := range ids {
		ids[i] = layer.ImageLayerID(parent, p.diffs[i])
		parent = ids[i]
	}
	return ids
}

// missing counts the layers at the beginning that the store has not.
func missing(ctx context.Context, store Store, ids []layer.ID, diffs []layer.DiffID) (int, error) {
	for i, id := range ids {
		if have, err := present(ctx, store, id, diffs[i]); have || err != nil {
			return i, err
		}
	}
	return len(ids), nil
}

// stack describes n layers from the i-th on.
func (p *parts) stack(src Source, i, n int, progress Progress) []strata.StackLayer {
	var stack []strata.StackLayer
	for k := i; k < i+n; k++ {
		stack = append(stack, stackLayer(src, p.manifest.Layers[k], p.diffs[k], progress))
	}
	return stack
}

func stackLayer(src Source, desc v1.Descriptor, diff layer.DiffID, progress Progress) strata.StackLayer {
	var task Task = silent{}
	return strata.StackLayer{
		Expect: diff, ExpectBlob: layer.BlobDigest(desc.Digest),
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			task = progress.Start("layer "+short(string(diff)), desc.Size)
			blob, err := src.Blob(ctx, desc)
			if err != nil {
				return nil, fmt.Errorf("layer %s: %w", desc.Digest, err)
			}
			return countedBlob{counted{blob, task}, blob}, nil
		},
		Done: func(err error) {
			if err != nil {
				task.Done("failed")
				return
			}
			task.Done("done")
		},
	}
}

// countedBlob is a blob that reports what is read of it.
type countedBlob struct {
	counted
	io.Closer
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

// short is a digest's or ID's beginning, for people.
func short(text string) string {
	const prefix, digits = "sha256:", 12
	if len(text) > len(prefix) && text[:len(prefix)] == prefix {
		text = text[len(prefix):]
	}
	return text[:min(digits, len(text))]
}

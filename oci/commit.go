package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// CommitStore is what Commit needs beside Store.
type CommitStore interface {
	Store
	Container(ctx context.Context, nameOrID string) (container.Container, error)
}

var _ CommitStore = (*strata.Store)(nil)

// CommitOptions describe the image that a container becomes.
type CommitOptions struct {
	// Names are full references; there may be none.
	Names []string
	// Author and Message go into configuration and history; "" keeps the base's author.
	Author, Message string
	// CreatedBy is the history's account of the step; "" says that strata committed.
	CreatedBy string
	// Created is the image's time; zero means Epoch, and now without one.
	Created time.Time
	// Epoch, when not zero, makes the image reproducible: nothing in the layer is
	// newer, so that the same changes give the same image ID.
	Epoch time.Time
	// Edit changes what containers of the image are started with, beginning with what
	// the base says; nil changes nothing. Its error ends Commit before anything is recorded.
	Edit func(*v1.ImageConfig) error
	// Progress is told about the layer; nil is not.
	Progress Progress
}

// Commit stores a container's changes as a layer and makes an image of it on top
// of the container's image. The container may be mounted; a file that changes
// meanwhile is taken as it is met. After an error, nothing is left.
func Commit(ctx context.Context, store CommitStore, nameOrID string, opts CommitOptions) (Loaded, error) {
	c, err := store.Container(ctx, nameOrID)
	if err != nil {
		return Loaded{}, err
	}
	opts.Created = createdAt(opts.Created, opts.Epoch)
	out, err := drafted(ctx, store, func(d *strata.Draft) (Loaded, error) { return commit(ctx, store, d, c, opts) })
	if err != nil {
		return Loaded{}, fmt.Errorf("commit container %s: %w", short(string(c.ID)), err)
	}
	return out, nil
}

func commit(ctx context.Context, store CommitStore, d *strata.Draft, c container.Container, opts CommitOptions) (Loaded, error) {
	base, config, err := commitBase(ctx, store, c)
	if err != nil {
		return Loaded{}, err
	}
	var top layer.ID
	if n := len(base); n > 0 {
		top = base[n-1].ID
	}
	for _, l := range base {
		if l.DiffID == "" {
			return Loaded{}, errdefs.WithHint(
				fmt.Errorf("layer %s below it has no recorded diff ID: %w", l.ID, errdefs.ErrUnsupported),
				"make that layer with: strata diff "+string(l.ID)+" | strata import-layer")
		}
	}
	if config, err = editConfig(config, opts.Edit); err != nil {
		return Loaded{}, err
	}
	l, err := commitLayer(ctx, store, d, c, top, opts)
	if err != nil {
		return Loaded{}, err
	}
	if config, err = extendConfig(config, l, opts); err != nil {
		return Loaded{}, err
	}
	return build(ctx, store, d, config, append(base, l), opts.Names)
}

// commitLayer stores the container's changes as a layer on top of the others.
func commitLayer(ctx context.Context, store CommitStore, d *strata.Draft, c container.Container, top layer.ID, opts CommitOptions) (layer.Layer, error) {
	task := orSilent(opts.Progress).Start("commit "+short(string(c.ID)), -1)
	diff, err := store.Diff(ctx, string(c.Layer), "", strata.DiffOptions{Compression: strata.CompressionNone})
	if err != nil {
		task.Done("failed")
		return layer.Layer{}, err
	}
	in := clamped(ctx, diff, opts.Epoch)
	l, err := storeDiff(ctx, store, d, top, in, task)
	if err = errors.Join(err, in.Close(), diff.Close()); err != nil {
		task.Done("failed")
		return layer.Layer{}, err
	}
	task.Done("done")
	return l, nil
}

// commitBase returns the layers below the container, base first, and the
// configuration to start from: the image's, or an empty one.
func commitBase(ctx context.Context, store CommitStore, c container.Container) ([]layer.Layer, []byte, error) {
	if c.Image == "" {
		own, err := store.Layer(ctx, string(c.Layer))
		if err != nil {
			return nil, nil, err
		}
		base, err := chain(ctx, store, own.Parent)
		if err != nil {
			return nil, nil, err
		}
		config, err := emptyConfig(base)
		return base, config, err
	}
	img, err := store.Image(ctx, string(c.Image))
	if err != nil {
		return nil, nil, fmt.Errorf("its image %s: %w", c.Image, err)
	}
	base, err := chain(ctx, store, img.TopLayer)
	if err != nil {
		return nil, nil, err
	}
	config, err := imageConfig(ctx, store, img)
	return base, config, err
}

func emptyConfig(layers []layer.Layer) ([]byte, error) {
	p, err := ParsePlatform("")
	if err != nil {
		return nil, err
	}
	img := v1.Image{Platform: p, RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}
	for _, l := range layers {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, digest.Digest(l.DiffID))
	}
	return json.Marshal(img)
}

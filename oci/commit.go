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
	// Created is the image's time; zero means now.
	Created time.Time
	// Progress is told about the layer; nil is not.
	Progress Progress
}

// Commit stores a container's changes as a layer and makes an image of it on top
// of the container's image. The container may be mounted; a file that changes
// meanwhile is taken as it is met. After an error, the complete layer may be left.
func Commit(ctx context.Context, store CommitStore, nameOrID string, opts CommitOptions) (Loaded, error) {
	c, err := store.Container(ctx, nameOrID)
	if err != nil {
		return Loaded{}, err
	}
	if opts.Created.IsZero() {
		opts.Created = time.Now()
	}
	out, err := commit(ctx, store, c, opts)
	if err != nil {
		return Loaded{}, fmt.Errorf("commit container %s: %w", short(string(c.ID)), err)
	}
	return out, nil
}

func commit(ctx context.Context, store CommitStore, c container.Container, opts CommitOptions) (Loaded, error) {
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
	task := orSilent(opts.Progress).Start("commit "+short(string(c.ID)), -1)
	diff, err := store.Diff(ctx, string(c.Layer), "", strata.DiffOptions{Compression: strata.CompressionNone})
	if err != nil {
		task.Done("failed")
		return Loaded{}, err
	}
	l, err := storeDiff(ctx, store, top, diff, task)
	if err = errors.Join(err, diff.Close()); err != nil {
		task.Done("failed")
		return Loaded{}, err
	}
	task.Done("done")
	if config, err = extendConfig(config, l, opts); err != nil {
		return Loaded{}, err
	}
	return build(ctx, store, config, append(base, l), opts.Names)
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

// extendConfig adds a layer and a line of history. Members that this package does
// not know (health checks, an engine's own) stay as they are.
func extendConfig(config []byte, l layer.Layer, opts CommitOptions) ([]byte, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(config, &members); err != nil {
		return nil, fmt.Errorf("configuration: %w: %w", err, errdefs.ErrCorrupt)
	}
	var img v1.Image
	if err := json.Unmarshal(config, &img); err != nil {
		return nil, fmt.Errorf("configuration: %w: %w", err, errdefs.ErrCorrupt)
	}
	created := opts.Created.UTC()
	img.RootFS.Type = "layers"
	img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, digest.Digest(l.DiffID))
	img.History = append(img.History, v1.History{Created: &created, CreatedBy: "strata commit", Author: opts.Author, Comment: opts.Message})
	changed := map[string]any{"created": created, "rootfs": img.RootFS, "history": img.History}
	if opts.Author != "" {
		changed["author"] = opts.Author
	}
	for name, v := range changed {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		members[name] = text
	}
	for _, stale := range []string{"container", "id", "parent", "parent_id"} {
		delete(members, stale) // Docker's notes on the container that the base came from
	}
	return json.Marshal(members)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/oci"
)

// builder makes images in a store.
type builder struct {
	store  *strata.Store
	dir    string    // what COPY copies from
	epoch  time.Time // zero: as late as it is
	output io.Writer // what the steps print
}

// build runs the steps in a container of its own, which goes away whatever happens.
func (b *builder) build(ctx context.Context, steps []step, tag string) (built oci.Loaded, err error) {
	base, err := b.base(ctx, steps[0].args)
	if err != nil {
		return oci.Loaded{}, fmt.Errorf("line %d: %s: %w", steps[0].line, steps[0], err)
	}
	c, err := b.store.CreateContainer(ctx, strata.ContainerOptions{Image: string(base.ID)})
	if err != nil {
		return oci.Loaded{}, err
	}
	defer func() {
		err = errors.Join(err, b.store.DeleteContainer(context.WithoutCancel(ctx), string(c.ID)))
	}()
	opts := oci.CommitOptions{Epoch: b.epoch, CreatedBy: history(steps)}
	if tag != "" {
		name, err := oci.LocalName(tag)
		if err != nil {
			return oci.Loaded{}, err
		}
		opts.Names = []string{name}
	}
	if opts.Edit, err = b.run(ctx, string(c.ID), steps[1:]); err != nil {
		return oci.Loaded{}, err
	}
	return oci.Commit(ctx, b.store, string(c.ID), opts)
}

// base finds an image of the store, or loads it from an archive.
func (b *builder) base(ctx context.Context, from string) (_ image.Image, err error) {
	found, unknown := oci.FindImage(ctx, b.store, from)
	if !errors.Is(unknown, image.ErrUnknown) {
		return found, unknown
	}
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return found, unknown
	}
	src, err := oci.Open(ctx, from, nil, oci.OpenOptions{})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	loaded, err := oci.Load(ctx, b.store, src, oci.LoadOptions{})
	if err != nil {
		return found, err
	}
	if len(loaded) != 1 {
		return found, fmt.Errorf("%d images in the archive: one is needed", len(loaded))
	}
	return b.store.Image(ctx, string(loaded[0].ID))
}

// run mounts the container for its steps and collects the changes of the configuration.
func (b *builder) run(ctx context.Context, id string, steps []step) (edit func(*v1.ImageConfig) error, err error) {
	root, err := b.store.Mount(ctx, id, strata.MountOptions{})
	if err != nil {
		return nil, err
	}
	defer func() {
		_, unmounted := b.store.Unmount(context.WithoutCancel(ctx), id, strata.UnmountOptions{})
		err = errors.Join(err, unmounted)
	}()
	var changes []oci.Change
	for _, s := range steps {
		if _, err := fmt.Fprintln(b.output, "==", s); err != nil {
			return nil, err
		}
		change, err := b.step(ctx, root, s)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", s.line, s, err)
		}
		if change != nil {
			changes = append(changes, change)
		}
	}
	return func(c *v1.ImageConfig) error {
		for _, change := range changes {
			if err := change(c); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// step runs one instruction on the tree at root, or returns the change it is.
func (b *builder) step(ctx context.Context, root string, s step) (oci.Change, error) {
	switch s.word {
	case "RUN":
		return nil, runIn(ctx, root, s.args, b.output)
	case "COPY":
		return nil, copyInto(root, b.dir, s.args)
	}
	return oci.ParseChange(s.String())
}

// history tells what was done, on one line.
func history(steps []step) string {
	var lines []string
	for _, s := range steps[1:] {
		lines = append(lines, s.String())
	}
	return strings.Join(lines, "; ")
}

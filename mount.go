package strata

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/layer"
)

// MountOptions belong to Mount and MountImage. The zero value mounts an object as
// its record says.
type MountOptions struct {
	// Label is the SELinux label to mount with; "" means the record's.
	Label string
	// Options replace the record's and the configured mount options when not nil.
	Options []string
	// ReadOnly mounts without a place for changes.
	ReadOnly bool
	// Mapping, when not empty, replaces the record's ID mapping.
	Mapping Mapping
}

// Mount makes the tree of a container or a layer visible and returns its path,
// which is absolute. Mounts are counted for all processes: each needs an Unmount,
// also after the process has ended. An *UnknownError about a layer if there is
// neither; layer.ErrReadOnlyStore for a layer of an additional store.
func (s *Store) Mount(ctx context.Context, nameOrID string, opts MountOptions) (string, error) {
	id, o, err := s.mountable(ctx, nameOrID)
	if err != nil {
		return "", err
	}
	path, err := s.layers.Mount(ctx, id, o.with(opts))
	return path, mountError(nameOrID, err)
}

func mountError(nameOrID string, err error) error {
	if errors.Is(err, layer.ErrReadOnlyStore) {
		return fmt.Errorf("mounting read/only store images is not allowed: %w", layer.ErrReadOnlyStore)
	}
	return known(KindLayer, nameOrID, err)
}

// recorded is what an object's record says about mounting it.
type recorded layer.MountOptions

// with lays a call's options over the record's.
func (r recorded) with(opts MountOptions) layer.MountOptions {
	o := layer.MountOptions(r)
	o.ReadOnly = opts.ReadOnly
	if opts.Label != "" {
		o.MountLabel = opts.Label
	}
	if opts.Options != nil {
		o.Options = opts.Options
	}
	if !opts.Mapping.Empty() {
		o.Mapping = opts.Mapping
	}
	return o
}

// mountable finds the layer that a name stands for: a container's, else a layer.
// The locks are released before mounting, which takes storage.lock first.
func (s *Store) mountable(ctx context.Context, nameOrID string) (layer.ID, recorded, error) {
	c, err := s.Container(ctx, nameOrID)
	if err == nil {
		return c.Layer, s.recorded(c), nil
	}
	if !isUnknown(err) {
		return "", recorded{}, err
	}
	l, err := s.Layer(ctx, nameOrID)
	return l.ID, recorded{}, err
}

func (s *Store) recorded(c container.Container) recorded {
	return recorded{
		Mapping:    c.Mapping(),
		MountLabel: c.MountLabel(),
		Options:    c.MountOpts(),
		Volatile:   c.Volatile() && !s.opts.DisableVolatile,
	}
}

// MountImage makes the tree of an image's top layer visible, read-only, and
// returns its path. An *UnknownError if there is no such image;
// layer.ErrUnknown for an image without layers.
func (s *Store) MountImage(ctx context.Context, nameOrID string, opts MountOptions) (string, error) {
	top, err := s.topLayer(ctx, nameOrID)
	if err != nil {
		return "", err
	}
	opts.ReadOnly = true
	return s.layers.Mount(ctx, top, recorded{}.with(opts))
}

func (s *Store) topLayer(ctx context.Context, image string) (layer.ID, error) {
	img, err := s.Image(ctx, image)
	if err == nil && img.TopLayer == "" {
		err = fmt.Errorf("image %s has no layer: %w", img.ID, layer.ErrUnknown)
	}
	return img.TopLayer, err
}

// UnmountResult says what Unmount found and did.
type UnmountResult struct {
	// Kind and ID are of the object that the name stands for.
	Kind Kind
	ID   string
	// Layer is the layer that was mounted.
	Layer layer.ID
	// Mounted is set while others still have it mounted.
	Mounted bool
}

// UnmountOptions belong to Unmount and UnmountImage.
type UnmountOptions struct {
	// Force unmounts whatever the count is.
	Force bool
}

// Unmount takes one off the mount count of a container, else a layer, else an
// image's top layer, and unmounts at zero. What is not mounted is success. An
// *UnknownError about a layer if there is nothing of that name.
func (s *Store) Unmount(ctx context.Context, nameOrID string, opts UnmountOptions) (UnmountResult, error) {
	res, err := s.unmountable(ctx, nameOrID)
	if err != nil {
		return res, err
	}
	gone, err := s.layers.Unmount(ctx, res.Layer, layer.UnmountOptions{Force: opts.Force})
	res.Mounted = !gone
	return res, known(KindLayer, nameOrID, err)
}

// UnmountImage is Unmount for an image's top layer, as MountImage mounted it. An
// *UnknownError if there is no such image.
func (s *Store) UnmountImage(ctx context.Context, nameOrID string, opts UnmountOptions) (UnmountResult, error) {
	img, err := s.Image(ctx, nameOrID)
	if err != nil {
		return UnmountResult{}, err
	}
	res := UnmountResult{Kind: KindImage, ID: string(img.ID), Layer: img.TopLayer}
	if img.TopLayer == "" {
		return res, fmt.Errorf("image %s has no layer: %w", img.ID, layer.ErrUnknown)
	}
	gone, err := s.layers.Unmount(ctx, img.TopLayer, layer.UnmountOptions{Force: opts.Force})
	res.Mounted = !gone
	return res, err
}

func (s *Store) unmountable(ctx context.Context, nameOrID string) (UnmountResult, error) {
	o, err := s.Find(ctx, nameOrID, KindContainer, KindLayer, KindImage)
	res := UnmountResult{Kind: o.Kind, ID: o.ID, Layer: layer.ID(o.ID)}
	if errors.Is(err, ErrNotAnID) {
		return res, &UnknownError{Kind: KindLayer, Name: nameOrID}
	}
	if err != nil {
		return res, err
	}
	switch o.Kind {
	case KindContainer:
		c, err := s.Container(ctx, o.ID)
		res.Layer = c.Layer
		return res, err
	case KindImage:
		i, err := s.Image(ctx, o.ID)
		res.Layer = i.TopLayer
		return res, err
	default:
		return res, nil
	}
}

// Mounted returns how often a container's layer or a layer is mounted: 0 when the
// kernel does not have the mount any more, whatever the count says. An
// *UnknownError about a layer if there is neither.
func (s *Store) Mounted(ctx context.Context, nameOrID string) (int, error) {
	id, _, err := s.mountable(ctx, nameOrID)
	if err != nil {
		return 0, err
	}
	n, err := s.layers.Mounted(ctx, id)
	return n, known(KindLayer, nameOrID, err)
}

package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
)

// Get returns the layer's directory. The option "ro" and the hints in opts are accepted and
// change nothing; any other option, and an ID mapping, is an ErrUnsupported.
func (d *driver) Get(_ context.Context, id graphdriver.ID, opts graphdriver.MountOptions) (string, error) {
	h, err := d.homes.Find(id)
	if err != nil {
		return "", err
	}
	for _, o := range opts.Options {
		if o != "ro" {
			return "", fmt.Errorf("vfs has no mount option %q: %w", o, errdefs.ErrUnsupported)
		}
	}
	if !opts.Mapping.Empty() {
		return "", fmt.Errorf("vfs can not shift IDs: %w", errdefs.ErrUnsupported)
	}
	return h.Dir(id), nil
}

// Put has nothing to undo.
func (d *driver) Put(_ context.Context, id graphdriver.ID) error { return id.Validate() }

// Mounted reports true for every layer that exists.
func (d *driver) Mounted(_ context.Context, id graphdriver.ID) (path string, mounted bool, err error) {
	h, err := d.homes.Find(id)
	if errors.Is(err, errdefs.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return h.Dir(id), true, nil
}

// DiffGetter reads from the layer's own tree, which has everything that was applied.
func (d *driver) DiffGetter(_ context.Context, id graphdriver.ID) (archive.FileGetCloser, error) {
	h, err := d.homes.Find(id)
	if err != nil {
		return nil, err
	}
	return archive.OpenFiles(h.Dir(id))
}

// ApplyDiff unpacks into an existing layer, in place; the result is synced. When it fails
// half-way, so is the layer. Use Stage for layers that do not exist yet.
func (d *driver) ApplyDiff(ctx context.Context, id, parent graphdriver.ID, diff io.Reader, opts graphdriver.ApplyOptions) (int64, error) {
	h, unlock, err := d.homes.Hold(ctx, &d.locks, id)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if err := faults.Hit("vfs.apply", h.path); err != nil {
		return 0, err
	}
	size, err := d.Differ.ApplyDiff(ctx, id, parent, diff, opts)
	if err != nil {
		return 0, err
	}
	return size, d.syncFilesystem(h)
}

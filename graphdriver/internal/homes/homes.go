// Package homes is what the drivers that keep a directory for each layer have in common:
// several places for layers, of which some are only read.
package homes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/tempdir"
)

// Home is one directory with layers in it.
type Home interface {
	// Path is the directory.
	Path() string
	// Dir is the directory of one layer.
	Dir(id graphdriver.ID) string
	// Temp is where layers on their way in and out are (package tempdir).
	Temp() string
	// ReadOnly says that it belongs to a store that is never written to.
	ReadOnly() bool
	// Layers returns the layers that are there, in any order.
	Layers() ([]graphdriver.ID, error)
}

// Homes are those of one driver, in lookup order: the primary one, that of the image store
// if there is one, and those that are only read.
type Homes[H Home] []H

// For is where a new layer is made.
func (hs Homes[H]) For(opts graphdriver.CreateOptions) H {
	if opts.Image && len(hs) > 1 && !hs[1].ReadOnly() {
		return hs[1]
	}
	return hs[0]
}

// Find returns the first home that has the layer; an ErrNotFound if none has.
func (hs Homes[H]) Find(id graphdriver.ID) (H, error) {
	var none H
	if err := id.Validate(); err != nil {
		return none, err
	}
	for _, h := range hs {
		if ok, err := IsDir(h.Dir(id)); ok || err != nil {
			return h, err
		}
	}
	return none, fmt.Errorf("layer %s in %s: %w", id, hs[0].Path(), errdefs.ErrNotFound)
}

// Writable is Find for a layer that is to be changed; an ErrReadOnly about one of a store
// that is only read.
func (hs Homes[H]) Writable(id graphdriver.ID) (H, error) {
	h, err := hs.Find(id)
	if err == nil && h.ReadOnly() {
		err = fmt.Errorf("layer %s in %s: %w", id, h.Path(), errdefs.ErrReadOnly)
	}
	return h, err
}

// Hold locks a layer that is to be changed and finds it as Writable does. After success the
// caller unlocks it.
func (hs Homes[H]) Hold(ctx context.Context, locks *graphdriver.IDLocks, id graphdriver.ID) (h H, unlock func(), err error) {
	if unlock, err = locks.Lock(ctx, id); err != nil {
		return h, nil, err
	}
	if h, err = hs.Writable(id); err != nil {
		unlock()
		return h, nil, err
	}
	return h, unlock, nil
}

// Free is an ErrExists if there is such a layer. One of a read-only store does not count.
func (hs Homes[H]) Free(id graphdriver.ID) error {
	h, err := hs.Find(id)
	switch {
	case errors.Is(err, errdefs.ErrNotFound), err == nil && h.ReadOnly():
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("layer %s in %s: %w", id, h.Path(), errdefs.ErrExists)
}

// Exists looks in all homes, those of read-only stores included.
func (hs Homes[H]) Exists(id graphdriver.ID) (bool, error) {
	_, err := hs.Find(id)
	if errors.Is(err, errdefs.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// List returns the layers of the homes that are written, sorted.
func (hs Homes[H]) List() ([]graphdriver.ID, error) {
	var ids []graphdriver.ID
	for _, h := range hs {
		if h.ReadOnly() {
			continue
		}
		own, err := h.Layers()
		if err != nil {
			return nil, err
		}
		ids = append(ids, own...)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// Recover removes what killed processes left. What can not be removed is logged and stays
// for the next time; the error is that of ctx.
func (hs Homes[H]) Recover(ctx context.Context, driver string, log *slog.Logger) error {
	for _, h := range hs {
		if h.ReadOnly() {
			continue
		}
		if err := tempdir.Recover(ctx, h.Temp()); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			log.WarnContext(ctx, "leftovers of killed processes stay", "driver", driver, "error", err)
		}
	}
	return nil
}

// IDs returns the names of directories in dir that may be layers' IDs, sorted.
func IDs(dir string) ([]graphdriver.ID, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	var ids []graphdriver.ID
	for _, e := range entries {
		if id := graphdriver.ID(e.Name()); e.IsDir() && id.Validate() == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// IsDir reports whether there is a directory at path, and no link to one.
func IsDir(path string) (bool, error) {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	return err == nil && fi.IsDir(), err
}

package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// home is one directory with layers in it.
type home struct {
	path     string
	readOnly bool
}

func (h home) layers() string                      { return filepath.Join(h.path, "dir") }
func (h home) layer(id graphdriver.ID) string      { return filepath.Join(h.path, "dir", string(id)) }
func (h home) temp() string                        { return filepath.Join(h.path, "tempdirs") }
func (h home) has(id graphdriver.ID) (bool, error) { return isDir(h.layer(id)) }

// homesOf returns the homes in lookup order.
func homesOf(cfg graphdriver.Config) []home {
	homes := []home{{path: cfg.Home}}
	if cfg.ImageHome != "" {
		homes = append(homes, home{path: cfg.ImageHome})
	}
	for _, path := range cfg.AdditionalHomes {
		homes = append(homes, home{path: path, readOnly: true})
	}
	return homes
}

// homeFor is where a new layer is made.
func (d *driver) homeFor(opts graphdriver.CreateOptions) home {
	if opts.Image && len(d.homes) > 1 && !d.homes[1].readOnly {
		return d.homes[1]
	}
	return d.homes[0]
}

// find returns the first home that has the layer; an ErrNotFound if none has.
func (d *driver) find(id graphdriver.ID) (home, error) {
	if err := id.Validate(); err != nil {
		return home{}, err
	}
	for _, h := range d.homes {
		if ok, err := h.has(id); ok || err != nil {
			return h, err
		}
	}
	return home{}, fmt.Errorf("layer %s in %s: %w", id, d.homes[0].path, errdefs.ErrNotFound)
}

func isDir(path string) (bool, error) {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && fi.IsDir(), err
}

// List returns the layers of the home and of the image store's, sorted.
func (d *driver) List(context.Context) ([]graphdriver.ID, error) {
	var ids []graphdriver.ID
	for _, h := range d.homes {
		if h.readOnly {
			continue
		}
		entries, err := os.ReadDir(h.layers())
		if err != nil {
			return nil, fmt.Errorf("list layers: %w", err)
		}
		for _, e := range entries {
			if id := graphdriver.ID(e.Name()); e.IsDir() && id.Validate() == nil {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

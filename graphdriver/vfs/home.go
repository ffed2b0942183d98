package vfs

import (
	"context"
	"path/filepath"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/internal/homes"
)

// home is one directory with layers in it.
type home struct {
	path     string
	readOnly bool
}

func (h home) Path() string                      { return h.path }
func (h home) ReadOnly() bool                    { return h.readOnly }
func (h home) Temp() string                      { return filepath.Join(h.path, "tempdirs") }
func (h home) Dir(id graphdriver.ID) string      { return filepath.Join(h.path, "dir", string(id)) }
func (h home) layers() string                    { return filepath.Join(h.path, "dir") }
func (h home) Layers() ([]graphdriver.ID, error) { return homes.IDs(h.layers()) }

// homesOf returns the homes in lookup order.
func homesOf(cfg graphdriver.Config) homes.Homes[home] {
	all := homes.Homes[home]{{path: cfg.Home}}
	if cfg.ImageHome != "" {
		all = append(all, home{path: cfg.ImageHome})
	}
	for _, path := range cfg.AdditionalHomes {
		all = append(all, home{path: path, readOnly: true})
	}
	return all
}

// List returns the layers of the home and of the image store's, sorted.
func (d *driver) List(context.Context) ([]graphdriver.ID, error) { return d.homes.List() }

// Exists looks in all homes, those of read-only stores included.
func (d *driver) Exists(_ context.Context, id graphdriver.ID) (bool, error) {
	return d.homes.Exists(id)
}

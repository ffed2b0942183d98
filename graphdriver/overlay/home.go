package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/internal/homes"
)

// homeKind says what a home is for.
type homeKind int

const (
	primary    homeKind = iota // of the graph root: everything, and the only one with writable mounts
	imageStore                 // of the separate image store: layers of images
	additional                 // of a read-only store: never written to
)

// home is one directory with layers in it.
type home struct {
	path string
	kind homeKind
}

func (h home) Path() string            { return h.path }
func (h home) ReadOnly() bool          { return h.kind == additional }
func (h home) linkDir() string         { return filepath.Join(h.path, "l") }
func (h home) symlink(l linkID) string { return filepath.Join(h.path, "l", string(l)) }
func (h home) Temp() string            { return filepath.Join(h.path, "tempdirs") }

func (h home) Dir(id graphdriver.ID) string     { return filepath.Join(h.path, string(id)) }
func (h home) layer(id graphdriver.ID) layerDir { return layerDir{home: h, id: id} }

// layerDir is the directory of one layer in one home.
type layerDir struct {
	home home
	id   graphdriver.ID
}

func (l layerDir) dir() string { return l.home.Dir(l.id) }

// path is that of one of the layer's own files or directories.
func (l layerDir) path(name string) string { return filepath.Join(l.home.path, string(l.id), name) }

func (l layerDir) diff() string          { return l.path("diff") }
func (l layerDir) exists() (bool, error) { return homes.IsDir(l.dir()) }

// has reports whether the layer has a file or directory of that name.
func (l layerDir) has(name string) (bool, error) {
	_, err := os.Lstat(l.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// copies are the older contents of a layer whose owners were changed: diff1, diff2 and so on,
// newest first. They lie between diff and the ancestors (on-disk format, 4.6).
func (l layerDir) copies() ([]string, error) {
	var paths []string
	for n := 1; ; n++ {
		path := l.path("diff" + strconv.Itoa(n))
		ok, err := homes.IsDir(path)
		if err != nil || !ok {
			return paths, err
		}
		paths = append(paths, path)
	}
}

// errComposefs reports a layer in a form that only its maker can show.
var errComposefs = errdefs.New(errdefs.ErrUnsupported, "layer is a composefs image, which strata can list and delete but not mount or compare")

// plain is errComposefs for layers in that form.
func (l layerDir) plain() error {
	composefs, err := l.has("composefs-data")
	if err == nil && composefs {
		err = errComposefs
	}
	if err != nil {
		return fmt.Errorf("layer %s: %w", l.id, err)
	}
	return nil
}

// homesOf returns the homes in lookup order.
func homesOf(cfg graphdriver.Config, s settings) homes.Homes[home] {
	all := homes.Homes[home]{{path: cfg.Home, kind: primary}}
	if cfg.ImageHome != "" {
		all = append(all, home{path: cfg.ImageHome, kind: imageStore})
	}
	for _, path := range append(slices.Clone(cfg.AdditionalHomes), s.imageHomes...) {
		if !slices.ContainsFunc(all, func(h home) bool { return h.path == path }) {
			all = append(all, home{path: path, kind: additional})
		}
	}
	return all
}

// find returns the layer in the first home that has it; an ErrNotFound if none has.
func (d *driver) find(id graphdriver.ID) (layerDir, error) {
	h, err := d.homes.Find(id)
	return h.layer(id), err
}

// probeDirs are left in a home by probes of other engines that were killed.
var probeDirs = regexp.MustCompile(`^(compat|metacopy-check|opaque-bug-check|volatile-check|idmapped-check)[0-9]+$`)

// Layers returns the layers in the home.
func (h home) Layers() ([]graphdriver.ID, error) {
	ids, err := homes.IDs(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return slices.DeleteFunc(ids, func(id graphdriver.ID) bool { return probeDirs.MatchString(string(id)) }), err
}

// List returns the layers of the home and of the image store's, sorted.
func (d *driver) List(context.Context) ([]graphdriver.ID, error) { return d.homes.List() }

// Exists looks in all homes, those of read-only stores included.
func (d *driver) Exists(_ context.Context, id graphdriver.ID) (bool, error) {
	return d.homes.Exists(id)
}

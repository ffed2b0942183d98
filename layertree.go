package strata

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/layer"
)

// Whoever examines a store must not let the driver mend what it meets on the way, so
// the places of layers' files are known here once more (on-disk format, 1.1, 1.2).

// The drivers whose places are known. For others only what the driver tells is examined.
const (
	overlayDriver = "overlay"
	vfsDriver     = "vfs"
)

// driverHome is the directory of one store's layers.
type driverHome struct {
	path     string
	readOnly bool
}

// driverHomes returns the homes in the order of lookup: the graph root's, the image
// store's, those of additional stores.
func (s *Store) driverHomes() []driverHome {
	roots := []driverHome{{path: s.roots.graph}}
	if s.roots.image != "" {
		roots = append(roots, driverHome{path: s.roots.image})
	}
	for _, dir := range s.roots.additional {
		roots = append(roots, driverHome{path: dir, readOnly: true})
	}
	for i := range roots {
		roots[i].path = filepath.Join(roots[i].path, s.driver.name)
	}
	return roots
}

// layerPlace is where the driver keeps one layer.
type layerPlace struct {
	home driverHome
	// dir is all that the driver has for the layer.
	dir string
	// diff holds the layer's own files; with vfs those of its ancestors, too.
	diff string
	// elsewhere: diff is in an additional layer store.
	elsewhere bool
	// copies are older contents of a layer whose owners were changed, newest first.
	copies []string
}

// place finds a layer; fs.ErrNotExist if no home has it, graphdriver.ErrNotSupported
// for a driver whose places are not known.
func (s *Store) place(id layer.ID) (layerPlace, error) {
	if err := graphdriver.ID(id).Validate(); err != nil {
		return layerPlace{}, err
	}
	if !s.knownDriver() {
		return layerPlace{}, graphdriver.ErrNotSupported
	}
	for _, home := range s.driverHomes() {
		p := s.placeIn(home, string(id))
		info, err := os.Lstat(p.dir)
		if err == nil && info.IsDir() {
			return p, p.complete(s.driver.name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return layerPlace{}, err
		}
	}
	return layerPlace{}, fs.ErrNotExist
}

// inGraphRoot reports whether a layer's files are in the graph root, where what replaces them
// has to be staged, too. Layers of images may be there even beside an image store.
func (s *Store) inGraphRoot(id layer.ID) bool {
	p, err := s.place(id)
	return err == nil && p.home == s.driverHomes()[0]
}

func (s *Store) knownDriver() bool {
	return s.driver.name == overlayDriver || s.driver.name == vfsDriver
}

func (s *Store) placeIn(home driverHome, id string) layerPlace {
	if s.driver.name == vfsDriver {
		dir := filepath.Join(home.path, "dir", id)
		return layerPlace{home: home, dir: dir, diff: dir}
	}
	dir := filepath.Join(home.path, id)
	return layerPlace{home: home, dir: dir, diff: filepath.Join(dir, "diff")}
}

// complete looks for what only overlay has: older copies, and the link to an
// additional layer store (on-disk format, 4.6, 4.11).
func (p *layerPlace) complete(driver string) error {
	if driver != overlayDriver {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(p.dir, "additionallayer")); err == nil {
		if target, err := os.Readlink(p.diff); err == nil && filepath.IsAbs(target) {
			p.diff, p.elsewhere = target, true
		}
	}
	for n := 1; ; n++ {
		path := filepath.Join(p.dir, "diff"+strconv.Itoa(n))
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		p.copies = append(p.copies, path)
	}
}

// hasContent reports whether the layer's files are where they belong. What lies in an
// additional layer store is that store's to tell.
func (p *layerPlace) hasContent() bool {
	if p.elsewhere {
		return true
	}
	info, err := os.Lstat(p.diff)
	return err == nil && info.IsDir()
}

// composefs reports whether only the maker of the layer can read it (on-disk format, 4.13).
func (p *layerPlace) composefs() bool {
	_, err := os.Lstat(filepath.Join(p.dir, "composefs-data"))
	return err == nil
}

// files opens the layer's files by their names in its tar. The caller closes it.
func (p *layerPlace) files() (archive.FileGetCloser, error) {
	return archive.OpenFiles(append([]string{p.diff}, p.copies...)...)
}

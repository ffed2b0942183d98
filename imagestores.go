package strata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/internal/atomicfile"
)

// imageStoresFile lists the separate image stores that the graph root was ever opened
// with, one path a line. Their layers' tar-splits lie in the graph root (on-disk format,
// 1.4), whether or not the store is opened with them now.
func (r roots) imageStoresFile() string { return filepath.Join(r.graph, "strata", "image-stores") }

func (r roots) imageStores() ([]string, error) {
	data, err := atomicfile.Read(r.imageStoresFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Split(strings.TrimRight(string(data), "\n"), "\n"), err
}

// noteImageStore adds the image store in use to the list. Two that do it at once may
// lose one, which the next opening adds again.
func (r roots) noteImageStore() error {
	if r.image == "" {
		return nil
	}
	known, err := r.imageStores()
	if err != nil || slices.Contains(known, r.image) || strings.Contains(r.image, "\n") {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.imageStoresFile()), 0o700); err != nil {
		return err
	}
	text := strings.Join(append(known, r.image), "\n") + "\n"
	_, err = atomicfile.Write(r.imageStoresFile(), []byte(text), atomicfile.Options{})
	return err
}

// addImageStores adds the layers of image stores that the store is not opened with now.
// Where one is not there, such as on a disk that is not mounted, nobody knows which
// tar-splits are its layers'; then all are kept.
func (o *orphanScan) addImageStores() error {
	known, err := o.store.roots.imageStores()
	if err != nil {
		return fmt.Errorf("look for orphans: %w", err)
	}
	for _, root := range known {
		if root == o.store.roots.image {
			continue
		}
		dir := layersDir(root, o.store.driver.name)
		if _, err := os.Stat(dir); err != nil {
			o.keepSplits = true
			continue
		}
		if err := addIDs(o.layers, filepath.Join(dir, "layers.json")); err != nil {
			return err
		}
	}
	return nil
}

package overlay

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

var _ graphdriver.AdditionalLayers = (*driver)(nil)

// additionalNote is the file in a layer that says which layer of an additional layer store
// it is: its absolute path (on-disk format, 4.11).
const additionalNote = "additionallayer"

// layerStore is one additional layer store.
type layerStore struct {
	path string
	// byRef: layers are below directories of the images that they are wanted for.
	byRef bool
}

// addLayerStores reads "PATH[:ref][,PATH…]".
func (s *settings) addLayerStores(v string) error {
	for text := range strings.SplitSeq(v, ",") {
		words := strings.Split(text, ":")
		store := layerStore{path: filepath.Clean(words[0])}
		if !filepath.IsAbs(store.path) {
			return fmt.Errorf("additionallayerstore path %q is not absolute.  Can not be relative: %w", words[0], errdefs.ErrInvalid)
		}
		for _, word := range words[1:] {
			switch {
			case word != "ref":
				return fmt.Errorf("additionallayerstore config %q contains unknown option %q: %w", store.path, word, errdefs.ErrInvalid)
			case store.byRef:
				return fmt.Errorf("additionallayerstore config of %q contains %q option twice: %w", store.path, word, errdefs.ErrInvalid)
			}
			store.byRef = true
		}
		info, err := os.Stat(store.path)
		if err != nil {
			return fmt.Errorf("can't stat additionallayerstore dir: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("additionallayerstore path %q must be a directory: %w", store.path, errdefs.ErrInvalid)
		}
		s.layerStores = append(s.layerStores, store)
	}
	return nil
}

// FindAdditional implements graphdriver.AdditionalLayers.
func (d *driver) FindAdditional(_ context.Context, name, ref string) (graphdriver.AdditionalLayer, error) {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return nil, fmt.Errorf("name %q of a layer in an additional layer store: %w", name, errdefs.ErrInvalid)
	}
	for _, s := range d.settings.layerStores {
		dir := s.path
		if s.byRef {
			dir = filepath.Join(dir, base64.StdEncoding.EncodeToString([]byte(ref)))
		}
		l := &additionalLayer{driver: d, path: filepath.Join(dir, name)}
		found, err := l.exists()
		if err != nil {
			return nil, err
		}
		if found {
			return l, l.use()
		}
	}
	return nil, fmt.Errorf("additional layer (%q, %q) not found: %w", name, ref, errdefs.ErrNotFound)
}

// AdditionalOf implements graphdriver.AdditionalLayers.
func (d *driver) AdditionalOf(_ context.Context, id graphdriver.ID) (graphdriver.AdditionalLayer, error) {
	l, err := d.find(id)
	if err != nil {
		return nil, err
	}
	path, err := l.additional()
	if err == nil && path == "" {
		err = fmt.Errorf("layer %s is of no additional layer store: %w", id, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return &additionalLayer{driver: d, path: path}, nil
}

// additional is the path in an additional layer store that the layer was made of; "" for
// an ordinary layer.
func (l layerDir) additional() (string, error) {
	text, err := os.ReadFile(l.path(additionalNote))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("layer %s: %w", l.id, err)
	case !filepath.IsAbs(string(text)):
		return "", damaged(l.path(additionalNote), errors.New("it is no absolute path"))
	}
	return string(text), nil
}

// additionalLayer is a directory of an additional layer store: diff, info and blob.
type additionalLayer struct {
	driver *driver
	path   string
}

func (a *additionalLayer) exists() (bool, error) {
	for _, name := range []string{"diff", "info"} {
		_, err := os.Stat(filepath.Join(a.path, name))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("additional layer: %w", err)
		}
	}
	return true, nil
}

func (a *additionalLayer) Info() (io.ReadCloser, error) {
	return os.Open(filepath.Join(a.path, "info"))
}
func (a *additionalLayer) Blob() (io.ReadCloser, error) {
	return os.Open(filepath.Join(a.path, "blob"))
}

// use announces the use to the store, which takes the attempt to make this file for it and
// lets it fail. A plain directory tree has nobody who listens.
func (a *additionalLayer) use() error {
	path := filepath.Join(a.path, "use")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	passing := []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, unix.EROFS}
	if slices.ContainsFunc(passing, func(e error) bool { return errors.Is(err, e) }) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("announce use of additional layer: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(path))
}

// Release tells the store by removing the directory, which a listening store does not let
// happen, and which a plain directory tree does not allow as it is not empty.
func (a *additionalLayer) Release() error {
	err := unix.Rmdir(a.path)
	passing := []error{unix.ENOENT, unix.ENOTEMPTY, unix.EEXIST, unix.EROFS, unix.EPERM, unix.EACCES}
	if err == nil || slices.ContainsFunc(passing, func(e error) bool { return errors.Is(err, e) }) {
		return nil
	}
	return fmt.Errorf("release additional layer: %w", &fs.PathError{Op: "rmdir", Path: a.path, Err: err})
}

// CreateAs makes a layer whose content is a link to the store's.
func (a *additionalLayer) CreateAs(ctx context.Context, id, parent graphdriver.ID) error {
	d := a.driver
	if err := d.Create(ctx, id, parent, graphdriver.CreateOptions{Image: true}); err != nil {
		return err
	}
	l, err := d.find(id)
	if err == nil {
		err = a.link(l)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("link to additional layer: %w", err), d.Remove(context.WithoutCancel(ctx), id))
	}
	return nil
}

func (a *additionalLayer) link(l layerDir) error {
	if err := os.Remove(l.diff()); err != nil {
		return err
	}
	if err := newNote(l.path(additionalNote), a.path); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(a.path, "diff"), l.diff()); err != nil {
		return err
	}
	if err := a.use(); err != nil || !a.driver.durable() {
		return err
	}
	return errors.Join(syncFile(l.path(additionalNote)), a.driver.syncDirs(l.dir()))
}

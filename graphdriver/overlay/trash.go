package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/tempdir"
)

// Remove unmounts and deletes the layer.
func (d *driver) Remove(ctx context.Context, id graphdriver.ID) error {
	remove, err := d.Trash(ctx, id)
	if err != nil {
		return err
	}
	return remove()
}

// Trash unmounts the layer and renames its directory into tempdirs, after its symbolic link.
// On a full disk, where there is no room for tempdirs, the directory stays in its place
// until the returned function deletes it. A layer of a read-only store is an ErrReadOnly, one
// whose mount point can not be freed an ErrInUse.
func (d *driver) Trash(ctx context.Context, id graphdriver.ID) (remove func() error, err error) {
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	h, err := d.homes.Writable(id)
	if errors.Is(err, errdefs.ErrNotFound) {
		d.counts.forget(id)
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	l := h.layer(id)
	if err := faults.Hit("overlay.release", l.home.path); err != nil {
		return nil, err
	}
	if err := d.release(l); err != nil {
		return nil, err
	}
	d.counts.forget(id)
	return d.trash(ctx, l)
}

// mountTries bounds the unmounting of mounts on top of each other.
const mountTries = 64

// release unmounts everything that engines mount in a layer's directory. What stays mounted
// there would be emptied when the layer is deleted, and it may be somebody else's.
func (d *driver) release(l layerDir) error {
	points := []string{d.mountPoint(l), l.path("merged"), l.path("merged.1")}
	for _, pattern := range []string{"mapped/*", "composefs-layers/*"} {
		more, err := filepath.Glob(filepath.Join(escapeGlob(l.dir()), pattern))
		if err != nil {
			return err
		}
		points = append(points, more...)
	}
	for _, point := range points {
		if err := detachAll(point); err != nil {
			return err
		}
	}
	if d.mountPoint(l) != l.path("merged") {
		return d.leaveRunHome(l)
	}
	return nil
}

// escapeGlob makes a pattern that matches just the path.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func detachAll(point string) error {
	for range mountTries {
		mounted, err := mountapi.IsMountPoint(point)
		if err != nil || !mounted {
			return err
		}
		if err := mountapi.Detach(point); err != nil {
			return err
		}
	}
	return fmt.Errorf("something is mounted at %s again and again: %w", point, errdefs.ErrInUse)
}

// trash takes the layer's link and directory away.
func (d *driver) trash(ctx context.Context, l layerDir) (removeTree func() error, err error) {
	if err := faults.Hit("overlay.unlink", l.home.path); err != nil {
		return nil, err
	}
	links, err := linksTo(l)
	if err == nil {
		err = removeLinks(l, links)
	}
	if err != nil {
		return nil, err
	}
	d.releaseAdditional(ctx, l)
	temp, err := tempdir.New(l.home.Temp())
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return func() error { return tempdir.RemoveTree(l.dir()) }, nil
	}
	if err != nil {
		return nil, err
	}
	if err := faults.Hit("overlay.trash", l.home.path); err != nil {
		return nil, errors.Join(err, temp.Close())
	}
	err = steadily(func() error {
		_, err := temp.Trash(l.dir())
		return err
	})
	if err == nil {
		err = removeLinks(l, links) // who stages a layer mends links, and knows of no deletion
	}
	if err != nil {
		return nil, errors.Join(err, temp.Close())
	}
	if err := d.syncDirs(l.home.linkDir(), l.home.path, temp.Path()); err != nil {
		return nil, errors.Join(err, temp.Close())
	}
	return temp.Close, nil
}

// linksTo returns the name of the symbolic link that the layer goes by. When the layer's note
// is lost, all links are looked through for those that lead to it.
func linksTo(l layerDir) ([]linkID, error) {
	link, err := l.link()
	if err == nil {
		return []linkID{link}, nil
	}
	if ignoreDamage(err) != nil {
		return nil, err
	}
	names, _, err := l.home.links()
	return names[l.id], err
}

func removeLinks(l layerDir, links []linkID) error {
	for _, link := range links {
		if err := removeLink(l, link); err != nil {
			return err
		}
	}
	return nil
}

// removeLink removes a link unless it leads to another layer.
func removeLink(l layerDir, link linkID) error {
	text, err := os.Readlink(l.home.symlink(link))
	if err != nil || text != target(l.id) {
		return nil //nolint:nilerr // no link of this layer
	}
	return remove(l.home.symlink(link))
}

// releaseAdditional tells an additional layer store that its layer is not used any more
// (on-disk format, 4.11). It is a courtesy: the store may be gone.
func (d *driver) releaseAdditional(ctx context.Context, l layerDir) {
	path, err := l.additional()
	if err != nil || path == "" {
		return
	}
	if err := (&additionalLayer{driver: d, path: path}).Release(); err != nil {
		d.log.DebugContext(ctx, "release layer of additional layer store", "layer", l.id, "path", path, "error", err)
	}
}

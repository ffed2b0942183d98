package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
)

// whiteouts is how the layers of this driver mark deletions.
func (d *driver) whiteouts() archive.WhiteoutFormat {
	switch {
	case d.program != "" || d.wantsProgram:
		return archive.WhiteoutLiteral
	case d.rootless:
		return archive.WhiteoutUser
	}
	return archive.WhiteoutTrusted
}

// layerChanges are changes that were read off the layer's own directory.
type layerChanges struct {
	dir  string
	list []archive.Change
}

// own computes the changes of id from its directory and those below, without mounting
// anything. That is possible against the direct parent, as the layer's list has it, and
// against nothing for a layer that stands on nothing. ok is false when the trees have to be
// compared: for other parents, copies with other owners, and when the kernel has used
// redirects or left content behind (metacopy).
func (d *driver) own(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (c layerChanges, ok bool, err error) {
	l, below, ok, err := d.native(ctx, id, parent)
	if !ok || err != nil {
		return c, false, err
	}
	lowers, err := lowerDirs(below)
	if err != nil {
		return c, false, err
	}
	c.dir = l.diff()
	c.list, err = archive.OverlayChanges(ctx, c.dir, lowers, d.whiteouts(),
		archive.CompareOptions{Mapping: opts.Mapping, BaseMapping: opts.ParentMapping})
	if errors.Is(err, archive.ErrNeedsMount) {
		return c, false, nil
	}
	return c, err == nil, err
}

// native tells whether the layer's directory is its difference to parent.
func (d *driver) native(ctx context.Context, id, parent graphdriver.ID) (l layerDir, below []ancestor, ok bool, err error) {
	if l, err = d.find(id); err != nil {
		return l, nil, false, err
	}
	if parent != "" {
		if _, err := d.find(parent); err != nil {
			return l, nil, false, fmt.Errorf("parent: %w", err)
		}
	}
	if err := l.plain(); err != nil {
		return l, nil, false, err
	}
	if below, err = d.ancestors(ctx, l); err != nil {
		return l, nil, false, err
	}
	copies, err := l.copies()
	if err != nil || len(copies) > 0 || d.settings.forceMask != nil {
		return l, below, false, err
	}
	if len(below) == 0 {
		return l, below, parent == "", nil
	}
	return l, below, below[0].id == parent, nil
}

// Diff returns the changes as a tar. Everything that decides about its content is read before
// Diff returns, except for the content of files.
func (d *driver) Diff(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (io.ReadCloser, error) {
	c, ok, err := d.own(ctx, id, parent, opts)
	if err != nil {
		return nil, err
	}
	if !ok {
		return d.compared(id, opts).Diff(ctx, id, parent, opts)
	}
	pack := archive.PackOptions{Mapping: opts.Mapping, Whiteouts: d.whiteouts(), Logger: d.log}
	return pipe(ctx, func(ctx context.Context, w io.Writer) error {
		return archive.PackChanges(ctx, w, c.dir, c.list, pack)
	}), nil
}

// Changes lists the changes.
func (d *driver) Changes(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) ([]archive.Change, error) {
	c, ok, err := d.own(ctx, id, parent, opts)
	if err != nil {
		return nil, err
	}
	if !ok {
		return d.compared(id, opts).Changes(ctx, id, parent, opts)
	}
	return c.list, nil
}

// DiffSize adds the sizes of changed files up.
func (d *driver) DiffSize(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (int64, error) {
	c, ok, err := d.own(ctx, id, parent, opts)
	if err != nil {
		return 0, err
	}
	if !ok {
		return d.compared(id, opts).DiffSize(ctx, id, parent, opts)
	}
	return archive.ChangesSize(ctx, c.dir, c.list)
}

// DiffMounts reports whether Diff, Changes and DiffSize of id against parent mount a layer at
// its mount point, where others see it and can take it away. Without a mount program, and
// with a kernel that has detached mounts, they never do.
func (d *driver) DiffMounts(ctx context.Context, id, parent graphdriver.ID) (bool, error) {
	_, _, ok, err := d.native(ctx, id, parent)
	switch {
	case err != nil:
		return false, err
	case d.program != "":
		return !ok, nil
	case ok && d.features.nativeDiff():
		return false, nil
	}
	return !d.features.detached(), nil
}

// ApplyDiff unpacks into an existing layer, in place; the result is synced. When it fails
// half-way, so is the layer. Use Stage for layers that do not exist yet.
func (d *driver) ApplyDiff(ctx context.Context, id, _ graphdriver.ID, diff io.Reader, opts graphdriver.ApplyOptions) (int64, error) {
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return 0, err
	}
	defer unlock()
	l, err := d.find(id)
	if err == nil {
		err = l.fillable()
	}
	if err != nil {
		return 0, err
	}
	if err := faults.Hit("overlay.apply", l.home.path); err != nil {
		return 0, err
	}
	size, err := d.extract(ctx, l.diff(), diff, opts, false)
	if err != nil {
		return 0, err
	}
	return size, d.syncFilesystem(l.home)
}

// fillable makes sure that the layer's content is kept in its own directory.
func (l layerDir) fillable() error {
	if l.home.ReadOnly() {
		return fmt.Errorf("store %s: %w", l.home.path, errdefs.ErrReadOnly)
	}
	fi, err := os.Lstat(l.diff())
	if err == nil && !fi.IsDir() {
		err = fmt.Errorf("its content is in an additional layer store: %w", errdefs.ErrReadOnly)
	}
	return errors.Join(err, l.plain())
}

// extract unpacks a layer tar into a diff directory, whose files may be shared with another.
func (d *driver) extract(ctx context.Context, dir string, diff io.Reader, opts graphdriver.ApplyOptions, shared bool) (int64, error) {
	return archive.Extract(ctx, dir, diff, archive.ExtractOptions{
		Whiteouts: d.whiteouts(), Mapping: opts.Mapping, Limits: opts.Limits,
		IgnoreChownErrors: d.settings.ignoreChownErrors, ForceMode: d.settings.forceMask, NoDevices: d.rootless,
		Shared: shared,
	})
}

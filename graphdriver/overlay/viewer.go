package overlay

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/mountapi"
)

// viewer is the driver with other ideas of Get and Put, for one comparison: layers are mounted
// for it alone, attached nowhere. So comparing needs nobody's mount point, leaves nothing
// behind when the process dies, and goes on undisturbed when the layer is unmounted or
// deleted meanwhile. A layer that is mounted is looked at through a copy of that mount,
// since two overlays must not share an upper directory that is written to.
type viewer struct {
	*driver
	diff graphdriver.DiffOptions
	// top is the layer that is compared; the other one is its base.
	top graphdriver.ID

	mu sync.Mutex
	// trees are what gives each Get back, the last one last: a layer that is compared with
	// itself is got twice.
	trees map[graphdriver.ID][]func(ctx context.Context) error
}

var _ graphdriver.ProtoDriver = (*viewer)(nil)

// compared returns the differ that compares whole trees.
func (d *driver) compared(id graphdriver.ID, opts graphdriver.DiffOptions) graphdriver.Differ {
	v := &viewer{driver: d, diff: opts, top: id, trees: map[graphdriver.ID][]func(context.Context) error{}}
	return graphdriver.NaiveDiff(v, graphdriver.NaiveOptions{Logger: d.log})
}

// Get makes the layer visible to this viewer.
func (v *viewer) Get(ctx context.Context, id graphdriver.ID, opts graphdriver.MountOptions) (string, error) {
	opts.ReadOnly = true
	copied, err := v.copied(id)
	if err != nil {
		return "", err
	}
	if id == v.top && v.diff.ParentMapping.Empty() && !copied {
		opts.Mapping = v.shifted(opts)
	}
	path, put, err := v.view(ctx, id, opts)
	if err != nil {
		return "", err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.trees[id] = append(v.trees[id], put)
	return path, nil
}

// copied tells whether the layer holds copies of all that is below it, with owners of
// their own.
func (v *viewer) copied(id graphdriver.ID) (bool, error) {
	l, err := v.find(id)
	if err != nil {
		return false, err
	}
	copies, err := l.copies()
	return len(copies) > 0, err
}

// shifted: the files of a layer have the owners of its mapping and those below have not, so
// they are to be seen through a shift (on-disk format, 4.7).
func (v *viewer) shifted(opts graphdriver.MountOptions) idmap.Mapping {
	if v.diff.Mapping.Empty() || !v.CanShift(v.diff.Mapping) {
		return opts.Mapping
	}
	return v.diff.Mapping
}

// Put undoes the last Get of the layer.
func (v *viewer) Put(ctx context.Context, id graphdriver.ID) error {
	put := v.last(id)
	if put == nil {
		return nil
	}
	return put(ctx)
}

func (v *viewer) last(id graphdriver.ID) func(context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	got := v.trees[id]
	if len(got) == 0 {
		return nil
	}
	v.trees[id] = got[:len(got)-1]
	return got[len(got)-1]
}

// view shows a layer read-only, without its mount point if that can be.
func (d *driver) view(ctx context.Context, id graphdriver.ID, opts graphdriver.MountOptions) (path string, put func(context.Context) error, err error) {
	tree, err := d.viewTree(ctx, id, opts)
	if err == nil {
		return tree.Path(), func(context.Context) error { return tree.Close() }, nil
	}
	if !errors.Is(err, errNoView) {
		return "", nil, fmt.Errorf("mount layer %s: %w", id, err)
	}
	path, err = d.Get(ctx, id, opts)
	return path, func(ctx context.Context) error { return d.Put(ctx, id) }, err
}

// errNoView says that there are no detached mounts here.
var errNoView = errdefs.New(errdefs.ErrUnsupported, "layer can only be mounted at its mount point")

func (d *driver) viewTree(ctx context.Context, id graphdriver.ID, opts graphdriver.MountOptions) (*mountapi.Tree, error) {
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	l, err := d.find(id)
	if err != nil {
		return nil, err
	}
	mounted, err := alive(d.mountPoint(l))
	if err != nil {
		return nil, err
	}
	if mounted {
		return d.copyMount(l)
	}
	if d.program != "" {
		return nil, errNoView
	}
	return d.detached(ctx, l, opts)
}

// copyMount clones the layer's mount. It may have been unmounted a moment ago; what was cloned
// then is the empty directory, on the home's own file system.
func (d *driver) copyMount(l layerDir) (*mountapi.Tree, error) {
	t, err := mountapi.Clone(d.mountPoint(l))
	if err != nil {
		return nil, orNoView(err)
	}
	var own, below unix.Stat_t
	err = errors.Join(unix.Stat(t.Path(), &own), unix.Stat(l.dir(), &below))
	if err == nil && own.Dev == below.Dev {
		err = fmt.Errorf("layer was unmounted meanwhile: %w", errdefs.ErrInUse)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (d *driver) detached(ctx context.Context, l layerDir, opts graphdriver.MountOptions) (tree *mountapi.Tree, err error) {
	m, err := d.mountable(ctx, l, opts)
	if err != nil {
		return nil, err
	}
	defer m.shift.close()
	err = m.do(func(o *mountapi.Overlay) error {
		tree, err = d.mounter.OverlayTree(o)
		return err
	})
	return tree, orNoView(err)
}

// orNoView finds out whether err is the lack of detached mounts, for which EINVAL may stand,
// too: then mounting at the mount point decides.
func orNoView(err error) error {
	if errors.Is(err, mountapi.ErrNoTrees) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: %w", errNoView, err)
	}
	return err
}

package overlay

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/internal/homes"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
)

// mountPoint is where the layer is mounted: in its own directory, or in the run root for
// layers of other stores.
func (d *driver) mountPoint(l layerDir) string {
	if l.home.kind == primary {
		return l.path("merged")
	}
	return filepath.Join(d.runHome, string(l.id), "merged")
}

// Get mounts the layer, unless it is mounted already: then that mount is used, whatever its
// options are. Layers outside of the graph root are always mounted read-only. An
// errdefs.ErrCorrupt says that the driver's notes about the layer and its ancestors are
// damaged, see Heal.
func (d *driver) Get(ctx context.Context, id graphdriver.ID, opts graphdriver.MountOptions) (string, error) {
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return "", err
	}
	defer unlock()
	l, err := d.find(id)
	if err != nil {
		return "", err
	}
	point := d.mountPoint(l)
	mounted, err := alive(point)
	if err == nil && !mounted {
		err = d.mount(ctx, l, point, opts)
	}
	if err != nil {
		return "", err
	}
	d.counts.got(id, mounted)
	return point, nil
}

// alive reports whether there is a mount that works. A dead one, whose program has gone, is
// taken away.
func alive(point string) (bool, error) {
	mounted, err := mountapi.IsMountPoint(point)
	if err != nil || !mounted {
		return false, err
	}
	var st unix.Stat_t
	if err := unix.Stat(point, &st); errors.Is(err, unix.ENOTCONN) {
		return false, mountapi.Detach(point)
	}
	return true, nil
}

func (d *driver) mount(ctx context.Context, l layerDir, point string, opts graphdriver.MountOptions) error {
	if err := faults.Hit("overlay.mount", point); err != nil {
		return err
	}
	foreign, err := l.additional()
	if err != nil {
		return err
	}
	if l.home.kind != primary || foreign != "" {
		opts.ReadOnly = true
	}
	m, err := d.mountable(ctx, l, opts)
	if err != nil {
		return err
	}
	defer m.shift.close()
	if err := d.ensureHome(ctx); err != nil {
		return err
	}
	if err := faults.Hit("overlay.point", point); err != nil {
		return err
	}
	if err := d.makePoint(point, opts); err != nil {
		return err
	}
	if m.overlay.Upper != "" {
		if err := d.prepareUpper(l, opts); err != nil {
			return err
		}
	}
	if err := faults.Hit("overlay.attach", point); err != nil {
		return err
	}
	return d.attach(ctx, m, point, opts)
}

// emptyDir is a directory for layers with nothing below, made if it is missing.
func (d *driver) emptyDir(l layerDir, lowers int) (string, error) {
	if lowers > 0 {
		return "", nil
	}
	if has, err := l.has("empty"); has || err != nil {
		return l.path("empty"), err
	}
	path := filepath.Join(filepath.Dir(d.mountPoint(l)), "empty")
	return path, os.MkdirAll(path, 0o700)
}

// makePoint makes the mount point if it is missing: old engines remove it on unmount.
func (d *driver) makePoint(point string, opts graphdriver.MountOptions) error {
	if err := os.MkdirAll(filepath.Dir(point), 0o700); err != nil {
		return err
	}
	err := os.Mkdir(point, 0o700)
	if err != nil {
		if exists, dirErr := homes.IsDir(point); exists && dirErr == nil {
			return nil
		}
		return err
	}
	uid, gid, err := opts.Mapping.RootPair()
	if err != nil {
		return err
	}
	return d.chown(point, uid, gid)
}

// prepareUpper removes the mark that keeps the kernel from mounting a layer again that was
// mounted volatile, and makes the work directory if it is missing. With an ID shift by the
// kernel the upper directory, which is not shifted, has to belong to the mapped root.
func (d *driver) prepareUpper(l layerDir, opts graphdriver.MountOptions) error {
	if err := os.RemoveAll(l.path("work/work/incompat/volatile")); err != nil {
		return err
	}
	if err := mkdir(l.path("work"), 0o700); err != nil {
		return err
	}
	if opts.Mapping.Empty() || d.program != "" {
		return nil
	}
	uid, gid, err := opts.Mapping.RootPair()
	if err != nil {
		return err
	}
	return errors.Join(giveTo(l.diff(), uid, gid), giveTo(l.path("work"), uid, gid))
}

// giveTo changes the owner if it is another one.
func giveTo(path string, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	if int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	return os.Lchown(path, uid, gid)
}

func (d *driver) attach(ctx context.Context, m *mountable, point string, opts graphdriver.MountOptions) error {
	if d.program != "" {
		return d.runProgram(ctx, &m.overlay, point, opts)
	}
	return m.do(func(o *mountapi.Overlay) error { return d.mounter.Overlay(o, point) })
}

// Put undoes a Get; the last one unmounts. The layer may have been removed since.
func (d *driver) Put(ctx context.Context, id graphdriver.ID) error {
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	l, err := d.find(id)
	if errors.Is(err, errdefs.ErrNotFound) {
		d.counts.forget(id)
		return nil
	}
	if err != nil {
		return err
	}
	if !d.counts.put(id) {
		return nil
	}
	return d.unmount(ctx, l)
}

func (d *driver) unmount(ctx context.Context, l layerDir) error {
	point := d.mountPoint(l)
	mounted, err := mountapi.IsMountPoint(point)
	if err != nil || !mounted {
		return err
	}
	if err := faults.Hit("overlay.unmount", point); err != nil {
		return err
	}
	if err := mountapi.Detach(point); err != nil {
		return err
	}
	if l.home.kind != primary {
		return d.leaveRunHome(l)
	}
	if err := renewPoint(l); err != nil {
		// The old directory does as well; only other mount namespaces may hold it.
		d.log.DebugContext(ctx, "renew mount point", "layer", l.id, "error", err)
	}
	return nil
}

// renewPoint replaces merged by a new directory (on-disk format, 4.5): copies of the mount in
// other mount namespaces hold on to the old one, which then goes with them.
func renewPoint(l layerDir) error {
	if err := faults.Hit("overlay.renew", l.home.path); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(l.path("merged"), &st); err != nil {
		return err
	}
	next := l.path("merged.1")
	if err := mkdir(next, 0o700); err != nil {
		return err
	}
	err := os.Lchown(next, int(st.Uid), int(st.Gid))
	if err == nil {
		err = unix.Rename(next, l.path("merged")) // os.Rename replaces no directory
	}
	if err != nil {
		return errors.Join(err, remove(next))
	}
	return nil
}

// leaveRunHome removes what mounting made in the run root, if it is empty.
func (d *driver) leaveRunHome(l layerDir) error {
	dir := filepath.Join(d.runHome, string(l.id))
	for _, path := range []string{filepath.Join(dir, "merged"), filepath.Join(dir, "empty"), dir} {
		if err := remove(path); err != nil {
			return err
		}
	}
	return nil
}

// Mounted asks the kernel about the layer's mount point only.
func (d *driver) Mounted(_ context.Context, id graphdriver.ID) (path string, mounted bool, err error) {
	l, err := d.find(id)
	if errors.Is(err, errdefs.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	point := d.mountPoint(l)
	mounted, err = mountapi.IsMountPoint(point)
	return point, mounted, err
}

package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/mountapi"
)

// probe is a directory to try things in. Probes return a *missingError for a no.
type probe struct {
	driver *driver
	dir    string
}

// path is in the probe's directory.
func (p *probe) path(names ...string) string {
	return filepath.Join(append([]string{p.dir}, names...)...)
}

func (p *probe) mkdir(names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(p.path(name), 0o755); err != nil { //nolint:gosec // the directory above is private
			return err
		}
	}
	return nil
}

// overlay is a read-write mount of lower directories with the driver's ways.
func (p *probe) overlay(options mountapi.Options, lowers ...string) (*mountapi.Overlay, error) {
	if err := p.mkdir(append(lowers, "upper", "work", "merged")...); err != nil {
		return nil, err
	}
	o := &mountapi.Overlay{Upper: p.path("upper"), Work: p.path("work"), Options: options}
	for _, name := range lowers {
		o.Lowers = append(o.Lowers, p.path(name))
	}
	if p.driver.rootless {
		o.Options.Set("userxattr")
	}
	return o, nil
}

// attr is the name of one of overlayfs' own attributes.
func (p *probe) attr(name string) string {
	if p.driver.rootless {
		return "user.overlay." + name
	}
	return "trusted.overlay." + name
}

// with runs look on the mounted overlay.
func (p *probe) with(o *mountapi.Overlay, look func(root string) error) (err error) {
	root, done, err := p.driver.look(o, p.path("merged"))
	if err != nil {
		return refused(err)
	}
	defer func() { err = errors.Join(err, done()) }()
	return look(root)
}

// look mounts o for this process alone, and returns the root of it. Where mounts can not be
// detached it is mounted at point.
func (d *driver) look(o *mountapi.Overlay, point string) (root string, done func() error, err error) {
	tree, err := d.mounter.OverlayTree(o)
	if err == nil {
		return tree.Path(), tree.Close, nil
	}
	if !errors.Is(orNoView(err), errNoView) {
		return "", nil, err
	}
	if err := d.mounter.Overlay(o, point); err != nil {
		return "", nil, err
	}
	return point, func() error { return mountapi.Detach(point) }, nil
}

func probeOverlay(p *probe) error {
	o, err := p.overlay(mountapi.Options{}, "lower2", "lower1")
	if err != nil {
		return err
	}
	typed, err := hasTypes(p.dir)
	if err != nil {
		return err
	}
	if !typed {
		return &missingError{
			class: graphdriver.ErrIncompatibleFS,
			err:   fmt.Errorf("%s does not tell the types of directory entries (d_type); XFS needs ftype=1", p.driver.backing),
		}
	}
	return p.with(o, func(string) error { return nil })
}

func probeDetached(p *probe) error {
	o, err := p.overlay(mountapi.Options{}, "lower")
	if err != nil {
		return err
	}
	tree, err := p.driver.mounter.OverlayTree(o)
	if err != nil {
		return missing(err)
	}
	return tree.Close()
}

// hasTypes reports whether reading the directory, which is not empty, gives the types of its
// entries.
func hasTypes(dir string) (bool, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer func() { _ = unix.Close(fd) }() // only read
	buf := make([]byte, 4096)
	n, err := unix.Getdents(fd, buf)
	if err != nil {
		return false, &os.PathError{Op: "getdents", Path: dir, Err: err}
	}
	// struct linux_dirent64: inode 8 bytes, offset 8, length 2, type 1, name.
	for at := 0; at+19 <= n; {
		length := int(buf[at+16]) | int(buf[at+17])<<8
		if buf[at+18] == unix.DT_UNKNOWN || length < 19 {
			return false, nil
		}
		at += length
	}
	return true, nil
}

// probeMetacopy: does a change of attributes leave the content below?
func probeMetacopy(p *probe) error {
	o, err := p.overlay(p.driver.settings.mount, "lower")
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.path("lower", "f"), []byte("content"), 0o600); err != nil {
		return err
	}
	err = p.with(o, func(root string) error { return os.Chmod(filepath.Join(root, "f"), 0o400) })
	if err != nil {
		return err
	}
	_, err = unix.Lgetxattr(p.path("upper", "f"), p.attr("metacopy"), nil)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return missing(errors.New(""))
	}
	return err
}

// probeNativeDiff: does the upper directory say everything about the changes? Opaque marks of
// lower directories must not be copied up, and directories must not be renamed by reference.
func probeNativeDiff(p *probe) error {
	o, err := p.overlay(p.driver.settings.mount, "lower2", "lower1")
	if err != nil {
		return err
	}
	if err := p.mkdir("lower1/d", "lower2/d"); err != nil {
		return err
	}
	if err := unix.Setxattr(p.path("lower2", "d"), p.attr("opaque"), []byte("y"), 0); err != nil {
		return missing(fmt.Errorf("mark a directory opaque: %w", err))
	}
	return p.with(o, p.changeOpaque)
}

func (p *probe) changeOpaque(root string) error {
	if err := os.WriteFile(filepath.Join(root, "d", "f"), nil, 0o600); err != nil {
		return missing(err)
	}
	value := make([]byte, 1)
	if n, err := unix.Lgetxattr(p.path("upper", "d"), p.attr("opaque"), value); err == nil && n == 1 && value[0] == 'y' {
		return missing(errors.New("opaque mark is copied up"))
	}
	err := os.Rename(filepath.Join(root, "d"), filepath.Join(root, "e"))
	if err == nil {
		return missing(errors.New("directories are renamed by redirects"))
	}
	if !errors.Is(err, unix.EXDEV) {
		return missing(err)
	}
	return nil
}

func probeVolatile(p *probe) error {
	o, err := p.overlay(mountapi.Options{Data: []string{"volatile"}}, "lower")
	if err != nil {
		return err
	}
	return p.with(o, func(string) error { return nil })
}

// probeMapping moves root.
func probeMapping() idmap.Mapping {
	one := []idmap.Range{{ContainerID: 0, HostID: 1, Size: 1}}
	return idmap.Mapping{UIDs: one, GIDs: one}
}

// probeIDMap mounts an overlay of a lower directory whose owners are shifted.
func probeIDMap(p *probe) error {
	o, err := p.overlay(mountapi.Options{}, "lower")
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.path("lower", "f"), nil, 0o600); err != nil {
		return err
	}
	ns, err := mountapi.UserNamespace(probeMapping())
	if err != nil {
		return missing(err)
	}
	m := &mountable{overlay: *o, shift: &idShift{dir: p.path("mapped"), ns: ns}}
	defer m.shift.close()
	if m.overlay.Lowers[0], err = m.shift.tree(p.path("lower")); err != nil {
		return refused(err)
	}
	return m.do(func(o *mountapi.Overlay) error { return p.with(o, isShifted) })
}

func isShifted(root string) error {
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, "f"), &st); err != nil {
		return missing(err)
	}
	if st.Uid != 1 || st.Gid != 1 {
		return missing(fmt.Errorf("a file of 0:0 shows as one of %d:%d instead of 1:1", st.Uid, st.Gid))
	}
	return nil
}

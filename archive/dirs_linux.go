package archive

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/rootfd"
)

// aclDefault is passed on to what is made inside a directory, so it has to wait.
const aclDefault = "system.posix_acl_default"

// lateDir is what a directory gets at the very end: its times, which change with
// every entry, and what would get in the way of making entries.
type lateDir struct {
	name         string
	atime, mtime time.Time
	mode         uint32
	setMode      bool
	acl          []byte
}

// setLate notes a directory, or notes it anew.
func (x *extractor) setLate(m *made, l lateDir) {
	if m.late == 0 {
		x.later = append(x.later, lateDir{})
		m.late = len(x.later)
	}
	x.later[m.late-1] = l
}

// directory unpacks a directory's entry.
func (x *extractor) directory(d *rootfd.Dir, it *item, base string) error {
	a, err := x.attrs.of(it)
	if err != nil {
		return err
	}
	sub, existed, err := x.makeDir(d, it.name, base, &a)
	if err != nil {
		return err
	}
	defer sub.Release()
	return x.dirEntry(sub, it.name, &a, existed)
}

// dirEntry gives a directory what its entry says. existed tells one that was
// there; it may have been this tar that made it.
func (x *extractor) dirEntry(d *rootfd.Dir, name string, a *attrs, existed bool) error {
	known := x.made[name] != nil
	m := x.have(name, madeDir)
	m.merged = m.merged || existed && !known
	if m.merged {
		if err := dropOldXattrs(rootfd.FD(d.FD()), a.xattrs); err != nil {
			return err
		}
	}
	return x.dirAttrs(d, m, name, a)
}

// dirAttrs sets what can be set now and notes the rest. d is open for reading.
func (x *extractor) dirAttrs(d *rootfd.Dir, m *made, name string, a *attrs) error {
	late := lateDir{name: name, atime: a.atime, mtime: a.mtime, mode: a.mode}
	now := *a
	if now.mode&0o700 != 0o700 { // an owner who is not root still has to get in
		now.mode |= 0o700
		late.setMode = true
	}
	if i := slices.IndexFunc(a.xattrs, func(xa xattr) bool { return xa.name == aclDefault }); i >= 0 {
		late.acl = []byte(a.xattrs[i].value)
		now.xattrs = slices.Delete(slices.Clone(a.xattrs), i, i+1)
	}
	x.setLate(m, late)
	if err := x.attrs.ownerAndMode(rootfd.FD(d.FD()), &now); err != nil {
		return err
	}
	return x.attrs.openXattrs(rootfd.FD(d.FD()), &now)
}

// finishDir sets what had to wait.
func (x *extractor) finishDir(l *lateDir) error {
	d, base, err := x.root.Parent(l.name)
	if err != nil {
		return err
	}
	defer d.Release()
	if l.acl != nil {
		if err := x.attrs.tolerate(aclDefault, d.Setxattr(base, aclDefault, l.acl)); err != nil {
			return err
		}
	}
	if l.setMode {
		if err := modeError(&attrs{mode: l.mode}, d.Chmod(base, l.mode)); err != nil {
			return err
		}
	}
	if err := d.Utimes(base, l.atime, l.mtime); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

// dropOldXattrs takes from a directory of before the xattrs that its new entry
// does not have, so that it becomes what an upper directory with that entry
// would show.
func dropOldXattrs(fd rootfd.FD, stay []xattr) error {
	names, err := fd.Listxattr()
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("list xattrs: %w", err)
	}
	for _, name := range names {
		if !belongsToContent(name) || slices.ContainsFunc(stay, func(xa xattr) bool { return xa.name == name }) {
			continue
		}
		if err := fd.Removexattr(name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove xattr %s: %w", name, err)
		}
	}
	return nil
}

// belongsToContent tells a layer's own xattrs from those of the host and of
// overlay file systems.
func belongsToContent(name string) bool {
	switch {
	case strings.HasPrefix(name, "user.overlay."), strings.HasPrefix(name, "user.fuseoverlayfs."), name == overrideStat:
		return false
	}
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "system.posix_acl_")
}

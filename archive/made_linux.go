package archive

import (
	"errors"
	"fmt"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
)

// madeKind is what a tar put at a name.
type madeKind uint8

const (
	madeDir     madeKind = iota + 1 // a directory, by its own entry
	madeParent                      // a directory, because something is inside it
	madeOther                       // anything else
	madeGone                        // a whiteout
	madeSkipped                     // a device that was left out
)

// made is what is known of a name that this tar brought.
type made struct {
	kind madeKind
	// merged: a directory that was there before and may hold what was there.
	merged bool
	// device: a whiteout that came as overlayfs has it, which may have several names.
	device bool
	// queue is the worker that makes the object, or noQueue if it is there already.
	queue int
	// late is the directory's place in extractor.later, plus one.
	late int
}

func (m *made) isDir() bool { return m != nil && (m.kind == madeDir || m.kind == madeParent) }

// have notes an object under its name; one that was noted keeps its history.
func (x *extractor) have(name string, kind madeKind) *made {
	m := x.made[name]
	if m == nil {
		m = &made{}
		x.made[name] = m
	}
	m.kind, m.queue = kind, noQueue
	return m
}

// parent opens the directory for an entry, and makes it if it is missing. The
// caller releases it.
func (x *extractor) parent(dir string, it *item) (*rootfd.Dir, error) {
	if !x.made[dir].isDir() {
		if err := x.ensureDir(dir, it); err != nil {
			return nil, err
		}
	}
	return x.root.Dir(dir)
}

// ensureDir makes sure of a directory that something goes into, and of those
// above it.
func (x *extractor) ensureDir(dir string, it *item) error {
	m := x.made[dir]
	switch {
	case m.isDir():
		return nil
	case m != nil && m.kind != madeGone:
		return fmt.Errorf("%w layer: its own %s is in the way and is not a directory", errdefs.ErrInvalid, dir)
	case dir == ".":
		st, err := x.root.Lstat(".")
		if err != nil {
			return err
		}
		x.found(dir, &st)
		return nil
	}
	above, base := rootfd.Split(dir)
	if err := x.ensureDir(above, it); err != nil {
		return err
	}
	d, err := x.root.Dir(above)
	if err != nil {
		return err
	}
	defer d.Release()
	st, err := d.Lstat(base)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		x.found(dir, &st)
		return nil
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return inDir(dir, err)
	}
	return inDir(dir, x.implied(d, dir, base, it))
}

// found notes a directory of before. It keeps its times unless the tar has an
// entry for it.
func (x *extractor) found(dir string, st *unix.Stat_t) {
	m := x.have(dir, madeParent)
	m.merged = true
	x.setLate(m, lateDir{name: dir, atime: time.Unix(st.Atim.Unix()), mtime: time.Unix(st.Mtim.Unix())})
}

// implied makes a parent that the tar has no entry for so far. It gets the time
// of what is put into it, so that the same tar always gives the same tree.
func (x *extractor) implied(d *rootfd.Dir, dir, base string, it *item) error {
	a, err := x.attrs.ofParent(it)
	if err != nil {
		return err
	}
	sub, _, err := x.makeDir(d, dir, base, &a)
	if err != nil {
		return err
	}
	defer sub.Release()
	return x.dirAttrs(sub, x.have(dir, madeParent), dir, &a)
}

// makeDir makes a directory and opens it. One that is there stays, and existed
// is set; anything else of that name goes. Where that was a whiteout, of this tar
// or of an earlier one, the directory hides what the layers below have in theirs.
func (x *extractor) makeDir(d *rootfd.Dir, name, base string, a *attrs) (sub *rootfd.Dir, existed bool, err error) {
	m := x.made[name]
	hide := m != nil && m.kind == madeGone
	mkdir := func() error { return d.Mkdir(base, a.createMode()|0o700) }
	if err = mkdir(); errors.Is(err, unix.EEXIST) {
		st, statErr := d.Lstat(base)
		if existed = statErr == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR; existed {
			err = nil
		} else {
			hide = hide || statErr == nil && isWhiteoutDevice(&st)
			err = replacing(d, base, mkdir)
		}
	}
	if err != nil {
		return nil, false, err
	}
	if hide {
		if err := x.markOpaque(name); err != nil {
			return nil, false, err
		}
	}
	if sub, err = d.OpenDir(base); err == nil {
		x.root.Keep(name, sub)
	}
	return sub, existed, err
}

// isWhiteoutDevice reports whether an object is overlayfs's mark for a deleted
// name. In a complete tree it is a strange device and nothing more; marking a
// directory opaque does nothing there.
func isWhiteoutDevice(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// replacing makes an object, after removing what is in its way.
func replacing(d *rootfd.Dir, base string, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := d.RemoveAll(base); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return create()
}

// conflict refuses an object where this tar has put a directory: what is inside
// would be lost, and with it the tar's exact bytes.
func (x *extractor) conflict(name string) error {
	if x.made[name].isDir() {
		return fmt.Errorf("%w layer: it has entries inside this name too", errdefs.ErrInvalid)
	}
	return nil
}

// inDir says that an error is another directory's than the entry's own.
func inDir(dir string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("directory %s: %w", path.Clean(dir), err)
}

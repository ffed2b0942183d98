package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
)

// The opaque marks of overlayfs (Documentation/filesystems/overlayfs.rst).
const (
	opaqueTrusted = "trusted.overlay.opaque"
	opaqueUser    = "user.overlay.opaque"
)

// whiteout deletes what was there before this tar. What the tar itself brings,
// earlier or later, stays: a whiteout of a directory that it brings too empties
// that directory of everything else.
func (x *extractor) whiteout(it *item, dir, base string) error {
	target := strings.TrimPrefix(base, whiteoutPrefix)
	switch {
	case base == whiteoutOpaque:
		return x.opaque(it, dir)
	case strings.HasPrefix(base, whiteoutMeta):
		return nil // aufs's own; a name like that is in no tree
	case target == "" || target == "." || target == "..":
		return fmt.Errorf("%w whiteout", errdefs.ErrInvalid)
	}
	return x.hide(it, dir, target)
}

// isOverlayWhiteout reports whether an entry is what overlayfs itself takes for a
// deletion, as in a tar of an upper directory. Stored as a device it would delete
// with one driver and be a device with another.
func isOverlayWhiteout(hdr *tar.Header) bool {
	return hdr.Typeflag == tar.TypeChar && hdr.Devmajor == 0 && hdr.Devminor == 0
}

// deviceWhiteout is a whiteout in overlayfs's form.
func (x *extractor) deviceWhiteout(it *item, dir, base string) error {
	if err := x.hide(it, dir, base); err != nil {
		return err
	}
	if m := x.made[it.name]; m != nil && m.kind == madeGone {
		m.device = true
	}
	return nil
}

// hide deletes what was before this tar at target in dir.
func (x *extractor) hide(it *item, dir, target string) error {
	if x.gone(dir) {
		return nil
	}
	d, err := x.parent(dir, it)
	if err != nil {
		return err
	}
	defer d.Release()
	name := path.Join(dir, target)
	m := x.made[name]
	switch {
	case m.isDir():
		return x.hideBelow(name, m)
	case m != nil:
		return nil
	}
	if err := x.remove(d, it, target); err != nil {
		return err
	}
	x.have(name, madeGone)
	return nil
}

// opaque deals with the mark that empties a directory of what was there before.
func (x *extractor) opaque(it *item, dir string) error {
	if x.gone(dir) {
		return nil
	}
	d, err := x.parent(dir, it)
	if err != nil {
		return err
	}
	d.Release()
	return x.hideBelow(dir, x.made[dir])
}

// gone reports whether a directory went with a whiteout of this tar.
func (x *extractor) gone(dir string) bool {
	for ; dir != "."; dir, _ = rootfd.Split(dir) {
		if m := x.made[dir]; m != nil {
			return m.kind == madeGone
		}
	}
	return false
}

// remove deletes in the tree's own way.
func (x *extractor) remove(d *rootfd.Dir, it *item, base string) error {
	if x.opts.Whiteouts == WhiteoutNone {
		if err := d.RemoveAll(base); !errors.Is(err, unix.ENOENT) {
			return err
		}
		return nil
	}
	a, err := x.attrs.of(it)
	if err != nil {
		return err
	}
	a.mode, a.xattrs = 0, nil
	if err := replacing(d, base, func() error { return d.Mknod(base, unix.S_IFCHR, 0) }); err != nil {
		return fmt.Errorf("make overlay whiteout: %w", err)
	}
	return x.attrs.named(d, base, &a)
}

// hideBelow empties a directory of everything that this tar did not bring, in
// the layers below and in the tree itself.
func (x *extractor) hideBelow(dir string, m *made) error {
	if err := x.markOpaque(dir); err != nil {
		return err
	}
	return x.purge(dir, m)
}

// markOpaque hides what the layers below have in a directory.
func (x *extractor) markOpaque(dir string) error {
	mark := ""
	switch x.opts.Whiteouts {
	case WhiteoutTrusted:
		mark = opaqueTrusted
	case WhiteoutUser:
		mark = opaqueUser
	default:
		return nil
	}
	if err := x.root.Setxattr(dir, mark, []byte("y")); err != nil {
		return fmt.Errorf("mark directory opaque: %w", err)
	}
	return nil
}

// purge removes from a directory of before what this tar did not bring. A
// directory is purged once at most, so a tar full of marks costs no more than
// the entries there are.
func (x *extractor) purge(dir string, m *made) error {
	if !m.merged {
		return nil
	}
	m.merged = false
	d, err := x.root.Dir(dir)
	if err != nil {
		return err
	}
	defer d.Release()
	var inside []string
	err = d.Empty(func(base string) bool {
		name := path.Join(dir, base)
		kept := x.made[name]
		if kept.isDir() && kept.merged {
			inside = append(inside, name)
		}
		return kept != nil
	})
	for _, name := range inside {
		if err == nil {
			err = x.purge(name, x.made[name])
		}
	}
	return err
}

package ontop

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ChangeKind says what happened to a path.
type ChangeKind byte

// The kinds, by the letters that docker diff prints.
const (
	Added    ChangeKind = 'A'
	Modified ChangeKind = 'C'
	Deleted  ChangeKind = 'D'
)

func (k ChangeKind) String() string { return string(rune(k)) }

// Change is one path that differs from the base. Path is absolute within the volume.
type Change struct {
	Kind ChangeKind
	Path string
}

// Diff lists what the volume changed on top of its base, sorted by path. A directory whose
// content changed is Modified too; of a deleted one only the directory itself is listed.
// It works while the volume is in use; what changes meanwhile may be missing.
func (d *Driver) Diff(ctx context.Context, name string) ([]Change, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	p := d.place(name)
	unlock, m, err := p.lock(ctx, false)
	if err == nil && m.Image != "" {
		// The image's mount is taken and given back here: by one at a time.
		unlock()
		unlock, m, err = p.lock(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	base, err := d.base(ctx, p, m)
	if err != nil {
		return nil, err
	}
	w := &differ{upper: p.path(upperDir), base: base}
	err = w.directory(ctx, "", true)
	if !isOverlay(p.path(mountDir)) {
		err = errors.Join(err, d.releaseBase(ctx, p, m))
	}
	if err != nil {
		return nil, d.internal("compare with the base", err)
	}
	slices.SortFunc(w.changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return w.changes, nil
}

type differ struct {
	upper, base string
	changes     []Change
}

func (w *differ) add(kind ChangeKind, path string) {
	w.changes = append(w.changes, Change{kind, path})
}

// directory compares one directory of the upper tree. inBase is false where the base has
// nothing, or nothing that shows.
func (w *differ) directory(ctx context.Context, dir string, inBase bool) error {
	entries, err := os.ReadDir(filepath.Join(w.upper, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if inBase && isOpaque(filepath.Join(w.upper, dir)) {
		w.hiddenBelow(dir, entries)
		inBase = false
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(ctx, dir+"/"+e.Name(), inBase); err != nil {
			return err
		}
	}
	return nil
}

func (w *differ) entry(ctx context.Context, path string, inBase bool) error {
	upper, err := os.Lstat(filepath.Join(w.upper, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	base, err := os.Lstat(filepath.Join(w.base, path))
	there := inBase && err == nil
	switch {
	case isWhiteout(upper):
		if there {
			w.add(Deleted, path)
		}
		return nil
	case !there:
		w.add(Added, path)
	case !same(upper, base):
		w.add(Modified, path)
	}
	if upper.IsDir() {
		return w.directory(ctx, path, there && base.IsDir())
	}
	return nil
}

// hiddenBelow lists what an opaque directory hides and does not have anew.
func (w *differ) hiddenBelow(dir string, upper []os.DirEntry) {
	base, err := os.ReadDir(filepath.Join(w.base, dir))
	if err != nil {
		return
	}
	for _, e := range base {
		if !slices.ContainsFunc(upper, func(u os.DirEntry) bool { return u.Name() == e.Name() }) {
			w.add(Deleted, dir+"/"+e.Name())
		}
	}
}

// isWhiteout: overlayfs marks a deletion by a character device 0:0 (overlayfs.rst).
func isWhiteout(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&os.ModeCharDevice != 0 && st.Rdev == 0
}

func isOpaque(dir string) bool {
	var value [1]byte
	n, err := unix.Lgetxattr(dir, "trusted.overlay.opaque", value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

// same reports whether a copy in the upper directory tells of no change.
func same(a, b os.FileInfo) bool {
	x, okX := a.Sys().(*syscall.Stat_t)
	y, okY := b.Sys().(*syscall.Stat_t)
	return okX && okY && x.Mode == y.Mode && x.Uid == y.Uid && x.Gid == y.Gid &&
		x.Mtim == y.Mtim && (a.IsDir() || x.Size == y.Size && x.Rdev == y.Rdev)
}

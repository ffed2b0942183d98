package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// PackChanges writes the changed paths of the tree dir as an uncompressed tar,
// which makes the new tree of the old one that the changes were taken against.
// dir is a tree that holds everything Added or Modified: a complete one, or the
// upper directory that OverlayChanges was given.
//
// The bytes depend on nothing but the changes and the content of the tree; they
// are the same on every driver. The form is the one that the other engines give
// to the diff of an overlay (on-disk format, 6.4), other than where it is said:
//
//   - entries in the order of a walk that takes the names of each directory
//     sorted by bytes, whatever the order of changes;
//   - names without a leading slash, directories with a trailing one; numeric,
//     container-side owners and no user or group names;
//   - modification times in whole seconds, rounded down, and no other times. The
//     other engines write and compare these, so finer ones would give the same
//     container two digests; Compare knows that such times prove nothing;
//   - the first of an inode's names in the tar is the file, the others are hard
//     links to it; a link to a file that did not change becomes a file;
//   - security.capability, security.ima and user.*, without user.overlay.*, as
//     PAX records SCHILY.xattr.*;
//   - a deletion is an empty file ".wh.NAME" with mode 0, owner 0:0 and the time
//     of the directory that it stands in, in the root 0. The others write the
//     time of overlay's mark, which is the same unless the directory was changed
//     again, and on vfs the time of the day;
//   - there are no opaque marks (see Compare), and nothing for what was copied up
//     without a change;
//   - PAX records only where the plain header can not hold a value, in raw bytes
//     if a name is not UTF-8; two zero blocks at the end.
//
// Sockets, character devices 0:0, names that start with ".wh." and attributes
// with "=" in their name can not be in a layer tar; they are left out with a line
// in the log, as is a path that vanished meanwhile. If such a path is Modified,
// the old file is deleted. A file that can not be read is an error, while the
// other engines leave it out.
//
// A file whose size changes while it is read is padded with zeros or cut: the
// tar is written to its end, and then ErrFileChanged is returned. After any other
// error, and when ctx is cancelled, what was written is no whole tar.
func PackChanges(ctx context.Context, w io.Writer, dir string, changes []Change, opts PackOptions) error {
	changes, err := inOrder(changes)
	if err != nil {
		return err
	}
	root, err := openTree(dir)
	if err != nil {
		return err
	}
	parents := &parentDirs{root: root}
	defer parents.close()
	p := newPacker(w, opts)
	for _, change := range changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.change(ctx, parents, change); err != nil {
			return err
		}
	}
	return p.finish()
}

// change writes one change.
func (p *packer) change(ctx context.Context, parents *parentDirs, change Change) error {
	if change.Kind == Deleted {
		return p.delete(parents, change.Path)
	}
	var n node
	err := parents.lookup(change.Path, &n)
	ok := false
	if err == nil {
		ok, err = p.entry(ctx, &n, change.Path)
	}
	switch {
	case gone(err) || errors.Is(err, ErrFileChanged):
		p.log.Warn("path vanished while the layer was read", "path", change.Path)
	case err != nil:
		return err
	}
	if !ok && change.Kind == Modified {
		return p.delete(parents, change.Path)
	}
	return nil
}

// delete writes a whiteout.
func (p *packer) delete(parents *parentDirs, path string) error {
	sec, err := parents.mtime(path)
	if err != nil && !gone(err) {
		return err
	}
	return p.whiteout(path, sec)
}

// inOrder returns the changes in the order of a walk, each path once and well formed.
func inOrder(changes []Change) ([]Change, error) {
	byWalk := func(a, b Change) int { return walkOrder(a.Path, b.Path) }
	if !slices.IsSortedFunc(changes, byWalk) {
		changes = slices.SortedFunc(slices.Values(changes), byWalk)
	}
	for i, c := range changes {
		if !validPath(c.Path) {
			return nil, fmt.Errorf("%w: changed path %q", errdefs.ErrInvalid, c.Path)
		}
		if i > 0 && changes[i-1].Path == c.Path {
			return nil, fmt.Errorf("%w: changed path %q is there twice", errdefs.ErrInvalid, c.Path)
		}
	}
	return changes, nil
}

// walkOrder compares paths as a walk meets them that goes into each directory at
// once: by bytes, with the slash before all others.
func walkOrder(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		switch {
		case a[i] == b[i]:
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		default:
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

// validPath reports whether a path is absolute, is not the root, and has only
// components that can be names.
func validPath(path string) bool {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	for name := range strings.SplitSeq(rest, "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	return true
}

// parentDirs opens the parents of sorted paths, none of them through a symbolic
// link, and keeps those of the last path open for the next.
type parentDirs struct {
	root  int
	names []string
	fds   []int
}

// lookup fills n with what is at path, which must be a valid one.
func (d *parentDirs) lookup(path string, n *node) error {
	dir, base := splitPath(path)
	fd, err := d.open(dir)
	if err != nil {
		return pathError("open", dir, err)
	}
	return pathError("lstat", path, n.lookup(fd, base))
}

// mtime returns the time of the directory that path is in, in seconds; 0 for the
// root, of which a diff says nothing.
func (d *parentDirs) mtime(path string) (sec int64, err error) {
	dir, _ := splitPath(path)
	if dir == "" {
		return 0, nil
	}
	fd, err := d.open(dir)
	if err != nil {
		return 0, pathError("open", dir, err)
	}
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstat(fd, &st) })
	return st.Mtim.Sec, pathError("stat", dir, err)
}

// open returns a descriptor for the directory, valid until the next call.
func (d *parentDirs) open(dir string) (int, error) {
	depth := 0
	for rest := strings.TrimPrefix(dir, "/"); rest != ""; depth++ {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if depth < len(d.names) && d.names[depth] == name {
			continue
		}
		d.cut(depth)
		if err := d.push(name); err != nil {
			return -1, err
		}
	}
	d.cut(depth)
	return d.top(), nil
}

func (d *parentDirs) push(name string) error {
	if len(d.fds) >= maxTreeDepth {
		return errTooDeep
	}
	fd, err := openAt(d.top(), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	d.names, d.fds = append(d.names, name), append(d.fds, fd)
	return nil
}

func (d *parentDirs) top() int {
	if len(d.fds) == 0 {
		return d.root
	}
	return d.fds[len(d.fds)-1]
}

// cut closes what is deeper than depth. Nothing was written through these.
func (d *parentDirs) cut(depth int) {
	for len(d.fds) > depth {
		closeFD(d.fds[len(d.fds)-1])
		d.fds, d.names = d.fds[:len(d.fds)-1], d.names[:len(d.names)-1]
	}
}

func (d *parentDirs) close() {
	d.cut(0)
	closeFD(d.root)
}

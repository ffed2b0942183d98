package archive

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// OverlayChanges lists what an overlay's upper directory changed against the
// layers below it, nearest parent first, sorted by path byte by byte. The
// format is that of all of them. Nothing is mounted and only paths that the
// upper directory has are looked at.
//
// The list is the very one that Compare gives for the mounted trees with and
// without the upper directory; its rules are written there. So, other than in
// the marks themselves:
//
//   - a whiteout of a name that is not visible below is no change;
//   - an opaque directory is no change by itself: the kernel also marks new
//     directories. What it hides is Deleted name by name, unless the upper
//     directory has the name again, and then the two files are compared;
//   - a file that was copied up but is equal to the one below is no change, and
//     neither is its directory.
//
// An upper directory, or a directory below it that matters, with redirects, and
// one with files of which only the attributes were copied up, gives
// ErrNeedsMount: then compare the mounted trees. An opaque mark on the root of a
// layer counts only with fuse-overlayfs; the kernel ignores it.
func OverlayChanges(ctx context.Context, upper string, lowers []string, format WhiteoutFormat, opts CompareOptions) ([]Change, error) {
	if format == WhiteoutNone {
		return nil, fmt.Errorf("%w: a complete tree is no upper directory", errdefs.ErrInvalid)
	}
	marks := newOverlayMarks(format)
	below, err := openLowers(lowers, marks)
	if err != nil {
		return nil, err
	}
	defer below.close()
	fd, err := openTree(upper)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	c := &overlayComparer{
		comparer: comparer{rule: newPairRule(opts, format)},
		marks:    marks, lowers: below,
	}
	if err := c.root(ctx, fd); err != nil {
		return nil, err
	}
	sortChanges(c.changes)
	return c.changes, nil
}

// overlayComparer walks an upper directory.
type overlayComparer struct {
	comparer
	marks  *overlayMarks
	lowers *lowerLayers
}

func (c *overlayComparer) root(ctx context.Context, fd int) error {
	marks, err := c.marks.rootDirectory(fd)
	if err != nil {
		return pathError("read marks of", "/", err)
	}
	below, err := c.lowers.root()
	if err != nil {
		return err
	}
	return c.directory(ctx, "", fd, marks, below)
}

// directory records the changes in an open directory of the upper layer. below
// are the lower directories of that path, those behind an opaque mark included.
func (c *overlayComparer) directory(ctx context.Context, path string, fd int, marks dirMarks, below lowerDirs) error {
	names, err := listDir(fd)
	if err != nil {
		return pathError("list", orRoot(path), err)
	}
	hidden := c.marks.hidden(names)
	for name := range hidden {
		if err := c.whiteout(path+"/"+name, below); err != nil {
			return err
		}
	}
	for _, name := range names {
		if hidden[name] || c.marks.isMarkFile(name) {
			continue
		}
		if err := c.entry(ctx, path+"/"+name, fd, name, marks, below); err != nil {
			return err
		}
	}
	if !marks.opaque {
		return nil
	}
	return c.behindOpaque(path, below, func(name string) bool {
		_, found := slices.BinarySearch(names, name)
		return found || hidden[name]
	})
}

// behindOpaque records the names that only an opaque mark hides.
func (c *overlayComparer) behindOpaque(path string, below lowerDirs, inUpper func(name string) bool) error {
	names, err := c.lowers.names(below, path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !inUpper(name) {
			c.record(path+"/"+name, Deleted)
		}
	}
	return nil
}

// whiteout records a deletion if there was something to delete.
func (c *overlayComparer) whiteout(path string, below lowerDirs) error {
	place, err := c.lowers.find(below, path, new(node))
	if place >= 0 {
		c.record(path, Deleted)
	}
	return err
}

// entry records the changes of one name of the upper layer.
func (c *overlayComparer) entry(ctx context.Context, path string, dir int, name string, in dirMarks, below lowerDirs) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var n, old node
	if err := n.lookup(dir, name); err != nil {
		if gone(err) {
			return nil
		}
		return pathError("lstat", path, err)
	}
	white, err := c.marks.isWhiteout(&n, in)
	if err == nil && !white {
		err = c.marks.check(&n)
	}
	if err != nil {
		return pathError("read marks of", path, err)
	}
	if white {
		return c.whiteout(path, below)
	}
	place, err := c.lowers.find(below, path, &old)
	if err != nil {
		return err
	}
	if place < 0 {
		c.record(path, Added)
		return c.subdirectory(ctx, path, &n, nil)
	}
	return c.merged(ctx, path, &n, &old, below[place:])
}

// merged compares a name of the upper layer with the one that is visible below;
// below are the parent's directories from the layer on that has it.
func (c *overlayComparer) merged(ctx context.Context, path string, n, old *node, below lowerDirs) error {
	if err := c.marks.check(old); err != nil {
		return pathError("read marks below of", path, err)
	}
	changed, err := c.pair(ctx, path, n, old)
	if err != nil || !n.isDir() {
		return err
	}
	var inside lowerDirs
	if old.isDir() {
		if inside, err = c.lowers.below(below, path); err != nil {
			return err
		}
	}
	before := len(c.changes)
	err = c.subdirectory(ctx, path, n, inside)
	c.recordParent(path, changed, before)
	return err
}

// subdirectory goes down into n if it is a directory.
func (c *overlayComparer) subdirectory(ctx context.Context, path string, n *node, below lowerDirs) error {
	if !n.isDir() {
		return nil
	}
	marks, err := c.marks.directory(n)
	if err != nil {
		return pathError("read marks of", path, err)
	}
	return c.inside(path, n.dir, n.name, func(fd int) error {
		return c.directory(ctx, path, fd, marks, below)
	})
}

// splitPath cuts an absolute path before its last component; the directory is
// "" for the root.
func splitPath(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	return path[:i], path[i+1:]
}

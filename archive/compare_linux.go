package archive

import (
	"context"
	"errors"
)

// Compare lists what the tree dir changed against the tree base, sorted by path
// byte by byte; base "" stands for the empty tree. Neither tree is written to,
// and no symbolic link in them is followed.
//
// The list is a function of the two trees' contents only, so every driver gives
// the same one for the same change:
//
//   - a path that only dir has is Added, with everything below it;
//   - a path that only base has is Deleted, without anything below it;
//   - a path that both have is Modified if it differs in type, mode, owner
//     (container-side), modification time, device number, size (not for
//     directories), target (symbolic links), security.capability or a user.*
//     attribute; when a directory was replaced by something else, its former
//     content is not listed;
//   - a directory that is in both and has a change below it is Modified, too;
//   - the root is never listed.
//
// A directory that was removed and made again is not told apart from one that
// was emptied and filled: its former names are Deleted one by one and the new
// ones Added. The other engines list Delete for such a directory on overlay and
// single deletions on vfs; strata has the second form everywhere, because it is
// the one that both drivers can know, and because the OCI image specification
// (layer.md, "Opaque Whiteout") asks for explicit whiteouts.
//
// Modification times are equal when they are equal to the nanosecond, or when
// they agree in the second and one has no nanoseconds (a tree unpacked from an
// archive of whole seconds). In that case, and when both times are whole
// seconds, equal times prove nothing and the contents decide; see
// CompareOptions.TrustWholeSeconds. A pair with one device and inode is the same
// file and is not looked into.
//
// A path that vanishes during the walk counts as absent. Errors name the path
// inside of the layer; a cancelled call returns the context's error.
func Compare(ctx context.Context, dir, base string, opts CompareOptions) (changes []Change, err error) {
	c := &comparer{rule: newPairRule(opts, WhiteoutNone)}
	fd, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	if base == "" {
		err = c.added(ctx, "", fd)
	} else {
		err = c.withBase(ctx, fd, base)
	}
	if err != nil {
		return nil, err
	}
	sortChanges(c.changes)
	return c.changes, nil
}

// comparer walks trees and collects changes. Paths are those of directories
// inside of the layer, "" for the root.
type comparer struct {
	rule    *pairRule
	changes []Change
	descent
}

func (c *comparer) record(path string, kind ChangeKind) {
	c.changes = append(c.changes, Change{Path: path, Kind: kind})
}

func (c *comparer) withBase(ctx context.Context, fd int, base string) error {
	baseFD, err := openTree(base)
	if err != nil {
		return err
	}
	defer closeFD(baseFD)
	var now, old node
	if err := errors.Join(now.lookup(fd, "."), old.lookup(baseFD, ".")); err != nil {
		return err
	}
	if now.inode() == old.inode() {
		return nil
	}
	return c.directories(ctx, "", fd, baseFD)
}

// directories compares what is in two open directories of one path.
func (c *comparer) directories(ctx context.Context, path string, nowFD, oldFD int) error {
	now, err := listDir(nowFD)
	if err != nil {
		return pathError("list", orRoot(path), err)
	}
	old, err := listDir(oldFD)
	if err != nil {
		return pathError("list", orRoot(path), err)
	}
	for err == nil && len(now)+len(old) > 0 {
		switch {
		case len(old) == 0 || len(now) > 0 && now[0] < old[0]:
			err, now = c.onlyNow(ctx, path, nowFD, now[0]), now[1:]
		case len(now) == 0 || old[0] < now[0]:
			c.record(path+"/"+old[0], Deleted)
			err, old = ctx.Err(), old[1:]
		default:
			err, now, old = c.both(ctx, path, nowFD, oldFD, now[0]), now[1:], old[1:]
		}
	}
	return err
}

// added records everything in an open directory as new.
func (c *comparer) added(ctx context.Context, path string, fd int) error {
	names, err := listDir(fd)
	if err != nil {
		return pathError("list", orRoot(path), err)
	}
	for _, name := range names {
		if err := c.onlyNow(ctx, path, fd, name); err != nil {
			return err
		}
	}
	return nil
}

// onlyNow records a name that the older tree does not have.
func (c *comparer) onlyNow(ctx context.Context, dirPath string, dir int, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := dirPath + "/" + name
	var n node
	if err := n.lookup(dir, name); err != nil {
		if gone(err) {
			return nil
		}
		return pathError("lstat", path, err)
	}
	c.record(path, Added)
	if !n.isDir() {
		return nil
	}
	return c.newDir(ctx, path, dir, name)
}

// newDir records what is in a directory that the older tree does not have.
func (c *comparer) newDir(ctx context.Context, path string, dir int, name string) error {
	return c.inside(path, dir, name, func(fd int) error { return c.added(ctx, path, fd) })
}

// both compares a name that is in both directories.
func (c *comparer) both(ctx context.Context, dirPath string, nowFD, oldFD int, name string) error {
	var now, old node
	path := dirPath + "/" + name
	if err := old.lookup(oldFD, name); err != nil {
		return pathError("lstat", path, err)
	}
	if err := now.lookup(nowFD, name); err != nil {
		if gone(err) {
			c.record(path, Deleted)
			return nil
		}
		return pathError("lstat", path, err)
	}
	changed, err := c.pair(ctx, path, &now, &old)
	if err != nil || !now.isDir() || now.inode() == old.inode() {
		return err
	}
	before := len(c.changes)
	if old.isDir() {
		err = c.commonDir(ctx, path, nowFD, oldFD, name)
	} else {
		err = c.newDir(ctx, path, nowFD, name)
	}
	c.recordParent(path, changed, before)
	return err
}

// commonDir compares what is in a directory that both trees have.
func (c *comparer) commonDir(ctx context.Context, path string, nowFD, oldFD int, name string) error {
	return c.inside(path, nowFD, name, func(now int) error {
		return c.inside(path, oldFD, name, func(old int) error { return c.directories(ctx, path, now, old) })
	})
}

// pair compares one path that exists in both trees, not what is inside of it,
// and records a difference. A file that changes meanwhile differs.
func (c *comparer) pair(ctx context.Context, path string, now, old *node) (changed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	changed, err = c.rule.differ(ctx, now, old)
	if gone(err) || errors.Is(err, ErrFileChanged) {
		changed, err = true, nil
	}
	if changed {
		c.record(path, Modified)
	}
	return changed, pathError("compare", path, err)
}

// recordParent makes a directory Modified if something below it changed, that
// is if there are more changes than before, unless it is recorded already.
func (c *comparer) recordParent(path string, recorded bool, before int) {
	if !recorded && len(c.changes) > before {
		c.record(path, Modified)
	}
}

func orRoot(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

package archive

import "context"

// ChangesSize returns the bytes of content in the regular files that were Added
// or Modified, an inode with several names counted once. dir is a tree that has
// these files: a complete one or an overlay's upper directory. A path that
// vanished counts nothing. The number is the same on every driver.
func ChangesSize(ctx context.Context, dir string, changes []Change) (int64, error) {
	changes, err := inOrder(changes)
	if err != nil {
		return 0, err
	}
	root, err := openTree(dir)
	if err != nil {
		return 0, err
	}
	parents := &parentDirs{root: root}
	defer parents.close()
	sum := contentSum{}
	for _, change := range changes {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if change.Kind == Deleted {
			continue
		}
		var n node
		if err := parents.lookup(change.Path, &n); err != nil {
			if gone(err) {
				continue
			}
			return 0, err
		}
		sum.add(&n)
	}
	return sum.bytes, nil
}

// TreeSize returns the bytes of content in the regular files of a tree, an inode
// with several names counted once.
func TreeSize(ctx context.Context, dir string) (int64, error) {
	fd, err := openTree(dir)
	if err != nil {
		return 0, err
	}
	defer closeFD(fd)
	w := &treeSizer{}
	if err := w.directory(ctx, "", fd); err != nil {
		return 0, err
	}
	return w.sum.bytes, nil
}

// contentSum adds up file sizes.
type contentSum struct {
	bytes int64
	seen  map[inode]bool
}

func (s *contentSum) add(n *node) {
	if !n.isRegular() {
		return
	}
	if n.linked() {
		if s.seen[n.inode()] {
			return
		}
		if s.seen == nil {
			s.seen = make(map[inode]bool)
		}
		s.seen[n.inode()] = true
	}
	s.bytes += n.st.Size
}

// treeSizer walks a tree.
type treeSizer struct {
	sum contentSum
	descent
}

func (w *treeSizer) directory(ctx context.Context, path string, fd int) error {
	names, err := listDir(fd)
	if err != nil {
		return pathError("list", orRoot(path), err)
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		var n node
		if err := n.lookup(fd, name); err != nil {
			if gone(err) {
				continue
			}
			return pathError("lstat", path+"/"+name, err)
		}
		w.sum.add(&n)
		if n.isDir() {
			below := path + "/" + name
			if err := w.inside(below, fd, name, func(fd int) error { return w.directory(ctx, below, fd) }); err != nil {
				return err
			}
		}
	}
	return nil
}

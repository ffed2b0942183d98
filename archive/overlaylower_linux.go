package archive

// lowerLayers shows the layers below an upper directory as overlayfs merges
// them, without a mount. It holds one descriptor per layer; paths in them are
// taken one directory at a time from parents that were seen to be directories,
// and nobody writes to layers that have children.
type lowerLayers struct {
	roots []int
	marks *overlayMarks
}

// lowerDir is one layer's directory of a path.
type lowerDir struct {
	layer int
	marks dirMarks
}

// lowerDirs are the directories that are merged at a path, nearest parent
// first. The empty list stands for a path that no layer has as a directory.
type lowerDirs []lowerDir

// openLowers opens the layers, nearest parent first.
func openLowers(dirs []string, marks *overlayMarks) (*lowerLayers, error) {
	l := &lowerLayers{marks: marks}
	for _, dir := range dirs {
		fd, err := openTree(dir)
		if err != nil {
			l.close()
			return nil, err
		}
		l.roots = append(l.roots, fd)
	}
	return l, nil
}

func (l *lowerLayers) close() {
	for _, fd := range l.roots {
		closeFD(fd)
	}
	l.roots = nil
}

// root returns the directories that are merged at the root.
func (l *lowerLayers) root() (lowerDirs, error) {
	var dirs lowerDirs
	for layer, fd := range l.roots {
		marks, err := l.marks.rootDirectory(fd)
		if err != nil {
			return nil, pathError("read marks of", "/", err)
		}
		dirs = append(dirs, lowerDir{layer, marks})
		if marks.opaque {
			break
		}
	}
	return dirs, nil
}

// find looks up what is visible at path, of which dirs are the parent
// directory, and fills n with it. The place is the index in dirs of the layer
// that has it, -1 if nothing is visible. Paths start with a slash.
func (l *lowerLayers) find(dirs lowerDirs, path string, n *node) (place int, err error) {
	for i, d := range dirs {
		stop, err := l.lookup(d, path, n)
		if err != nil {
			return -1, pathError("look up below", path, err)
		}
		if n.name != "" {
			return i, nil
		}
		if stop {
			break
		}
	}
	return -1, nil
}

// lookup fills n from one layer; n.name is empty if the layer shows nothing
// there, and stop is true if it hides what is below.
func (l *lowerLayers) lookup(d lowerDir, path string, n *node) (stop bool, err error) {
	root := l.roots[d.layer]
	if l.marks.format == WhiteoutLiteral && new(node).lookup(root, literalWhiteout(path)) == nil {
		n.name = ""
		return true, nil
	}
	if err := n.lookup(root, path[1:]); err != nil {
		n.name = ""
		if gone(err) {
			return false, nil
		}
		return true, err
	}
	white, err := l.marks.isWhiteout(n, d.marks)
	if white || err != nil {
		n.name = ""
	}
	return true, err
}

// literalWhiteout returns the name of the file that would hide path, without
// the leading slash.
func literalWhiteout(path string) string {
	dir, base := splitPath(path)
	return (dir + "/" + whiteoutPrefix + base)[1:]
}

// below returns the directories that are merged at path. dirs are those of its
// parent from the first layer on that has path, which is a directory there.
func (l *lowerLayers) below(dirs lowerDirs, path string) (merged lowerDirs, err error) {
	for _, d := range dirs {
		var n node
		stop, err := l.lookup(d, path, &n)
		if err != nil {
			return nil, pathError("look up below", path, err)
		}
		if n.name == "" && !stop {
			continue
		}
		if n.name == "" || !n.isDir() {
			break
		}
		marks, err := l.marks.directory(&n)
		if err != nil {
			return nil, pathError("read marks of", path, err)
		}
		merged = append(merged, lowerDir{d.layer, marks})
		if marks.opaque {
			break
		}
	}
	return merged, nil
}

// names returns the names that are visible in the merged directories of path,
// each once, in no certain order.
func (l *lowerLayers) names(dirs lowerDirs, path string) ([]string, error) {
	var visible []string
	decided := make(map[string]bool)
	for _, d := range dirs {
		names, err := l.list(d, path)
		if err != nil {
			return nil, pathError("list", orRoot(path), err)
		}
		for name := range l.marks.hidden(names) {
			decided[name] = true
		}
		for _, name := range names {
			if decided[name] || l.marks.isMarkFile(name) {
				continue
			}
			decided[name] = true
			var n node
			if _, err := l.lookup(d, path+"/"+name, &n); err != nil {
				return nil, pathError("look up below", path+"/"+name, err)
			}
			if n.name != "" {
				visible = append(visible, name)
			}
		}
	}
	return visible, nil
}

func (l *lowerLayers) list(d lowerDir, path string) ([]string, error) {
	fd, err := openDir(l.roots[d.layer], "."+path)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	return listDir(fd)
}

package archive

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// Pack writes the tree dir as an uncompressed tar, in the form that is described
// at PackChanges. The root itself has no entry.
//
// With WhiteoutNone the tree is complete, and the bytes are those of PackChanges
// for all its paths. With another format dir is one layer of an overlay, and its
// marks become those of AUFS without a look at what they hide (on-disk format,
// 6.4, "overlay native"):
//
//   - a whiteout becomes an empty file ".wh.NAME" with mode 0 that keeps the
//     owner and the time of the mark;
//   - an opaque directory's entry is followed by ".wh..wh..opq" with the
//     directory's permission bits and owner and the time 0, if the path is
//     visible in the layers of opts.Lowers;
//   - redirects and files without content give ErrNeedsMount, when they are
//     reached.
//
// That is a faithful copy of one layer with its marks. It is not the diff that
// every driver gives; for this use OverlayChanges and PackChanges.
//
// Errors are those of PackChanges.
func Pack(ctx context.Context, w io.Writer, dir string, opts PackOptions) error {
	marks := newOverlayMarks(opts.Whiteouts)
	lowers, err := openLowers(opts.Lowers, marks)
	if err != nil {
		return err
	}
	defer lowers.close()
	fd, err := openTree(dir)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	p := &treePacker{packer: newPacker(w, opts), marks: marks, lowers: lowers}
	if err := p.root(ctx, fd); err != nil {
		return err
	}
	return p.finish()
}

// treePacker walks a whole tree.
type treePacker struct {
	*packer
	marks  *overlayMarks
	lowers *lowerLayers
	depth  int
}

// packDir is a directory whose entry is written.
type packDir struct {
	path  string
	marks dirMarks
	// below are the lower directories of the path.
	below lowerDirs
}

func (p *treePacker) root(ctx context.Context, fd int) error {
	marks, err := p.marks.rootDirectory(fd)
	if err != nil {
		return pathError("read marks of", "/", err)
	}
	below, err := p.lowers.root()
	if err != nil {
		return err
	}
	return p.directory(ctx, fd, packDir{marks: marks, below: below})
}

// directory writes what is in an open directory.
func (p *treePacker) directory(ctx context.Context, fd int, dir packDir) error {
	names, err := listDir(fd)
	if err != nil {
		return pathError("list", orRoot(dir.path), err)
	}
	hidden := p.marks.hidden(names)
	for _, name := range names {
		if hidden[name] {
			continue
		}
		sub, err := p.child(ctx, fd, name, dir)
		if err == nil && sub != nil {
			err = p.inside(ctx, fd, name, *sub)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inside opens a subdirectory of the open directory fd and packs its content.
func (p *treePacker) inside(ctx context.Context, fd int, name string, dir packDir) error {
	if p.depth >= maxTreeDepth {
		return pathError("open", dir.path, errTooDeep)
	}
	p.depth++
	defer func() { p.depth-- }()
	sub, err := openDir(fd, name)
	if err != nil {
		return p.unlessGone(dir.path, pathError("open", dir.path, err))
	}
	defer closeFD(sub)
	return p.directory(ctx, sub, dir)
}

// child writes the entry of one name; for a directory it returns what is needed
// to go on inside of it.
func (p *treePacker) child(ctx context.Context, fd int, name string, dir packDir) (*packDir, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := dir.path + "/" + name
	var n node
	if err := n.lookup(fd, name); err != nil {
		return nil, p.unlessGone(path, pathError("lstat", path, err))
	}
	done, err := p.mark(&n, path, dir.marks)
	if done || err != nil {
		return nil, err
	}
	ok, err := p.entry(ctx, &n, path)
	if err != nil || !ok || !n.isDir() {
		return nil, p.unlessGone(path, err)
	}
	return p.subdirectory(&n, path, dir.below)
}

// mark writes n as a whiteout if it is one, and drops other marks; done is true
// if n is no content.
func (p *treePacker) mark(n *node, path string, in dirMarks) (done bool, err error) {
	dir, base := splitPath(path)
	if p.marks.isMarkFile(base) {
		if strings.HasPrefix(base, whiteoutMeta) || !n.isRegular() {
			return true, nil // an opaque mark, or private to fuse-overlayfs or AUFS
		}
		return true, p.keptMark(n, path)
	}
	white, err := p.marks.isWhiteout(n, in)
	if err == nil && !white {
		err = p.marks.check(n)
	}
	switch {
	case err != nil:
		return true, pathError("read marks of", path, err)
	case !white:
		return false, nil
	case strings.HasPrefix(base, whiteoutPrefix):
		p.log.Warn("mark of AUFS left out of tar", "path", path)
		return true, nil
	}
	return true, p.keptMark(n, dir+"/"+whiteoutPrefix+base)
}

// keptMark writes a whiteout with the owner and time of the mark on disk. A mark
// that the kernel made may belong to nobody in the container, then it is root's.
func (p *treePacker) keptMark(n *node, path string) error {
	uid, gid, err := p.mapping.ToContainer(int(n.st.Uid), int(n.st.Gid))
	if err != nil {
		uid, gid = 0, 0
	}
	return p.writeHeader(&tar.Header{
		Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: path[1:],
		Uid: uid, Gid: gid, ModTime: time.Unix(n.st.Mtim.Sec, 0),
	})
}

// subdirectory reads the marks of a directory whose entry is written, and writes
// the opaque one.
func (p *treePacker) subdirectory(n *node, path string, below lowerDirs) (*packDir, error) {
	marks, err := p.marks.directory(n)
	if err != nil {
		return nil, pathError("read marks of", path, err)
	}
	sub := &packDir{path: path, marks: marks}
	var old node
	place, err := p.lowers.find(below, path, &old)
	if err != nil || place < 0 {
		return sub, err
	}
	if marks.opaque {
		if err := p.opaque(n, path); err != nil {
			return nil, err
		}
	}
	if old.isDir() {
		sub.below, err = p.lowers.below(below[place:], path)
	}
	return sub, err
}

func (p *treePacker) opaque(n *node, path string) error {
	uid, gid, err := p.mapping.ToContainer(int(n.st.Uid), int(n.st.Gid))
	if err != nil {
		return pathError("owner of", path, err)
	}
	return p.writeHeader(&tar.Header{
		Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: path[1:] + "/" + whiteoutOpaque,
		Mode: int64(n.st.Mode & 0o777), Uid: uid, Gid: gid, ModTime: time.Unix(0, 0),
	})
}

// unlessGone drops an error that says that the path vanished.
func (p *treePacker) unlessGone(path string, err error) error {
	if gone(err) || errors.Is(err, ErrFileChanged) {
		p.log.Warn("path vanished while the layer was read", "path", path)
		return nil
	}
	return err
}

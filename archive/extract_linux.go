package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
)

// openDirs is how many directories of the tree stay open.
const openDirs = 128

// Extract unpacks the layer tar diff into the directory dir and returns how many
// bytes its regular files have. diff is a *Stream or any other tar, and is read
// to its end.
//
// Every name is resolved beneath dir without following links. Names are taken
// relative to dir, with or without a leading slash; one that climbs out of it is
// errdefs.ErrInvalid, and so is one that passes through something that the same
// tar made and that is not a directory. What stood in the way before is removed,
// except that a directory stays if it is to be one. Deletions reach only what was
// there before, never what this tar brings, wherever in the tar they stand (OCI
// image spec, layer.md). Missing parents are made with mode 0755 and owned by
// root. Directories that the tar does not list keep their times. Never stored are
// overlayfs's own xattrs, and aufs's own files.
//
// dir must be private to the caller meanwhile. An error names the entry and the
// cause; what was unpacked by then stays behind, for the caller to throw away.
// One about what the tar asks for is an errdefs.ErrCorrupt besides its own kind.
// The context is looked at between entries and between the pieces of a large
// file.
func Extract(ctx context.Context, dir string, diff io.Reader, opts ExtractOptions) (size int64, err error) {
	s, ok := diff.(*Stream)
	if !ok {
		s = NewStream(diff, StreamOptions{Limits: opts.Limits})
	}
	root, err := rootfd.Open(dir, rootfd.Options{Cache: openDirs})
	if err != nil {
		return 0, fmt.Errorf("unpack layer: %w", err)
	}
	defer func() { _ = root.Close() }() // nothing is written through it
	x := &extractor{ctx: ctx, root: root, opts: opts, attrs: attrSetter{opts: &opts}, made: map[string]*made{}}
	x.pool = startWorkers(&x.attrs, opts.Workers)
	err = x.entries(s)
	if poolErr := x.pool.finish(); poolErr != nil {
		err = poolErr // where both are there, the other one followed from it
	}
	if err == nil {
		err = x.end()
	}
	if err == nil {
		err = s.Finish()
	}
	return x.size, aboutContent(err)
}

// aboutContent makes the error about a tar that asks for what can not be an errdefs.ErrCorrupt,
// too: it is the tar that is wrong, and not who unpacks it.
func aboutContent(err error) error {
	for _, kind := range []error{errdefs.ErrInvalid, unix.ENAMETOOLONG, unix.E2BIG} {
		if errors.Is(err, kind) {
			return &contentError{err}
		}
	}
	return err
}

type contentError struct{ error }

func (e *contentError) Unwrap() []error { return []error{e.error, errdefs.ErrCorrupt} }

// extractor is one call of Extract.
type extractor struct {
	ctx   context.Context //nolint:containedctx // lives as long as the call
	root  *rootfd.Root
	opts  ExtractOptions
	attrs attrSetter
	pool  *workers
	size  int64

	// made has what this tar put into the tree so far, by cleaned name.
	made map[string]*made
	// later are the directories whose times, and sometimes more, have to wait until
	// everything inside them is done.
	later []lateDir
}

// entries unpacks until the tar, the context or a worker says stop.
func (x *extractor) entries(s *Stream) error {
	for {
		if err := x.ctx.Err(); err != nil {
			return context.Cause(x.ctx)
		}
		it, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.entry(s, it); err != nil {
			return x.explain(s, it, err)
		}
	}
}

// explain names the entry, unless the tar itself broke off.
func (x *extractor) explain(s *Stream, it *item, err error) error {
	if s.err != nil && errors.Is(err, s.err) || errors.Is(err, errPoolStopped) {
		return err
	}
	return unpackError(it.name, err)
}

func unpackError(name string, err error) error { return fmt.Errorf("unpack %s: %w", name, err) }

// entry unpacks one entry.
func (x *extractor) entry(s *Stream, it *item) error {
	if it.hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if it.name == "." {
		return x.rootEntry(it)
	}
	dir, base := rootfd.Split(it.name)
	if x.opts.Whiteouts != WhiteoutLiteral {
		done, err := x.marks(it, dir, base)
		if done || err != nil {
			return err
		}
	}
	return x.object(s, it, dir, base)
}

// marks deals with what is no object of the tree: whiteouts and aufs's files.
func (x *extractor) marks(it *item, dir, base string) (done bool, err error) {
	if meta, links := metaPart(it.name); meta {
		return !links || it.hdr.Typeflag != tar.TypeReg && it.hdr.Typeflag != tar.TypeDir, nil
	}
	if strings.Contains(dir, whiteoutPrefix) && belowWhiteout(dir) {
		return false, fmt.Errorf("%w name: it lies below a whiteout", errdefs.ErrInvalid)
	}
	switch {
	case strings.HasPrefix(base, whiteoutPrefix):
		return true, x.whiteout(it, dir, base)
	case isOverlayWhiteout(it.hdr):
		return true, x.deviceWhiteout(it, dir, base)
	}
	return false, nil
}

// belowWhiteout reports whether a directory's name has a whiteout in it.
func belowWhiteout(dir string) bool {
	return strings.HasPrefix(dir, whiteoutPrefix) || strings.Contains(dir, "/"+whiteoutPrefix)
}

// object makes one object of the tree.
func (x *extractor) object(s *Stream, it *item, dir, base string) error {
	d, err := x.parent(dir, it)
	if err != nil {
		return err
	}
	defer d.Release()
	switch it.hdr.Typeflag {
	case tar.TypeDir:
		return x.directory(d, it, base)
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return x.file(s, d, it, base)
	case tar.TypeSymlink:
		return x.symlink(d, it, base)
	case tar.TypeLink:
		return x.hardlink(d, it, base)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return x.node(d, it, base)
	}
	return fmt.Errorf("tar entry type %q: %w", it.hdr.Typeflag, errdefs.ErrUnsupported)
}

// rootEntry applies an entry for the layer's own root.
func (x *extractor) rootEntry(it *item) error {
	if it.hdr.Typeflag != tar.TypeDir {
		return fmt.Errorf("%w layer: its root is not a directory", errdefs.ErrInvalid)
	}
	if !x.opts.ApplyRoot && x.opts.ForceMode == nil {
		return nil
	}
	d, err := x.root.Dir(".")
	if err != nil {
		return err
	}
	defer d.Release()
	a, err := x.attrs.of(it)
	if err != nil {
		return err
	}
	if !x.opts.ApplyRoot {
		return x.attrs.override(rootfd.FD(d.FD()), &a)
	}
	return x.dirEntry(d, it.name, &a, true)
}

// end sets what had to wait and removes aufs's files that were links' sources.
func (x *extractor) end() error {
	if x.made[whiteoutLinks] != nil && x.opts.Whiteouts != WhiteoutLiteral {
		if err := x.root.RemoveAll(whiteoutLinks); err != nil {
			return fmt.Errorf("unpack layer: %w", err)
		}
	}
	for i := len(x.later) - 1; i >= 0; i-- {
		l := &x.later[i]
		if meta, _ := metaPart(l.name); meta && x.opts.Whiteouts != WhiteoutLiteral {
			continue
		}
		if err := x.finishDir(l); err != nil {
			return unpackError(l.name, err)
		}
	}
	return nil
}

package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
)

// smallFile is the largest file that a worker writes from memory.
const smallFile = 64 << 10

// file unpacks a regular file: small ones by a worker, others right here.
func (x *extractor) file(s *Stream, d *rootfd.Dir, it *item, base string) error {
	if err := x.conflict(it.name); err != nil {
		return err
	}
	a, err := x.attrs.of(it)
	if err != nil {
		return err
	}
	m := x.have(it.name, madeOther)
	x.size += it.hdr.Size
	if it.sparse != nil || it.size > smallFile {
		return x.largeFile(s, d, it, base, &a)
	}
	j := newJob(jobFile, d, it.name, base, a)
	if it.size > 0 {
		j.content = buffers.get(int(it.size))
		if err := s.readContent(j.content.data); err != nil {
			j.free()
			return err
		}
	}
	m.queue, err = x.pool.submit(j, noQueue)
	return err
}

// readContent fills p, which is no longer than what is left.
func (s *Stream) readContent(p []byte) error {
	for len(p) > 0 {
		n, err := s.content(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// largeFile writes a file as it is read.
func (x *extractor) largeFile(s *Stream, d *rootfd.Dir, it *item, base string, a *attrs) error {
	fd, err := createFile(d, base, a)
	if err != nil {
		return err
	}
	if it.sparse != nil {
		err = x.writeSparse(s, fd, it)
	} else {
		err = x.write(s, fd, 0, it.size)
	}
	if err == nil {
		err = x.attrs.open(fd, a)
	}
	return errors.Join(err, fd.Close())
}

// createFile makes a regular file in place of whatever is there.
func createFile(d *rootfd.Dir, base string, a *attrs) (fd rootfd.FD, err error) {
	err = replacing(d, base, func() error {
		fd, err = d.Create(base, a.createMode())
		return err
	})
	return fd, err
}

// writeSparse writes the extents and leaves the rest a hole.
func (x *extractor) writeSparse(s *Stream, fd rootfd.FD, it *item) error {
	for _, e := range it.sparse {
		if err := x.write(s, fd, e.offset, e.length); err != nil {
			return err
		}
	}
	return fd.Truncate(it.hdr.Size)
}

// write moves n bytes of content to an offset.
func (x *extractor) write(s *Stream, fd rootfd.FD, offset, n int64) error {
	buf := buffers.get(copySize)
	defer buffers.put(buf)
	for n > 0 {
		if x.ctx.Err() != nil {
			return context.Cause(x.ctx)
		}
		p := buf.data[:min(n, copySize)]
		if err := s.readContent(p); err != nil {
			return err
		}
		if _, err := fd.WriteAt(p, offset); err != nil {
			return err
		}
		offset += int64(len(p))
		n -= int64(len(p))
	}
	return nil
}

// symlink unpacks a symbolic link. What it says is never looked at.
func (x *extractor) symlink(d *rootfd.Dir, it *item, base string) error {
	if err := x.conflict(it.name); err != nil {
		return err
	}
	a, err := x.attrs.of(it)
	if err != nil {
		return err
	}
	if it.hdr.Linkname == "" {
		return fmt.Errorf("%w symbolic link: it has no target", errdefs.ErrInvalid)
	}
	j := newJob(jobSymlink, d, it.name, base, a)
	j.target = it.hdr.Linkname
	x.have(it.name, madeOther).queue, err = x.pool.submit(j, noQueue)
	return err
}

// hardlink gives an object of the layer another name. The worker that makes the
// object, if it is still to be made, makes the link after it.
func (x *extractor) hardlink(d *rootfd.Dir, it *item, base string) error {
	if err := x.conflict(it.name); err != nil {
		return err
	}
	source, err := rootfd.Clean(it.hdr.Linkname)
	if err != nil {
		return fmt.Errorf("hard link: %w", err)
	}
	from, queue := x.made[source], noQueue
	switch {
	case from != nil && from.kind == madeSkipped:
		x.have(it.name, madeSkipped)
		return nil
	case from != nil && from.kind == madeGone && from.device:
		dir, _ := rootfd.Split(it.name)
		return x.deviceWhiteout(it, dir, base)
	case source == it.name, from.isDir(), from != nil && from.kind == madeGone:
		return linkError(source, errdefs.ErrInvalid)
	case from != nil:
		queue = from.queue
	case x.opts.Shared:
		return fmt.Errorf("%s: %w", source, ErrShared)
	}
	a, err := x.attrs.of(it)
	if err != nil {
		return err
	}
	j := newJob(jobLink, d, it.name, base, a)
	j.target = source
	if j.from, j.fromBase, err = x.root.Parent(source); err != nil {
		j.free()
		return linkError(source, err)
	}
	x.have(it.name, madeOther).queue, err = x.pool.submit(j, queue)
	return err
}

// linkError says where a hard link should have led. A layer whose links lead
// nowhere, or through symbolic links, is invalid.
func linkError(source string, err error) error {
	var number unix.Errno
	if errors.As(err, &number) {
		switch number {
		case unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
			// Which of them it is depends on what the workers have made by now, so it is only told.
			err = fmt.Errorf("%w: %v", errdefs.ErrInvalid, number) //nolint:errorlint // see above
		default:
			err = number
		}
	}
	return fmt.Errorf("hard link to %s: %w", source, err)
}

// node unpacks a device or fifo.
func (x *extractor) node(d *rootfd.Dir, it *item, base string) error {
	if err := x.conflict(it.name); err != nil {
		return err
	}
	a, err := x.attrs.of(it)
	if err != nil {
		return err
	}
	if x.opts.NoDevices && it.hdr.Typeflag != tar.TypeFifo {
		x.have(it.name, madeSkipped)
		return nil
	}
	x.have(it.name, madeOther)
	if x.opts.ForceMode != nil {
		return x.attrs.standIn(d, base, &a)
	}
	kind, dev, err := deviceOf(it.hdr)
	if err != nil {
		return err
	}
	if err := replacing(d, base, func() error { return d.Mknod(base, kind|a.createMode(), dev) }); err != nil {
		return fmt.Errorf("make node: %w", err)
	}
	return x.attrs.named(d, base, &a)
}

// deviceOf is the type and number for mknod. Linux has 12 bits for the major
// and 20 for the minor number and would cut others to some other device.
func deviceOf(hdr *tar.Header) (kind uint32, dev uint64, err error) {
	switch hdr.Typeflag {
	case tar.TypeFifo:
		return unix.S_IFIFO, 0, nil
	case tar.TypeChar:
		kind = unix.S_IFCHR
	default:
		kind = unix.S_IFBLK
	}
	if hdr.Devmajor < 0 || hdr.Devmajor >= 1<<12 || hdr.Devminor < 0 || hdr.Devminor >= 1<<20 {
		return 0, 0, fmt.Errorf("%w device number %d:%d", errdefs.ErrInvalid, hdr.Devmajor, hdr.Devminor)
	}
	return kind, unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor)), nil
}

// standIn makes the empty file that takes a device's place where all is forced.
func (s *attrSetter) standIn(d *rootfd.Dir, base string, a *attrs) error {
	fd, err := createFile(d, base, a)
	if err != nil {
		return err
	}
	return errors.Join(s.open(fd, a), fd.Close())
}

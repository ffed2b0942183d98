package treecopy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// chunk bounds what one system call copies, so that a cancelled copy of a huge file ends.
	chunk = 64 << 20
	// bufferSize is for copies through memory.
	bufferSize = 256 << 10
)

// file copies a regular file with its attributes.
func (c *copier) file(ctx context.Context, dirIn, dirOut *os.File, e *entry) error {
	fd, err := unix.Openat(int(dirIn.Fd()), e.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // only read
	out, err := unix.Openat(int(dirOut.Fd()), e.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := c.fill(ctx, out, fd, dirOut, e); err != nil {
		return errors.Join(err, unix.Close(out))
	}
	if err := unix.Close(out); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

func (c *copier) fill(ctx context.Context, out, in int, dirOut *os.File, e *entry) error {
	if err := c.data(ctx, out, in, e); err != nil {
		return fmt.Errorf("copy content: %w", err)
	}
	if err := c.ownerOf(out, &e.stat); err != nil {
		return err
	}
	if err := c.xattrs(out, in); err != nil {
		return err
	}
	if err := unix.Fchmod(out, e.stat.Mode&0o7777); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return setTimes(int(dirOut.Fd()), e.name, &e.stat)
}

// data copies the content: shared if possible, else extent by extent.
func (c *copier) data(ctx context.Context, out, in int, e *entry) error {
	size := e.stat.Size
	if size == 0 {
		return nil
	}
	if done, err := c.clone(out, in); done || err != nil {
		return err
	}
	if e.stat.Blocks*512 >= size {
		return c.extent(ctx, out, in, 0, size)
	}
	return c.sparse(ctx, out, in, size)
}

// clone shares the whole content with in; done is false when the file system can not.
func (c *copier) clone(out, in int) (done bool, err error) {
	if c.noClone.Load() {
		return false, nil
	}
	switch err := unix.IoctlFileClone(out, in); err {
	case nil:
		return true, nil
	case unix.EOPNOTSUPP, unix.ENOTTY, unix.ENOSYS, unix.EXDEV:
		c.noClone.Store(true)
		return false, nil
	case unix.EINVAL, unix.EPERM, unix.ETXTBSY: // this file only: swap, immutable, on another device
		return false, nil
	default:
		return false, err
	}
}

// sparse copies the extents that hold data and leaves holes between and after them.
func (c *copier) sparse(ctx context.Context, out, in int, size int64) error {
	for pos := int64(0); pos < size; {
		start, err := unix.Seek(in, pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // a hole to the end
			break
		}
		if errors.Is(err, unix.EINVAL) { // no such seek: take it as data
			return c.extent(ctx, out, in, pos, size-pos)
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(in, start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		end = min(end, size)
		if err := c.extent(ctx, out, in, start, end-start); err != nil {
			return err
		}
		pos = end
	}
	return unix.Ftruncate(out, size)
}

// extent copies n bytes at off, inside the kernel if it can.
func (c *copier) extent(ctx context.Context, out, in int, off, n int64) error {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.noRange.Load() {
			return c.plain(ctx, out, in, off, n)
		}
		from, to := off, off
		k, err := unix.CopyFileRange(in, &from, out, &to, int(min(n, chunk)), 0)
		switch {
		case err == unix.EINTR:
		case err == unix.ENOSYS || err == unix.EXDEV || err == unix.EOPNOTSUPP:
			c.noRange.Store(true)
		case err == unix.EINVAL || err == unix.EPERM || err == nil && k == 0:
			// Not for this file; a file that became shorter shows when it is read.
			return c.plain(ctx, out, in, off, n)
		case err != nil:
			return err
		default:
			off, n = off+int64(k), n-int64(k)
		}
	}
	return nil
}

// plain copies n bytes at off through memory.
func (c *copier) plain(ctx context.Context, out, in int, off, n int64) error {
	buf, _ := c.buffers.Get().(*[bufferSize]byte)
	if buf == nil {
		buf = new([bufferSize]byte)
	}
	defer c.buffers.Put(buf)
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		k, err := unix.Pread(in, buf[:min(n, bufferSize)], off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if k == 0 {
			return io.ErrUnexpectedEOF
		}
		if err := writeAt(out, buf[:k], off); err != nil {
			return err
		}
		off, n = off+int64(k), n-int64(k)
	}
	return nil
}

func writeAt(fd int, p []byte, off int64) error {
	for len(p) > 0 {
		k, err := unix.Pwrite(fd, p, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p, off = p[k:], off+int64(k)
	}
	return nil
}

package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Copy fills the directory dst, which must be empty, with what is in src, and gives it
// src's own attributes. Owners, modes, times, extended attributes, devices, hard links
// and holes are kept; file systems that can share content do. Sockets are left out; mounts inside src are not
// entered: their directories come out empty. After an error or a cancelled ctx, dst holds
// a part, which the caller removes.
func Copy(ctx context.Context, dst, src string) error {
	in, err := unix.Open(src, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("copy %s: %w", src, err)
	}
	defer closeFD(in)
	out, err := unix.Open(dst, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("copy to %s: %w", dst, err)
	}
	defer closeFD(out)
	c := &copier{root: out, links: map[[2]uint64]string{}}
	if err := c.directory(ctx, in, out, "."); err != nil {
		return fmt.Errorf("copy %s: %w", src, err)
	}
	return nil
}

type copier struct {
	root  int                  // of the copy, for links across directories
	links map[[2]uint64]string // first path in the copy of each inode with several links
}

// directory copies what is in one directory, and its attributes last: the content changes
// its times.
func (c *copier) directory(ctx context.Context, in, out int, path string) error {
	dup, err := unix.Openat(in, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	dir := os.NewFile(uintptr(dup), path)
	defer dir.Close()
	for {
		names, readErr := dir.Readdirnames(batch)
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.entry(ctx, in, out, name, path+"/"+name); err != nil {
				return err
			}
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return readErr
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return c.attributes(in, out, &st, path)
}

func (c *copier) entry(ctx context.Context, in, out int, name, path string) error {
	var st unix.Stat_t
	err := unix.Fstatat(in, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return nil // of no use without the program that listens on it
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		inode := [2]uint64{st.Dev, st.Ino}
		if first, ok := c.links[inode]; ok {
			return wrap(path, unix.Linkat(c.root, first, out, name, 0))
		}
		c.links[inode] = path
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.subdirectory(ctx, in, out, name, path, &st)
	case unix.S_IFREG:
		return c.file(in, out, name, path, &st)
	case unix.S_IFLNK:
		return c.symlink(in, out, name, path, &st)
	}
	if err := unix.Mknodat(out, name, st.Mode, int(st.Rdev)); err != nil {
		return wrap(path, err)
	}
	return c.nodeAttributes(in, out, name, &st, path)
}

func (c *copier) subdirectory(ctx context.Context, in, out int, name, path string, st *unix.Stat_t) error {
	if err := unix.Mkdirat(out, name, 0o700); err != nil {
		return wrap(path, err)
	}
	to, err := openHere(out, name)
	if err != nil {
		return wrap(path, err)
	}
	defer closeFD(to)
	from, err := openHere(in, name)
	if errors.Is(err, unix.EXDEV) {
		return c.attributes(-1, to, st, path)
	}
	if err != nil {
		return wrap(path, err)
	}
	defer closeFD(from)
	return c.directory(ctx, from, to, path)
}

func (c *copier) file(in, out int, name, path string, st *unix.Stat_t) error {
	from, err := unix.Openat(in, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return wrap(path, err)
	}
	defer closeFD(from)
	fd, err := unix.Openat(out, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return wrap(path, err)
	}
	to := os.NewFile(uintptr(fd), path)
	err = content(from, fd, st.Size)
	if err == nil {
		err = c.attributes(from, fd, st, path)
	}
	return wrap(path, errors.Join(err, to.Close()))
}

// content copies a file's bytes: shared if that is possible, else extent by extent, so that
// holes stay holes.
func content(from, to int, size int64) error {
	if unix.IoctlFileClone(to, from) == nil {
		return nil
	}
	for at := int64(0); at < size; {
		start, err := unix.Seek(from, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // a hole up to the end
		}
		if err != nil {
			start = at
		}
		end, err := unix.Seek(from, start, unix.SEEK_HOLE)
		if err != nil {
			end = size
		}
		if at = end; copyRange(from, to, start, end) != nil {
			if err := readWrite(from, to, start, end); err != nil {
				return err
			}
		}
	}
	return unix.Ftruncate(to, size)
}

// copyRange lets the kernel copy.
func copyRange(from, to int, start, end int64) error {
	for read, write := start, start; read < end; {
		n, err := unix.CopyFileRange(from, &read, to, &write, int(min(end-read, 1<<30)), 0)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

func readWrite(from, to int, at, end int64) error {
	buf := make([]byte, 256<<10)
	for at < end {
		n, err := unix.Pread(from, buf[:min(int64(len(buf)), end-at)], at)
		if err != nil || n == 0 {
			return err
		}
		for done := 0; done < n; {
			w, err := unix.Pwrite(to, buf[done:n], at+int64(done))
			if err != nil {
				return err
			}
			done += w
		}
		at += int64(n)
	}
	return nil
}

func (c *copier) symlink(in, out int, name, path string, st *unix.Stat_t) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(in, name, buf)
	if err != nil {
		return wrap(path, err)
	}
	if err := unix.Symlinkat(string(buf[:n]), out, name); err != nil {
		return wrap(path, err)
	}
	return c.nodeAttributes(in, out, name, st, path)
}

func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}

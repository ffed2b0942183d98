package treecopy

import (
	"context"
	"fmt"
	"os"
	"path"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// entry is one name in a source directory.
type entry struct {
	name string
	stat unix.Stat_t
}

// openDir opens a directory, never through a link in its last component.
func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// tree copies the content of in to out and then out's own attributes. rel is out's path
// below the root, "" for the root itself.
func (c *copier) tree(ctx context.Context, in, out *os.File, rel string) error {
	var own unix.Stat_t
	if err := unix.Fstat(int(in.Fd()), &own); err != nil {
		return fmt.Errorf("stat /%s: %w", rel, err)
	}
	dirs, err := c.content(ctx, in, out, rel)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := c.subtree(ctx, in, out, d, path.Join(rel, d)); err != nil {
			return err
		}
	}
	if err := c.dirAttributes(in, out, &own); err != nil {
		return fmt.Errorf("/%s: %w", rel, err)
	}
	return nil
}

// content copies everything in a directory but its directories, whose names it returns.
// Plain files go to workers; what may be linked to from elsewhere is done here, in order.
func (c *copier) content(ctx context.Context, in, out *os.File, rel string) (dirs []string, err error) {
	names, err := in.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("read directory /%s: %w", rel, err)
	}
	var files errgroup.Group
	files.SetLimit(c.workers())
	for _, name := range names {
		e := entry{name: name}
		err = c.one(ctx, in, out, rel, &e, &files)
		if err != nil {
			break
		}
		if e.kind() == unix.S_IFDIR {
			dirs = append(dirs, name)
		}
	}
	// The descriptors must outlive the workers, so they are awaited in any case.
	if waitErr := files.Wait(); err == nil {
		err = waitErr
	}
	return dirs, err
}

func (c *copier) one(ctx context.Context, in, out *os.File, rel string, e *entry, files *errgroup.Group) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	where := path.Join(rel, e.name)
	if err := unix.Fstatat(int(in.Fd()), e.name, &e.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat /%s: %w", where, err)
	}
	var err error
	switch {
	case e.kind() == unix.S_IFDIR:
	case c.opts.Share && c.share(in, out, e):
	case e.stat.Nlink == 1 && e.kind() == unix.S_IFREG:
		files.Go(func() error {
			if err := c.file(ctx, in, out, e); err != nil {
				return fmt.Errorf("/%s: %w", where, err)
			}
			return nil
		})
	case e.stat.Nlink == 1:
		err = c.node(ctx, in, out, e)
	default:
		err = c.linked(ctx, in, out, e, where)
	}
	if err != nil {
		return fmt.Errorf("/%s: %w", where, err)
	}
	return nil
}

func (c *copier) subtree(ctx context.Context, in, out *os.File, name, rel string) error {
	if err := unix.Mkdirat(int(out.Fd()), name, 0o700); err != nil {
		return fmt.Errorf("make directory /%s: %w", rel, err)
	}
	subIn, err := openDir(int(in.Fd()), name)
	if err != nil {
		return err
	}
	defer subIn.Close()
	subOut, err := openDir(int(out.Fd()), name)
	if err != nil {
		return err
	}
	defer subOut.Close()
	return c.tree(ctx, subIn, subOut, rel)
}

// linked copies the first name of an inode and links the others to it. where is the path
// below the root.
func (c *copier) linked(ctx context.Context, in, out *os.File, e *entry, where string) error {
	key := inode{uint64(e.stat.Dev), e.stat.Ino} //nolint:unconvert // 32 bits on some machines
	first, ok := c.links[key]
	if ok {
		return unix.Linkat(c.root, first, int(out.Fd()), e.name, 0)
	}
	if err := c.node(ctx, in, out, e); err != nil {
		return err
	}
	if c.skipped(e) {
		return nil
	}
	c.links[key] = where
	return nil
}

// kind is the type part of the mode.
func (e *entry) kind() uint32 { return e.stat.Mode & unix.S_IFMT }

// skipped: devices need privileges.
func (c *copier) skipped(e *entry) bool {
	if c.opts.Whiteouts && e.kind() == unix.S_IFCHR && e.stat.Rdev == 0 {
		return false
	}
	return c.opts.Unprivileged && (e.kind() == unix.S_IFCHR || e.kind() == unix.S_IFBLK)
}

// node copies one inode that is not a directory.
func (c *copier) node(ctx context.Context, in, out *os.File, e *entry) error {
	switch {
	case c.skipped(e):
		return nil
	case e.kind() == unix.S_IFREG:
		return c.file(ctx, in, out, e)
	case e.kind() == unix.S_IFLNK:
		return c.symlink(in, out, e)
	}
	dir := int(out.Fd())
	if err := unix.Mknodat(dir, e.name, e.kind()|0o600, int(e.stat.Rdev)); err != nil {
		return fmt.Errorf("make node: %w", err)
	}
	if err := c.owner(dir, e); err != nil {
		return err
	}
	if err := unix.Fchmodat(dir, e.name, e.stat.Mode&0o7777, 0); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return setTimes(dir, e.name, &e.stat)
}

func (c *copier) symlink(in, out *os.File, e *entry) error {
	target, err := readlink(int(in.Fd()), e.name, int(e.stat.Size))
	if err != nil {
		return fmt.Errorf("read link: %w", err)
	}
	dir := int(out.Fd())
	if err := unix.Symlinkat(target, dir, e.name); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	if err := c.owner(dir, e); err != nil {
		return err
	}
	return setTimes(dir, e.name, &e.stat)
}

// readlink reads a link whose length is expected to be size; some file systems say 0.
func readlink(dir int, name string, size int) (string, error) {
	for n := max(size+1, 256); ; n *= 2 {
		buf := make([]byte, n)
		got, err := unix.Readlinkat(dir, name, buf)
		if err != nil {
			return "", err
		}
		if got < n {
			return string(buf[:got]), nil
		}
	}
}

package filecopy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/rootfd"
)

// file copies what is not a directory. It gets its name when it is complete, so that
// what was there before stays until then.
func (c *copier) file(ctx context.Context, in *rootfd.Dir, base string, st unix.Stat_t, out *rootfd.Dir, name, where string) (err error) {
	first, again := c.links[inodeOf(st)]
	switch {
	case kind(st) == unix.S_IFSOCK:
		return nil
	case again:
		return c.put(out, name, func(as string) error { return c.link(first, out, as) })
	case kind(st) == unix.S_IFREG:
		err = c.regular(ctx, in, base, st, out, name)
	default:
		err = c.create(out, name, func(as string) error { return c.node(in, base, st, out, as) })
	}
	if err == nil && st.Nlink > 1 {
		c.links[inodeOf(st)] = where
	}
	return err
}

// put lets link, which fails where something is, give a complete file its name. What is
// there is replaced.
func (c *copier) put(out *rootfd.Dir, name string, link func(as string) error) error {
	if err := link(name); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return c.beside(out, name, link)
}

// create lets fill make a file: at once where nobody sees it yet, else beside.
func (c *copier) create(out *rootfd.Dir, name string, fill func(as string) error) error {
	if c.made != "" {
		return fill(name)
	}
	return c.beside(out, name, fill)
}

// beside lets fill make a file or directory under another name, and renames it.
func (c *copier) beside(out *rootfd.Dir, name string, fill func(as string) error) error {
	if err := c.sweep(out); err != nil {
		return err
	}
	temp := c.self.tempName()
	err := fill(temp)
	if err == nil {
		err = out.Rename(temp, out, name)
	}
	// Renaming one name of a file over another does nothing, and leaves it.
	if removeErr := out.RemoveAll(temp); err == nil && !errors.Is(removeErr, unix.ENOENT) {
		err = removeErr
	}
	return err
}

// link makes a further name of a file that was copied before.
func (c *copier) link(first string, out *rootfd.Dir, name string) error {
	if c.made != "" && inside(first, c.made) {
		first = c.madeAs + strings.TrimPrefix(first, c.made)
	}
	dir, base, err := c.root.Parent(first)
	if err != nil {
		return err
	}
	defer dir.Release()
	return dir.Link(base, out, name)
}

// node makes one new file that is not a regular one.
func (c *copier) node(in *rootfd.Dir, base string, st unix.Stat_t, out *rootfd.Dir, name string) error {
	switch kind(st) {
	case unix.S_IFLNK:
		target, err := in.Readlink(base)
		if err != nil {
			return moved(err)
		}
		if err := out.Symlink(target, name); err != nil {
			return err
		}
	default:
		if err := out.Mknod(name, kind(st)|0o600, uint64(st.Rdev)); err != nil { //nolint:unconvert // 32 bits on some machines
			return err
		}
	}
	uid, gid, err := c.ownerOf(st)
	if err != nil {
		return err
	}
	if err := out.Chown(name, uid, gid); err != nil {
		return fmt.Errorf("set the owner: %w", err)
	}
	if kind(st) != unix.S_IFLNK {
		if err := out.Chmod(name, st.Mode&0o7777); err != nil {
			return fmt.Errorf("set the mode: %w", err)
		}
	}
	return out.Utimes(name, when(st.Atim), when(st.Mtim))
}

func when(ts unix.Timespec) time.Time {
	sec, nsec := ts.Unix()
	return time.Unix(sec, nsec)
}

// ownerOf is the host-side owner that a copy gets.
func (c *copier) ownerOf(st unix.Stat_t) (uid, gid int, err error) {
	if c.owner != nil {
		return c.owner.UID, c.owner.GID, nil
	}
	uid, gid, err = c.from.ToContainer(int(st.Uid), int(st.Gid))
	if err != nil {
		return 0, 0, err
	}
	return c.to.ToHost(uid, gid)
}

// regular copies into a file that has no name until it is complete, so that nothing
// stays of one that is not. Where the file system has no such files, it has another name.
func (c *copier) regular(ctx context.Context, in *rootfd.Dir, base string, st unix.Stat_t, out *rootfd.Dir, name string) error {
	// Without O_NONBLOCK a fifo that takes the file's place would hold the copy up.
	fd, err := in.Open(base, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return moved(err)
	}
	src := os.NewFile(uintptr(fd), base)
	defer src.Close() // read only: nothing to lose
	if now, err := fd.Stat(); err != nil || inodeOf(now) != inodeOf(st) {
		return errors.Join(err, errMoved)
	}
	named := func(as string) error {
		to, err := out.Create(as, 0o600)
		if err != nil {
			return err
		}
		return c.fill(ctx, src, st, to, func() error { return nil })
	}
	if c.made != "" {
		return named(name)
	}
	to, err := out.Temp(0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		return c.beside(out, name, named)
	}
	if err != nil {
		return err
	}
	return c.fill(ctx, src, st, to, func() error {
		return c.put(out, name, func(as string) error { return to.Link(out, as) })
	})
}

// fill copies content and attributes to a new file, closes it, and before that calls done
// if all went well.
func (c *copier) fill(ctx context.Context, src *os.File, st unix.Stat_t, to rootfd.FD, done func() error) error {
	dst := os.NewFile(uintptr(to), "copy")
	err := content(ctx, dst, src)
	if err == nil {
		err = c.attributes(to, st, rootfd.FD(src.Fd()))
	}
	if err == nil {
		err = done()
	}
	return errors.Join(err, dst.Close())
}

// piece bounds what is copied between two looks at the context.
const piece = 64 << 20

// content copies in pieces, inside the kernel where it can.
func content(ctx context.Context, dst, src *os.File) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.CopyN(dst, src, piece); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// attributes gives an open file or directory its owner, extended attributes, mode
// and times, in this order: each would undo a later one.
func (c *copier) attributes(to rootfd.FD, st unix.Stat_t, from rootfd.FD) error {
	uid, gid, err := c.ownerOf(st)
	if err != nil {
		return err
	}
	if err := to.Chown(uid, gid); err != nil {
		return fmt.Errorf("set the owner: %w", err)
	}
	if err := c.xattrs(to, from); err != nil {
		return err
	}
	if err := to.Chmod(st.Mode & 0o7777); err != nil {
		return fmt.Errorf("set the mode: %w", err)
	}
	return to.Utimes(when(st.Atim), when(st.Mtim))
}

const xattrCapability = "security.capability"

// xattrs copies the attributes that a layer may have (on-disk format, chapter 5).
func (c *copier) xattrs(to, from rootfd.FD) error {
	names, err := from.Listxattr()
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("list attributes: %w", err)
	}
	for _, name := range names {
		if name != xattrCapability && !strings.HasPrefix(name, "user.") {
			continue
		}
		value, err := from.Getxattr(name)
		if err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
		if name == xattrCapability {
			value = []byte(c.to.CapabilityToHost(c.from.CapabilityToContainer(string(value))))
		}
		if err := to.Setxattr(name, value); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

package treecopy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// owner gives a name that is not open the source's owner, not following links.
func (c *copier) owner(dir int, e *entry) error {
	uid, gid := c.opts.Move.Owner(int(e.stat.Uid), int(e.stat.Gid))
	return c.chownError(unix.Fchownat(dir, e.name, uid, gid, unix.AT_SYMLINK_NOFOLLOW))
}

func (c *copier) ownerOf(fd int, st *unix.Stat_t) error {
	uid, gid := c.opts.Move.Owner(int(st.Uid), int(st.Gid))
	return c.chownError(unix.Fchown(fd, uid, gid))
}

func (c *copier) chownError(err error) error {
	if err == nil || c.opts.IgnoreChownErrors {
		return nil
	}
	return fmt.Errorf("set owner: %w", err)
}

func setTimes(dir int, name string, st *unix.Stat_t) error {
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

// dirAttributes finishes a directory whose content is complete. The mode comes last here:
// until then the copy may enter the directory whatever its mode will be.
func (c *copier) dirAttributes(in, out *os.File, st *unix.Stat_t) error {
	fd := int(out.Fd())
	if err := c.ownerOf(fd, st); err != nil {
		return err
	}
	if err := c.xattrs(fd, int(in.Fd())); err != nil {
		return err
	}
	if err := setTimes(fd, ".", st); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return nil
}

// xattrs copies the attributes that belong to a layer from one open inode to another. Links
// and devices can not have them.
func (c *copier) xattrs(out, in int) error {
	names, err := sized(func(buf []byte) (int, error) { return unix.Flistxattr(in, buf) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list attributes: %w", err)
	}
	for raw := range bytes.SplitSeq(names, []byte{0}) {
		name := string(raw)
		if !c.wanted(name) {
			continue
		}
		if err := c.xattr(out, in, name); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

func (c *copier) xattr(out, in int, name string) error {
	value, err := sized(func(buf []byte) (int, error) { return unix.Fgetxattr(in, name, buf) })
	if err != nil {
		return err
	}
	if name == xattrCapability {
		value = []byte(c.opts.Move.Capability(string(value)))
	}
	err = unix.Fsetxattr(out, name, value, 0)
	if errors.Is(err, unix.ENOTSUP) || c.opts.Unprivileged && errors.Is(err, unix.EPERM) {
		return nil
	}
	return err
}

// xattrCapability holds a file capability, which names a user.
const xattrCapability = "security.capability"

// wanted: on-disk format, chapter 5.
func (c *copier) wanted(name string) bool {
	switch {
	case name == xattrCapability:
		return true
	case c.opts.AllXattrs:
		return name != "" && name != "security.selinux"
	case name == "trusted.overlay.opaque":
		return !c.opts.Unprivileged
	}
	return strings.HasPrefix(name, "user.")
}

// sized calls get with a buffer that is large enough, however often the answer grows.
func sized(get func([]byte) (int, error)) ([]byte, error) {
	var small [256]byte
	for buf := small[:]; ; {
		n, err := get(buf)
		if err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) {
			return nil, err
		}
		if n, err = get(nil); err != nil {
			return nil, err
		}
		buf = make([]byte, n+64)
	}
}

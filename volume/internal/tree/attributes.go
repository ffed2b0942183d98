package tree

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes gives an open file or directory the owner, extended attributes, mode and
// times of another; in is -1 to leave the extended attributes out. The order matters: a
// change of owner takes capabilities and set-ID bits away.
func (c *copier) attributes(in, out int, st *unix.Stat_t, path string) error {
	if err := unix.Fchown(out, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("%s: set owner: %w", path, err)
	}
	if in >= 0 {
		if err := xattrs(procPath(in, ""), procPath(out, ""), true); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := unix.Fchmod(out, st.Mode&0o7777); err != nil {
		return fmt.Errorf("%s: set mode: %w", path, err)
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return wrap(path, unix.UtimesNanoAt(unix.AT_FDCWD, procPath(out, ""), times, 0))
}

// nodeAttributes does the same for a link, device, pipe or socket, by name.
func (c *copier) nodeAttributes(in, out int, name string, st *unix.Stat_t, path string) error {
	if err := unix.Fchownat(out, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("%s: set owner: %w", path, err)
	}
	if err := xattrs(procPath(in, name), procPath(out, name), false); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(out, name, st.Mode&0o7777, 0); err != nil {
			return fmt.Errorf("%s: set mode: %w", path, err)
		}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return wrap(path, unix.UtimesNanoAt(out, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

// procPath names an open directory's entry, or the open file itself, for calls that take
// paths only.
func procPath(fd int, name string) string {
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	if name != "" {
		path += "/" + name
	}
	return path
}

// xattrs copies all extended attributes. follow is for paths that are an open file.
func xattrs(from, to string, follow bool) error {
	list, get, set := unix.Llistxattr, unix.Lgetxattr, unix.Lsetxattr
	if follow {
		list, get, set = unix.Listxattr, unix.Getxattr, unix.Setxattr
	}
	names, err := sized(func(b []byte) (int, error) { return list(from, b) })
	if errors.Is(err, unix.EOPNOTSUPP) || len(names) == 0 && err == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list extended attributes: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		value, err := sized(func(b []byte) (int, error) { return get(from, name, b) })
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err == nil {
			err = set(to, name, value, 0)
		}
		if err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// sized calls with a buffer that is large enough.
func sized(call func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := call(buf)
		if !errors.Is(err, unix.ERANGE) || size > 1<<20 {
			return buf[:max(n, 0)], err
		}
	}
}

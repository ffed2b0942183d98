package rootfd

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Chmod sets the permission bits (0o7777) of an entry; a symbolic link has none
// and gives EOPNOTSUPP.
func (d *Dir) Chmod(base string, mode uint32) error {
	err := unix.Fchmodat(d.fd, base, mode, unix.AT_SYMLINK_NOFOLLOW)
	if err != unix.EOPNOTSUPP && err != unix.ENOSYS && err != unix.EPERM {
		return err
	}
	// Kernels before 6.6 can not do it in one call.
	return d.pinned(base, func(st *unix.Stat_t, path string) error {
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return unix.EOPNOTSUPP
		}
		return unix.Chmod(path, mode)
	})
}

// Setxattr sets an extended attribute of the entry itself.
func (d *Dir) Setxattr(base, attr string, value []byte) error {
	return d.pinned(base, func(_ *unix.Stat_t, path string) error {
		return unix.Setxattr(path, attr, value, 0)
	})
}

// Getxattr returns an extended attribute of the entry itself; ENODATA if it is
// not there.
func (d *Dir) Getxattr(base, attr string) (value []byte, err error) {
	err = d.pinned(base, func(_ *unix.Stat_t, path string) error {
		value, err = grow(func(buf []byte) (int, error) { return unix.Getxattr(path, attr, buf) })
		return err
	})
	return value, err
}

// Listxattr returns the names of the entry's extended attributes, in the file system's order.
func (d *Dir) Listxattr(base string) (names []string, err error) {
	err = d.pinned(base, func(_ *unix.Stat_t, path string) error {
		list, err := grow(func(buf []byte) (int, error) { return unix.Listxattr(path, buf) })
		names = splitNames(list)
		return err
	})
	return names, err
}

// pinned opens the entry itself, without following or reading it, and gives do
// a path that leads to that very object: calls that know no directory
// descriptor then can not be led astray.
func (d *Dir) pinned(base string, do func(st *unix.Stat_t, path string) error) error {
	fd, err := open(d.fd, base, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return err
	}
	return retry(func() error { return do(&st, "/proc/self/fd/"+strconv.Itoa(fd)) })
}

// grow calls a function that fills a buffer, with larger buffers until it fits.
func grow(fill func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := fill(buf)
		if errors.Is(err, unix.ERANGE) && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// splitNames cuts a list of names that each end in a NUL byte.
func splitNames(list []byte) (names []string) {
	start := 0
	for i, c := range list {
		if c == 0 {
			names = append(names, string(list[start:i]))
			start = i + 1
		}
	}
	return names
}

package rootfd

import (
	"errors"
	"io"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// FD is an open file or directory by its bare number, for code that opens very
// many: no finaliser, no poller. Whoever opened it closes it.
type FD int

// Write writes all of p at the file's position.
func (f FD) Write(p []byte) (n int, err error) {
	for n < len(p) {
		var m int
		err := retry(func() (err error) { m, err = unix.Write(int(f), p[n:]); return err })
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, io.ErrShortWrite
		}
		n += m
	}
	return n, nil
}

// WriteAt writes all of p at an offset.
func (f FD) WriteAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		var m int
		err := retry(func() (err error) { m, err = unix.Pwrite(int(f), p[n:], off+int64(n)); return err })
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, io.ErrShortWrite
		}
		n += m
	}
	return n, nil
}

// Truncate sets the file's size.
func (f FD) Truncate(size int64) error {
	return retry(func() error { return unix.Ftruncate(int(f), size) })
}

// Link gives the file a name in dir, which must not be there yet.
func (f FD) Link(dir *Dir, base string) error {
	// By descriptor alone it needs a capability; through /proc it does not.
	err := retry(func() error { return unix.Linkat(int(f), "", dir.fd, base, unix.AT_EMPTY_PATH) })
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) {
		return err
	}
	path := "/proc/self/fd/" + strconv.Itoa(int(f))
	return retry(func() error { return unix.Linkat(unix.AT_FDCWD, path, dir.fd, base, unix.AT_SYMLINK_FOLLOW) })
}

// Stat returns the attributes.
func (f FD) Stat() (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstat(int(f), &st) })
	return st, err
}

// Chown sets the owner; see Dir.Chown.
func (f FD) Chown(uid, gid int) error {
	return retry(func() error { return unix.Fchown(int(f), uid, gid) })
}

// Chmod sets the permission bits (0o7777).
func (f FD) Chmod(mode uint32) error {
	return retry(func() error { return unix.Fchmod(int(f), mode) })
}

// Utimes sets the times, in nanoseconds.
func (f FD) Utimes(atime, mtime time.Time) error {
	ts := timespecs(atime, mtime)
	return retry(func() error { return futimens(int(f), &ts) })
}

// Setxattr sets an extended attribute.
func (f FD) Setxattr(attr string, value []byte) error {
	return retry(func() error { return unix.Fsetxattr(int(f), attr, value, 0) })
}

// Removexattr takes an extended attribute away.
func (f FD) Removexattr(attr string) error {
	return retry(func() error { return unix.Fremovexattr(int(f), attr) })
}

// Listxattr returns the names of the extended attributes.
func (f FD) Listxattr() ([]string, error) {
	list, err := grow(func(buf []byte) (int, error) { return unix.Flistxattr(int(f), buf) })
	return splitNames(list), err
}

// Getxattr returns an extended attribute; ENODATA if it is not there.
func (f FD) Getxattr(attr string) ([]byte, error) {
	return grow(func(buf []byte) (int, error) { return unix.Fgetxattr(int(f), attr, buf) })
}

// Close closes the descriptor. It is not repeated when a signal interrupts it:
// Linux has let go of the number by then.
func (f FD) Close() error {
	if err := unix.Close(int(f)); err != unix.EINTR {
		return err
	}
	return nil
}

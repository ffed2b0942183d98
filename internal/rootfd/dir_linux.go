package rootfd

import (
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is an open directory. Its methods take base names; one with a slash, ".."
// or a link to follow in it must not be passed, which holds for what Clean and
// Split return. It is safe for concurrent use while it is held.
type Dir struct {
	fd   int
	refs atomic.Int32
}

func newDir(fd int) *Dir {
	d := &Dir{fd: fd}
	d.refs.Store(1)
	return d
}

// Hold adds a holder, who releases the directory too.
func (d *Dir) Hold() *Dir {
	d.refs.Add(1)
	return d
}

// Release gives the directory up; the last holder closes it. Nothing is written
// through a directory's descriptor, so there is no error to report.
func (d *Dir) Release() {
	if d.refs.Add(-1) == 0 {
		closeFD(d.fd)
	}
}

// FD is the descriptor, for system calls that Dir does not have. It may be one
// of O_PATH and belongs to the Dir.
func (d *Dir) FD() int { return d.fd }

// Open opens an entry with the flags of package os. A symbolic link gives ELOOP.
func (d *Dir) Open(base string, flags int, perm uint32) (FD, error) {
	fd, err := open(d.fd, base, flags|unix.O_NOFOLLOW, perm)
	return FD(fd), err
}

// Create makes a regular file that must not be there yet and opens it for
// writing. perm is subject to the umask.
func (d *Dir) Create(base string, perm uint32) (FD, error) {
	return d.Open(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
}

// Temp makes a regular file without a name in the directory's file system and opens it
// for writing. It goes with its last descriptor, however the process ends, unless FD.Link
// gives it a name. EOPNOTSUPP or EISDIR where that can not be done.
func (d *Dir) Temp(perm uint32) (FD, error) {
	fd, err := open(d.fd, ".", unix.O_TMPFILE|os.O_WRONLY, perm)
	return FD(fd), err
}

// OpenDir opens a directory entry for reading, so that it also serves as FD.
func (d *Dir) OpenDir(base string) (*Dir, error) {
	fd, err := open(d.fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, asLoop(d.fd, base, err)
	}
	return newDir(fd), nil
}

// Mkdir makes a directory; perm is subject to the umask.
func (d *Dir) Mkdir(base string, perm uint32) error {
	return retry(func() error { return unix.Mkdirat(d.fd, base, perm) })
}

// Symlink makes a symbolic link that says target, whatever that is.
func (d *Dir) Symlink(target, base string) error {
	return retry(func() error { return unix.Symlinkat(target, d.fd, base) })
}

// Link makes to/newBase another name of the entry itself, also of a symbolic link.
func (d *Dir) Link(base string, to *Dir, newBase string) error {
	return retry(func() error { return unix.Linkat(d.fd, base, to.fd, newBase, 0) })
}

// Mknod makes a fifo, device, socket or regular file; the permissions in mode
// are subject to the umask.
func (d *Dir) Mknod(base string, mode uint32, dev uint64) error {
	return retry(func() error { return unix.Mknodat(d.fd, base, mode, int(dev)) })
}

// Unlink removes an entry that is not a directory.
func (d *Dir) Unlink(base string) error {
	return retry(func() error { return unix.Unlinkat(d.fd, base, 0) })
}

// Rmdir removes an empty directory.
func (d *Dir) Rmdir(base string) error {
	return retry(func() error { return unix.Unlinkat(d.fd, base, unix.AT_REMOVEDIR) })
}

// Rename moves an entry over to/newBase.
func (d *Dir) Rename(base string, to *Dir, newBase string) error {
	return retry(func() error { return unix.Renameat(d.fd, base, to.fd, newBase) })
}

// Lstat returns the attributes of the entry itself.
func (d *Dir) Lstat(base string) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstatat(d.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

// Readlink returns what a symbolic link says.
func (d *Dir) Readlink(base string) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(d.fd, base, buf)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

// Chown sets the owner of the entry itself, also of a symbolic link. On a
// regular file it takes set-user-ID, set-group-ID and capabilities away.
func (d *Dir) Chown(base string, uid, gid int) error {
	return retry(func() error { return unix.Fchownat(d.fd, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW) })
}

// Utimes sets the times of the entry itself, in nanoseconds.
func (d *Dir) Utimes(base string, atime, mtime time.Time) error {
	ts := timespecs(atime, mtime)
	return retry(func() error { return unix.UtimesNanoAt(d.fd, base, ts[:], unix.AT_SYMLINK_NOFOLLOW) })
}

// timespecs does not go through nanoseconds since 1970, which end in 2262.
func timespecs(atime, mtime time.Time) [2]unix.Timespec {
	return [2]unix.Timespec{timespec(atime), timespec(mtime)}
}

func timespec(t time.Time) (ts unix.Timespec) {
	ts.Sec = t.Unix()
	ts.Nsec = int64(t.Nanosecond())
	return ts
}

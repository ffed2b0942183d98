package archive

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// maxTreeDepth is how many directories a walk holds open at once. Each takes a
// descriptor, and names of so many components can not be used by ordinary programs.
const maxTreeDepth = 4096

// errTooDeep reports a tree beyond maxTreeDepth.
var errTooDeep = errdefs.New(errdefs.ErrLimit, "directories are nested too deeply")

// descent counts the directories that a walk is in.
type descent struct{ depth int }

// inside opens a directory for the time of do. One that vanished is empty.
func (d *descent) inside(path string, dir int, name string, do func(fd int) error) error {
	if d.depth >= maxTreeDepth {
		return pathError("open", path, errTooDeep)
	}
	d.depth++
	defer func() { d.depth-- }()
	fd, err := openDir(dir, name)
	if err != nil {
		if gone(err) {
			return nil
		}
		return pathError("open", path, err)
	}
	defer closeFD(fd)
	return do(fd)
}

// node is a name in a directory that is held open, with its attributes. It never
// stands for what a symbolic link points to.
type node struct {
	dir  int
	name string
	st   unix.Stat_t
	// content is set while the file is open for reading.
	content *contentFile
}

func (n *node) kind() uint32    { return n.st.Mode & unix.S_IFMT }
func (n *node) isDir() bool     { return n.kind() == unix.S_IFDIR }
func (n *node) isRegular() bool { return n.kind() == unix.S_IFREG }
func (n *node) isDevice() bool  { return n.kind() == unix.S_IFCHR || n.kind() == unix.S_IFBLK }
func (n *node) inode() inode    { return inode{n.st.Dev, n.st.Ino} }
func (n *node) hasXattrs() bool { return n.isRegular() || n.isDir() }
func (n *node) linked() bool    { return !n.isDir() && n.st.Nlink > 1 }

// isWhiteout reports whether n is the device that overlayfs takes for a deleted name.
func (n *node) isWhiteout() bool { return n.kind() == unix.S_IFCHR && n.st.Rdev == 0 }

// inode identifies a file within one machine while it exists.
type inode struct{ dev, ino uint64 }

// lookup fills n with the attributes of name in the open directory dir.
func (n *node) lookup(dir int, name string) error {
	n.dir, n.name = dir, name
	return retry(func() error { return unix.Fstatat(dir, name, &n.st, unix.AT_SYMLINK_NOFOLLOW) })
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// gone reports an error that means: nothing has that name any more.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// pathError names the operation and the path in the layer.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// openTree opens the root of a tree. A root that is a symbolic link is followed:
// layers of an additional layer store are links (on-disk format, 4.11).
func openTree(path string) (int, error) {
	fd, err := openAt(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY)
	return fd, pathError("open", path, err)
}

// openDir opens a directory inside of an open one, never through a symbolic link.
func openDir(dir int, name string) (int, error) {
	return openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
}

func openAt(dir int, name string, flags int) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// closeFD closes a descriptor that was only read through: nothing can be lost.
func closeFD(fd int) { _ = unix.Close(fd) }

// direntBuffers holds what getdents fills; directories are read one at a time
// per walk, so few are alive.
var direntBuffers = blockPool{size: 64 << 10}

// listDir returns the names in the open directory, sorted by bytes. The
// descriptor must not have been listed before.
func listDir(fd int) ([]string, error) {
	buf := direntBuffers.get()
	defer direntBuffers.put(buf)
	var names []string
	for {
		var n int
		err := retry(func() (err error) { n, err = unix.Getdents(fd, *buf); return err })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			slices.Sort(names)
			return names, nil
		}
		names = appendNames(names, (*buf)[:n])
	}
}

// Offsets in struct linux_dirent64, see getdents64(2).
const (
	direntLength = unsafe.Offsetof(unix.Dirent{}.Reclen)
	direntName   = unsafe.Offsetof(unix.Dirent{}.Name)
)

// appendNames adds the names in one buffer of getdents64. They share one
// string, so that a directory costs a few allocations and not one per entry.
func appendNames(names []string, buf []byte) []string {
	all := string(buf)
	for off := 0; off < len(buf); {
		size := int(binary.NativeEndian.Uint16(buf[off+int(direntLength):]))
		name := all[off+int(direntName) : off+size]
		if end := strings.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if name != "." && name != ".." {
			names = append(names, name)
		}
		off += size
	}
	return names
}

// readLink returns the target of a symbolic link.
func readLink(n *node) (string, error) {
	buf := make([]byte, n.st.Size+1)
	for {
		var size int
		err := retry(func() (err error) { size, err = unix.Readlinkat(n.dir, n.name, buf); return err })
		if err != nil {
			return "", err
		}
		if size < len(buf) {
			return string(buf[:size]), nil
		}
		buf = make([]byte, 2*len(buf))
	}
}

// openRegular opens n for reading if it is a regular file, and learns its
// attributes anew from the descriptor, so that they fit the content. The caller
// closes the file; until then n.content is that file.
func openRegular(n *node) (*contentFile, error) {
	// O_NONBLOCK: somebody may have put a fifo in the file's place.
	fd, err := openAt(n.dir, n.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := &contentFile{fd: fd}
	if n.st, err = f.stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !n.isRegular() {
		return nil, errors.Join(ErrFileChanged, f.Close())
	}
	n.content = f
	return f, nil
}

// contentFile reads a regular file with nothing between it and the system
// calls: thousands of small files are opened for one tar. It is not safe for
// concurrent use.
type contentFile struct{ fd int }

// Read implements io.Reader.
func (f *contentFile) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	err = retry(func() error { n, err = unix.Read(f.fd, p); return err })
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements io.Closer; a second call does nothing.
func (f *contentFile) Close() error {
	fd := f.fd
	if f.fd = -1; fd < 0 {
		return nil
	}
	return unix.Close(fd)
}

// release is Close for where a file that was only read is let go of.
func (f *contentFile) release() { _ = f.Close() }

func (f *contentFile) stat() (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstat(f.fd, &st) })
	return st, err
}

package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
)

// openFilesCache is how many directories stay open, of all layers together:
// names come in the order of a tar, so few are needed again.
const openFilesCache = 64

// OpenFiles returns a getter of the regular files in the directories, which are
// looked at in the order given: the layer's own first. The caller closes it; it
// is safe for concurrent use.
//
// Names are those in a tar, cleaned as unpacking cleans them; one that climbs
// out is an errdefs.ErrInvalid. Whatever a name says and whatever links lie in
// the directories, nothing outside of them is opened: the kernel resolves the
// name inside of the directory (openat2), and the last component is never
// followed. A symbolic link among the parents is taken as it is inside of a
// chroot, because other engines unpack through such links; a directory that has
// nothing at the name is passed over.
//
// What has the name and is no regular file is an errdefs.ErrCorrupt; a name that
// no directory has is fs.ErrNotExist.
func OpenFiles(dirs ...string) (FileGetCloser, error) {
	f := &files{roots: make([]*rootfd.Root, 0, len(dirs))}
	opts := rootfd.Options{Cache: max(1, openFilesCache/max(1, len(dirs)))}
	for _, dir := range dirs {
		root, err := rootfd.Open(dir, opts)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.roots = append(f.roots, root)
	}
	return f, nil
}

// files is the getter over directories.
type files struct{ roots []*rootfd.Root }

var _ FileGetCloser = (*files)(nil)

// Close implements io.Closer. Files that were opened stay open.
func (f *files) Close() error {
	var errs []error
	for _, root := range f.roots {
		errs = append(errs, root.Close())
	}
	f.roots = nil
	return errors.Join(errs...)
}

// Get implements FileGetter.
func (f *files) Get(name string) (io.ReadCloser, error) {
	clean, err := rootfd.Clean(name)
	if err == nil && f.roots == nil {
		err = pathError("open", clean, fs.ErrClosed)
	}
	if err != nil {
		return nil, err
	}
	for _, root := range f.roots {
		file, err := openIn(root, clean)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return nil, pathError("open", clean, err)
		}
	}
	return nil, &fs.PathError{Op: "open", Path: clean, Err: fs.ErrNotExist}
}

// errNotRegular reports that a tar's file is something else on disk.
var errNotRegular = fmt.Errorf("%w: not a regular file", errdefs.ErrCorrupt)

// openIn opens a regular file in one directory.
func openIn(root *rootfd.Root, name string) (io.ReadCloser, error) {
	parent, base := rootfd.Split(name)
	dir, err := root.Dir(parent)
	if err == nil {
		defer dir.Release()
		return openContent(dir.FD(), base)
	}
	if !errors.Is(err, unix.ELOOP) {
		return nil, err
	}
	fd, err := resolveLinks(root, parent)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	return openContent(fd, base)
}

// openContent looks before it opens, because opening a device can do things.
func openContent(dir int, base string) (io.ReadCloser, error) {
	var n node
	if err := n.lookup(dir, base); err != nil {
		return nil, err
	}
	if !n.isRegular() {
		return nil, errNotRegular
	}
	f, err := openRegular(&n)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// resolveLinks opens a directory, taking symbolic links as a process does whose
// root directory is the layer.
func resolveLinks(root *rootfd.Root, name string) (int, error) {
	top, err := root.Dir(".")
	if err != nil {
		return -1, err
	}
	defer top.Release()
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd := -1
	for range maxResolveTries {
		fd, err = unix.Openat2(top.FD(), name, &how)
		// EAGAIN: something was renamed meanwhile and the kernel can not vouch for the result.
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return -1, fmt.Errorf("name leads through a symbolic link: %w without openat2", errdefs.ErrUnsupported)
	}
	return fd, err
}

// maxResolveTries bounds the repetition of a lookup in a tree that changes.
const maxResolveTries = 128

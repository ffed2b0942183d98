package rootfd

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Options tune a Root. The zero value is right for trees that others may be
// changing.
type Options struct {
	// Cache is how many directories stay open for the next name inside them; 0
	// keeps none. A kept directory is not looked up again: use it only on a tree
	// that nobody else renames in, and remove and rename through the Root.
	Cache int
}

// Root is a directory pinned by descriptor, and the tree below it. It is safe
// for concurrent use.
type Root struct {
	dir   *Dir
	cache *dirCache
	// walk is set once the kernel has turned out not to know openat2.
	walk atomic.Bool
}

// Open pins the directory at path, which the caller trusts: links in path
// itself are followed. The caller closes the Root.
func Open(path string, opts Options) (*Root, error) {
	fd, err := open(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	r := &Root{dir: newDir(fd)}
	if opts.Cache > 0 {
		r.cache = newDirCache(opts.Cache)
	}
	return r, nil
}

// Close lets go of the directory. Dirs that are still held stay usable.
func (r *Root) Close() error {
	r.cache.drop()
	r.dir.Release()
	return nil
}

// Dir opens the directory name for operations on its entries. The caller
// releases it.
func (r *Root) Dir(name string) (*Dir, error) {
	clean, err := Clean(name)
	if err != nil {
		return nil, err
	}
	d, err := r.lookup(clean)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: clean, Err: err}
	}
	return d, nil
}

// Parent opens the directory that holds name, and returns name's base, which is
// "." for the root itself. The caller releases the Dir.
func (r *Root) Parent(name string) (d *Dir, base string, err error) {
	clean, err := Clean(name)
	if err != nil {
		return nil, "", err
	}
	dir, base := Split(clean)
	if d, err = r.lookup(dir); err != nil {
		return nil, "", &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return d, base, nil
}

// Keep puts an open directory into the cache under its cleaned name, as if it
// had just been looked up. Without a cache it does nothing. The caller's own
// hold on d is not touched.
func (r *Root) Keep(name string, d *Dir) { r.cache.put(name, d) }

// lookup opens a directory by its cleaned name.
func (r *Root) lookup(name string) (*Dir, error) {
	if name == "." {
		return r.dir.Hold(), nil
	}
	if d := r.cache.get(name); d != nil {
		return d, nil
	}
	fd, err := r.openBeneath(name)
	if err != nil {
		return nil, err
	}
	d := newDir(fd)
	r.cache.put(name, d)
	return d, nil
}

// openBeneath resolves a directory's name in one system call, or in a few when
// the name is longer than the kernel takes at once.
func (r *Root) openBeneath(name string) (int, error) {
	at, held := r.dir.fd, -1
	defer func() { closeFD(held) }()
	for {
		step, rest := cutName(name)
		fd, err := r.openStep(at, step)
		if err != nil || rest == "" {
			return fd, err
		}
		closeFD(held)
		at, held, name = fd, fd, rest
	}
}

// openStep opens a directory below at with openat2, or component by component
// where the kernel or a filter on system calls refuses that.
func (r *Root) openStep(at int, name string) (int, error) {
	if !r.walk.Load() {
		fd, err := openat2(at, name)
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
			return fd, err
		}
		r.walk.Store(true)
	}
	return walk(at, name)
}

// OpenFile opens name, which must not be a symbolic link, with the flags of
// package os. The caller closes the file.
func (r *Root) OpenFile(name string, flags int, perm fs.FileMode) (*os.File, error) {
	var fd FD
	err := r.at("open", name, func(d *Dir, base string) (err error) {
		fd, err = d.Open(base, flags, uint32(perm.Perm()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// at runs one operation on a whole name and says in its error what and where.
func (r *Root) at(op, name string, do func(d *Dir, base string) error) error {
	d, base, err := r.Parent(name)
	if err != nil {
		return err
	}
	defer d.Release()
	if err := do(d, base); err != nil {
		return pathError(op, name, err)
	}
	return nil
}

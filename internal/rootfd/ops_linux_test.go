package rootfd

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The operations of Dir that only the tests ask for by whole names.

// MkdirAll makes a directory and the missing ones above it. One that is there
// already is fine; anything else of that name is an error.
func (r *Root) MkdirAll(name string, perm fs.FileMode) error {
	clean, err := Clean(name)
	if err != nil {
		return err
	}
	if err := r.mkdirAll(clean, uint32(perm.Perm())); err != nil {
		return &fs.PathError{Op: "mkdir", Path: clean, Err: err}
	}
	return nil
}

func (r *Root) mkdirAll(name string, perm uint32) error {
	d, err := r.lookup(name)
	if err == nil {
		d.Release()
		return nil
	}
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	dir, base := Split(name)
	if err := r.mkdirAll(dir, perm); err != nil {
		return err
	}
	if d, err = r.lookup(dir); err != nil {
		return err
	}
	defer d.Release()
	if err := d.Mkdir(base, perm); !errors.Is(err, unix.EEXIST) {
		return err
	}
	st, err := d.Lstat(base) // somebody else was faster
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = unix.ENOTDIR
	}
	return err
}

// Symlink makes a symbolic link that says target, whatever that is.
func (r *Root) Symlink(target, name string) error {
	return r.at("symlink", name, func(d *Dir, base string) error { return d.Symlink(target, base) })
}

// Link makes newName another name of the object at name, also of a symbolic link.
func (r *Root) Link(name, newName string) error {
	return r.at2("link", name, newName, (*Dir).Link)
}

// Rename moves the object at name to newName, over what is there.
func (r *Root) Rename(name, newName string) error {
	return r.at2("rename", name, newName, (*Dir).Rename)
}

// Mknod makes a fifo, device, socket or regular file; mode has the type and the
// permissions, which are subject to the umask.
func (r *Root) Mknod(name string, mode uint32, dev uint64) error {
	return r.at("mknod", name, func(d *Dir, base string) error { return d.Mknod(base, mode, dev) })
}

// Remove removes one object; a directory must be empty.
func (r *Root) Remove(name string) error {
	return r.at("remove", name, func(d *Dir, base string) error {
		err := d.Unlink(base)
		if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
			if dirErr := d.Rmdir(base); !errors.Is(dirErr, unix.ENOTDIR) {
				return dirErr
			}
		}
		return err
	})
}

// Utimes sets the times of the object itself, in nanoseconds.
func (r *Root) Utimes(name string, atime, mtime time.Time) error {
	return r.at("utimes", name, func(d *Dir, base string) error { return d.Utimes(base, atime, mtime) })
}

// Getxattr returns an extended attribute of the object itself; ENODATA if it is
// not there.
func (r *Root) Getxattr(name, attr string) (value []byte, err error) {
	err = r.at("getxattr", name, func(d *Dir, base string) (err error) {
		value, err = d.Getxattr(base, attr)
		return err
	})
	return value, err
}

// Listxattr returns the names of the object's extended attributes.
func (r *Root) Listxattr(name string) (names []string, err error) {
	err = r.at("listxattr", name, func(d *Dir, base string) (err error) {
		names, err = d.Listxattr(base)
		return err
	})
	return names, err
}

// at2 runs an operation on two names.
func (r *Root) at2(op, name, newName string, do func(d *Dir, base string, to *Dir, newBase string) error) error {
	d, base, err := r.Parent(name)
	if err != nil {
		return err
	}
	defer d.Release()
	to, newBase, err := r.Parent(newName)
	if err != nil {
		return err
	}
	defer to.Release()
	if err := do(d, base, to, newBase); err != nil {
		return &os.LinkError{Op: op, Old: name, New: newName, Err: err}
	}
	return nil
}

package rootfd

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Mkdir makes a directory whose parent is there.
func (r *Root) Mkdir(name string, perm fs.FileMode) error {
	return r.at("mkdir", name, func(d *Dir, base string) error { return d.Mkdir(base, uint32(perm.Perm())) })
}

// Readlink returns what a symbolic link says.
func (r *Root) Readlink(name string) (target string, err error) {
	err = r.at("readlink", name, func(d *Dir, base string) (err error) {
		target, err = d.Readlink(base)
		return err
	})
	return target, err
}

// RemoveAll removes the object at name with everything below it. What is not
// there is removed already. Mount points inside are not entered by force: they
// give EBUSY.
func (r *Root) RemoveAll(name string) error {
	defer r.forget(name)
	err := r.at("remove", name, (*Dir).RemoveAll)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Lstat returns the attributes of the object itself, also of a symbolic link.
func (r *Root) Lstat(name string) (st unix.Stat_t, err error) {
	err = r.at("lstat", name, func(d *Dir, base string) (err error) {
		st, err = d.Lstat(base)
		return err
	})
	return st, err
}

// Chown sets the owner of the object itself; see Dir.Chown.
func (r *Root) Chown(name string, uid, gid int) error {
	return r.at("chown", name, func(d *Dir, base string) error { return d.Chown(base, uid, gid) })
}

// Chmod sets the permission bits (0o7777); a symbolic link gives EOPNOTSUPP.
func (r *Root) Chmod(name string, mode uint32) error {
	return r.at("chmod", name, func(d *Dir, base string) error { return d.Chmod(base, mode) })
}

// Setxattr sets an extended attribute of the object itself.
func (r *Root) Setxattr(name, attr string, value []byte) error {
	return r.at("setxattr", name, func(d *Dir, base string) error { return d.Setxattr(base, attr, value) })
}

// forget drops a name that may not be clean; one that is not valid was never kept.
func (r *Root) forget(name string) {
	if clean, err := Clean(name); err == nil {
		r.cache.forget(clean)
	}
}

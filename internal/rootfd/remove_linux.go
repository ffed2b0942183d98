package rootfd

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// removeBatch is how many names of a directory are read before they are removed.
	removeBatch = 1024
	// removeDepth is how far down a removal goes before it moves what is deeper up
	// to where it began: each level holds two descriptors.
	removeDepth = 100
)

// RemoveAll removes an entry with everything below it, however deep, and never
// follows a link. A missing entry gives ENOENT. An error further down is an
// *fs.PathError with the name below base.
func (d *Dir) RemoveAll(base string) error {
	r := remover{top: d}
	err := r.remove(d, base, 0)
	for err == nil && len(r.moved) > 0 {
		name := r.moved[len(r.moved)-1]
		r.moved = r.moved[:len(r.moved)-1]
		err = r.remove(d, name, 0)
	}
	return err
}

// Empty removes all entries except those whose base name keep accepts. Entries
// that vanish meanwhile are no error.
func (d *Dir) Empty(keep func(base string) bool) error {
	return d.empty(keep, (*Dir).RemoveAll)
}

func (d *Dir) empty(keep func(base string) bool, remove func(d *Dir, base string) error) error {
	for {
		removed := 0
		err := d.EachName(func(base string) error {
			if keep(base) {
				return nil
			}
			removed++
			if err := remove(d, base); !errors.Is(err, unix.ENOENT) {
				return inside(base, err)
			}
			return nil
		})
		// Removing while reading may hide names from the reader: look again until
		// there is nothing left to do.
		if err != nil || removed == 0 {
			return err
		}
	}
}

// remover is one call of RemoveAll.
type remover struct {
	top   *Dir
	moved []string // directories that were moved up to top
	count int
}

func (r *remover) remove(d *Dir, base string, depth int) error {
	err := d.Unlink(base)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return err
	}
	// Linux says EISDIR; EPERM is POSIX's word, and an immutable file's.
	switch dirErr := d.Rmdir(base); {
	case errors.Is(dirErr, unix.ENOTDIR):
		return err
	case !errors.Is(dirErr, unix.ENOTEMPTY) && !errors.Is(dirErr, unix.EEXIST):
		return dirErr
	case depth >= removeDepth && r.moveUp(d, base):
		return nil
	}
	sub, err := d.OpenDir(base)
	if err != nil {
		return err
	}
	defer sub.Release()
	nothing := func(string) bool { return false }
	err = sub.empty(nothing, func(d *Dir, base string) error { return r.remove(d, base, depth+1) })
	if err != nil {
		return err
	}
	return d.Rmdir(base)
}

// moveUp moves a directory to the top under a free name, if that is possible.
func (r *remover) moveUp(d *Dir, base string) bool {
	for {
		r.count++
		name := ".removed-" + strconv.Itoa(r.count)
		err := unix.Renameat2(d.fd, base, r.top.fd, name, unix.RENAME_NOREPLACE)
		if err == nil {
			r.moved = append(r.moved, name)
		}
		if err != unix.EEXIST && err != unix.EINTR {
			return err == nil
		}
	}
}

// EachName calls do for each entry's base name, in the file system's order,
// until do fails. It reads the directory from its start and in batches, so do
// may remove entries.
func (d *Dir) EachName(do func(base string) error) error {
	fd, err := open(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close() // it was only read
	for {
		names, readErr := f.Readdirnames(removeBatch)
		for _, base := range names {
			if err := do(base); err != nil {
				return err
			}
		}
		if len(names) == 0 {
			return endOfNames(readErr)
		}
	}
}

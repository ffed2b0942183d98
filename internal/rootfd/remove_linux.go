package rootfd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// removeBatch is how many names of a directory are read before they are removed.
const removeBatch = 1024

// RemoveAll removes an entry with everything below it, never following a link.
// A missing entry gives ENOENT. An error further down is an *fs.PathError with
// the name from here on.
func (d *Dir) RemoveAll(base string) error {
	err := d.Unlink(base)
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	// Linux says EISDIR; EPERM is POSIX's word, and an immutable file's.
	dirErr := d.Rmdir(base)
	switch dirErr {
	case unix.ENOTDIR:
		return err
	case unix.ENOTEMPTY, unix.EEXIST:
		return d.removeTree(base)
	}
	return dirErr
}

func (d *Dir) removeTree(base string) error {
	sub, err := d.OpenDir(base)
	if err != nil {
		return err
	}
	defer sub.Release()
	if err := sub.Empty(func(string) bool { return false }); err != nil {
		return err
	}
	return d.Rmdir(base)
}

// Empty removes all entries except those whose base name keep accepts. The
// directory must have been opened for reading (OpenDir). Entries that vanish
// meanwhile are no error.
func (d *Dir) Empty(keep func(base string) bool) error {
	for {
		removed := 0
		err := d.EachName(func(base string) error {
			if keep(base) {
				return nil
			}
			removed++
			if err := d.RemoveAll(base); !errors.Is(err, unix.ENOENT) {
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

package tree

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// NewDir makes a directory below root, with a name that begins with prefix, which Abandoned
// tells from one that a killed process left: it is locked as long as the file is open. The
// caller closes the file.
func NewDir(root, prefix string) (path string, held *os.File, err error) {
	// Who looks for abandoned ones waits until this one is locked.
	making, err := lockDir(root, unix.LOCK_SH)
	if err != nil {
		return "", nil, err
	}
	defer making.Close()
	if path, err = os.MkdirTemp(root, prefix); err != nil {
		return "", nil, err
	}
	if held, err = lockDir(path, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = os.Remove(path) // the first error is the one to tell
		return "", nil, err
	}
	return path, held, nil
}

// Abandoned reports whether nobody works in a directory that NewDir made. When in doubt
// somebody does.
func Abandoned(path string) bool {
	making, err := lockDir(filepath.Dir(path), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return false
	}
	defer making.Close()
	held, err := lockDir(path, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return false
	}
	return held.Close() == nil
}

// lockDir takes the flock(2) of a directory, which closing it gives back.
func lockDir(path string, how int) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0) // a FIFO would never open
	if err != nil {
		return nil, err
	}
	if err := flock(int(dir.Fd()), how); err != nil {
		_ = dir.Close() // nothing was written
		return nil, &os.PathError{Op: "flock", Path: path, Err: err}
	}
	return dir, nil
}

func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); err != unix.EINTR {
			return err
		}
	}
}

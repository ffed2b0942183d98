package tempdir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/livefile"
)

// errBusy says that a lock is held by somebody, or that its file went away while we asked.
var errBusy = errors.New("temp directory is in use")

// lockFile is a held lock-<n>.
type lockFile struct{ file *os.File }

// createLock makes the lock file of a new pair and locks it. Between the two a
// sweeper may take the file for a leftover: then it is errBusy, and another
// name will do.
func createLock(path string) (*lockFile, error) {
	return openLock(path, os.O_CREATE|os.O_EXCL)
}

// seizeLock locks the lock file of a pair that may be stale, making it when only the
// directory is left. errBusy means that its user lives.
func seizeLock(path string) (*lockFile, error) {
	return openLock(path, os.O_CREATE)
}

func openLock(path string, flags int) (*lockFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|flags, 0o600)
	if err != nil {
		return nil, err
	}
	locked, err := livefile.TryLock(f)
	if err == nil && !locked {
		err = errBusy
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := sameFile(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &lockFile{f}, nil
}

// sameFile makes sure that the locked file is still the one that its path names: a lock on
// a file that was unlinked while we waited for it protects nothing.
func sameFile(f *os.File, path string) error {
	held, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return errBusy
	}
	if err != nil {
		return err
	}
	if !os.SameFile(held, named) {
		return errBusy
	}
	return nil
}

// remove unlinks the lock file while it is held, and then lets go of it.
func (l *lockFile) remove() error {
	err := os.Remove(l.file.Name())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.file.Close())
}

// release lets go of the lock and leaves the file.
func (l *lockFile) release() error { return l.file.Close() }

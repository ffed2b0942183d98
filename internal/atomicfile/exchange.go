package atomicfile

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Exchange swaps two files or directories of one file system in a single step. If
// there is nothing at to, from is moved there. Where the file system can not swap,
// what is at to is moved away first, to the name of from with ".old" behind it.
// Nothing is synced.
func Exchange(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.ENOENT):
		return os.Rename(from, to)
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS):
		if err := os.Rename(to, from+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Rename(from, to)
	case err != nil:
		return &os.LinkError{Op: "exchange", Old: from, New: to, Err: err}
	}
	return nil
}

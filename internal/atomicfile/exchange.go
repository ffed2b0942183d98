package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Exchange swaps two files or directories of one file system in a single step. If
// there is nothing at to, from is moved there. Where the file system can not swap,
// what is at to is moved away first, to the name of from with ".old" behind it.
// Nothing is synced.
func Exchange(from, to string) error {
	err := swap(from, to)
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

// Swap is Exchange where nothing may be missing for a moment: an errors.ErrUnsupported
// where the file system can not swap, and an error when something is not there.
func Swap(a, b string) error {
	err := swap(a, b)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	if err != nil {
		return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
	return nil
}

func swap(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

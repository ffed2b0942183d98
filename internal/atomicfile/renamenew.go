package atomicfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// RenameNew renames a file or directory to a path that must not exist; an
// errdefs.ErrExists, which is an fs.ErrExist too, if it does. Where the file system can not
// tell in the same step, the caller's lock has to keep others from making it meanwhile.
func RenameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if _, err := os.Lstat(to); err != nil {
			return os.Rename(from, to)
		}
		err = unix.EEXIST
	}
	if err == nil {
		return nil
	}
	renamed := &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: %w", errdefs.ErrExists, renamed)
	}
	return renamed
}

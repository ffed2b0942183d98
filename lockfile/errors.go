package lockfile

import (
	"fmt"

	"github.com/stratastore/strata/errdefs"
)

// NotAFileError says that a directory, a link or something else that can not be
// locked is in the place of a lock file. It unwraps to errdefs.ErrCorrupt.
type NotAFileError struct {
	// Path is that of the lock file.
	Path string
}

func (e *NotAFileError) Error() string {
	return fmt.Sprintf("lock file %s is no regular file: %v", e.Path, errdefs.ErrCorrupt)
}

// Unwrap returns errdefs.ErrCorrupt.
func (e *NotAFileError) Unwrap() error { return errdefs.ErrCorrupt }

// Hint says what to do about it.
func (e *NotAFileError) Hint() string {
	return "`strata check --repair` moves it away and makes the lock file again"
}

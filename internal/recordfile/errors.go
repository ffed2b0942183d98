package recordfile

import (
	"fmt"

	"github.com/stratastore/strata/errdefs"
)

// ErrTxClosed says that the transaction was used after Close or Commit.
var ErrTxClosed = errdefs.New(errdefs.ErrInvalid, "transaction is closed")

// CorruptError says where a record file is damaged. It unwraps to
// errdefs.ErrCorrupt.
type CorruptError struct {
	// Path of the file.
	Path string
	// Offset of the damage in bytes.
	Offset int64
	// Reason says what was found there.
	Reason string
	// Backup is a good copy of a version before the damage; "" if there is none.
	Backup string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: byte %d: %s: %v", e.Path, e.Offset, e.Reason, errdefs.ErrCorrupt)
}

// Unwrap returns errdefs.ErrCorrupt.
func (e *CorruptError) Unwrap() error { return errdefs.ErrCorrupt }

// Hint says what to do about it.
func (e *CorruptError) Hint() string {
	if e.Backup == "" {
		return fmt.Sprintf("restore %s from a backup or repair it by hand; no engine can use the store before", e.Path)
	}
	return fmt.Sprintf("with no engine running, go back to the last good version: cp %s %s", e.Backup, e.Path)
}

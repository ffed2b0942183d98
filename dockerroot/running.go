package dockerroot

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// ErrRunning says that an engine works on the data root.
var ErrRunning = errdefs.New(errdefs.ErrLocked, "the data root is in use by a running engine")

// checkStopped finds out whether an engine holds its volume database, as each
// does for its whole life. A shared lock, taken for a moment, tells: it is what
// a reader of the database would take, and nothing is written for it.
func (r *Root) checkStopped() error {
	f, _, err := r.openRegular(r.at("volumes", "metadata.db"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a copy without the volumes
	}
	if err != nil {
		return fmt.Errorf("find out whether an engine is running: %w", err)
	}
	defer f.Close() // gives the lock back
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrRunning
	case err != nil:
		return fmt.Errorf("find out whether an engine is running: lock volumes/metadata.db: %w", err)
	}
	return nil
}

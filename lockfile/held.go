package lockfile

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/stratastore/strata/errdefs"
)

// Held is a lock that is held. Safe for concurrent use.
type Held struct {
	lock *Lock
	mode mode
	mu   sync.Mutex
	file *os.File // nil after Unlock
}

// Exclusive reports whether the lock is held exclusively.
func (h *Held) Exclusive() bool { return h.mode == exclusive }

// Path returns the lock file's path.
func (h *Held) Path() string { return h.lock.path }

// Unlock gives the lock back. Further calls do nothing and return nil, so it may
// be deferred and called early as well.
func (h *Held) Unlock() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return nil
	}
	// Unlocking first lets go at once, even if a child that is being started has
	// a copy of the descriptor until its exec.
	err := errors.Join(unlock(h.file), h.file.Close())
	h.file = nil
	h.lock.gate.Release(h.mode.weight())
	if err != nil {
		return fmt.Errorf("unlock %s: %w", h.lock.path, err)
	}
	return nil
}

func (h *Held) releasedError() error {
	return fmt.Errorf("lock %s is not held any more: %w", h.lock.path, errdefs.ErrInvalid)
}

func (h *Held) sharedError() error {
	return fmt.Errorf("lock %s is held shared only: %w", h.lock.path, errdefs.ErrInvalid)
}

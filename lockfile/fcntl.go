package lockfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// mode is how a lock is held.
type mode int16

const (
	shared    mode = unix.F_RDLCK
	exclusive mode = unix.F_WRLCK
)

// weight is the mode's share of a Lock's gate.
func (m mode) weight() int64 {
	if m == exclusive {
		return maxShared
	}
	return 1
}

// errBusy: somebody else holds the lock in a mode that excludes ours.
var errBusy = errors.New("lock is busy")

// wholeFile is a lock over all bytes there are or will be. The PID has to be 0
// for the F_OFD commands.
func wholeFile(kind int16) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: io.SeekStart}
}

// setLock tries once to lock f; errBusy when somebody else has it.
func setLock(f *os.File, m mode) error {
	err := fcntl(f, unix.F_OFD_SETLK, wholeFile(int16(m)))
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return errBusy
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

func unlock(f *os.File) error { return fcntl(f, unix.F_OFD_SETLK, wholeFile(unix.F_UNLCK)) }

// blocked reports whether somebody's lock keeps m out, and which process that
// is as far as the kernel tells: it says -1 for a lock of an open file
// description and 0 for a process of another PID namespace.
func blocked(f *os.File, m mode) (yes bool, pid int, err error) {
	lk := wholeFile(int16(m))
	if err := fcntl(f, unix.F_OFD_GETLK, lk); err != nil {
		return false, 0, err
	}
	return lk.Type != unix.F_UNLCK, int(lk.Pid), nil
}

func fcntl(f *os.File, cmd int, lk *unix.Flock_t) error {
	for {
		if err := unix.FcntlFlock(f.Fd(), cmd, lk); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

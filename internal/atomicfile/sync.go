package atomicfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faults"
)

// SyncDir flushes a directory, so that the names made, renamed or removed in it
// survive a power cut. File systems that can not sync a directory (EINVAL) are
// taken at their word: nothing more can be done there.
func SyncDir(path string) error {
	if err := faults.Hit("atomicfile.syncdir", path); err != nil {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = retryEINTR(func() error { return unix.Fsync(int(d.Fd())) })
	if errors.Is(err, unix.EINVAL) {
		err = nil
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return nil
}

// SyncFilesystem flushes everything that was written to the file system that path is on:
// one call is cheaper than one for each of many files.
func SyncFilesystem(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync file system: %w", err)
	}
	err = retryEINTR(func() error { return unix.Syncfs(int(f.Fd())) })
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync file system of %s: %w", path, err)
	}
	return nil
}

func retryEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

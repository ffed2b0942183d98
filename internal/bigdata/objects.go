package bigdata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/reserve"
)

// HasObjects reports whether parent holds a directory named like an object that
// an engine made: 64 lower-case hex digits. It tells an empty record file from a
// lost one.
func HasObjects(parent string) bool {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.IsDir() && len(e.Name()) == 64 && strings.Trim(e.Name(), "0123456789abcdef") == ""
	})
}

// Trash takes directories of objects away at once and returns the function that
// deletes their bytes, to be called when no lock is held; it is never nil. One
// that is not there is success. What is never deleted, SweepStages deletes.
func Trash(dirs ...string) (remove func() error, err error) {
	var trash []string
	var errs []error
	for _, dir := range dirs {
		moved, err := trashOne(dir)
		if err != nil {
			errs = append(errs, err)
		}
		if moved != "" {
			trash = append(trash, moved)
		}
	}
	remove = func() error {
		var errs []error
		for _, dir := range trash {
			errs = append(errs, removeAll(dir))
		}
		return errors.Join(errs...)
	}
	return remove, errors.Join(errs...)
}

// trashOne moves dir to a staging name beside it and returns that name, "" if
// there is no dir.
func trashOne(dir string) (string, error) {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil && !info.IsDir() {
		return "", os.Remove(dir) // a link: what it leads to is somebody else's
	}
	target, err := os.MkdirTemp(filepath.Dir(dir), stagePrefix)
	if err != nil {
		// Without space for one more directory, deleting in place still works.
		return "", removeAll(dir)
	}
	if err := faults.Hit("bigdata.trash", dir); err != nil {
		return "", errors.Join(fmt.Errorf("take %s away: %w", dir, err), os.Remove(target))
	}
	// The rename replaces the empty directory, which os.Rename would refuse. A sweep
	// may have been faster and removed it; that does not matter.
	err = unix.Rename(dir, target)
	if reserve.Full(err) {
		return "", errors.Join(removeAll(dir), os.Remove(target))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("take %s away: %w", dir, err), os.Remove(target))
	}
	return target, nil
}

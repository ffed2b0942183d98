package tempdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/internal/faults"
)

// Recover removes every pair below root, or half of one, whose user is gone. Pairs in use
// and names that are not of the scheme are left alone; a missing root has nothing to
// recover. One pair that can not be removed does not stop the others; all errors come back
// joined. It stops between pairs when ctx ends, and can be called again at any time.
func Recover(ctx context.Context, root string) error {
	numbers, err := list(root)
	if err != nil {
		return fmt.Errorf("recover temp directories: %w", err)
	}
	var errs []error
	for _, n := range numbers {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := recoverPair(root, n); err != nil {
			errs = append(errs, fmt.Errorf("recover temp directory %s: %w", filepath.Join(root, dirPrefix+n), err))
		}
	}
	return errors.Join(errs...)
}

// list returns the numbers of all pairs below root, complete or not, sorted.
func list(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	numbers := map[string]bool{}
	for _, e := range entries {
		if n, ok := number(e); ok {
			numbers[n] = true
		}
	}
	return slices.Sorted(maps.Keys(numbers)), nil
}

// number reads the <n> of an entry that is of the scheme.
func number(e fs.DirEntry) (string, bool) {
	n, ok := strings.CutPrefix(e.Name(), lockPrefix)
	ok = ok && e.Type().IsRegular()
	if !ok {
		n, ok = strings.CutPrefix(e.Name(), dirPrefix)
		ok = ok && e.IsDir()
	}
	digits := n != "" && strings.Trim(n, "0123456789") == ""
	return n, ok && digits
}

func recoverPair(root, n string) error {
	lock, err := seizeLock(filepath.Join(root, lockPrefix+n))
	if errors.Is(err, errBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := faults.Hit("tempdir.recover", root); err != nil {
		return errors.Join(err, lock.release())
	}
	if err := RemoveTree(filepath.Join(root, dirPrefix+n)); err != nil {
		return errors.Join(err, lock.release())
	}
	return lock.remove()
}

// RemoveTree deletes path and everything below it, following no links; a missing path is
// success. Without root's privileges a directory that forbids writing also forbids
// emptying it, so those are opened up first.
func RemoveTree(path string) error {
	err := os.RemoveAll(path)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return os.RemoveAll(path) // once more: an error that passes must not leave anything
	}
	if openErr := openUp(path); openErr != nil {
		return errors.Join(err, openErr)
	}
	return os.RemoveAll(path)
}

// openUp gives the owner every right on all directories of a tree. The tree is on its way out
// and nobody else's, so following a swapped name is no concern; links are not followed anyway.
func openUp(path string) error {
	return filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if e != nil && e.IsDir() && err == nil {
			return os.Chmod(p, 0o700) //nolint:gosec // directories need the x bit
		}
		return nil
	})
}

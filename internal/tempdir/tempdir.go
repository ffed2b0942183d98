// Package tempdir keeps what is on its way into a store, or out of it, in
// directories whose user can be told dead from alive.
//
// The scheme is the one of the other engines (on-disk format, 3.7), so both sides
// clean up after each other. A temp root holds pairs of lock-<n>, a file that its
// user keeps locked, and temp-dir-<n>, a directory. A user makes the lock first and
// the directory second, and removes them in the opposite order; so whoever gets the
// lock of a pair knows that its user is dead and that the directory can go.
//
//	td, err := tempdir.New(root)
//	defer td.Close()
//	dir := td.Addition()          // not there yet: make it, fill it, sync it
//	err = os.Rename(dir, place)   // and it is out of reach of Close
//	gone, err := td.Trash(other)  // renamed in: dies with Close, or with the next Recover
//
// Locks belong to open file descriptions, so they also tell users within one
// process apart, and they end with the process however it ends.
package tempdir

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/stratastore/strata/internal/faults"
)

const (
	lockPrefix = "lock-"
	dirPrefix  = "temp-dir-"
	// attempts bounds the search for a free number; each failure needs a collision
	// of random numbers or a race with a sweep.
	attempts = 100
	// maxBase keeps "<k>-<base name>" within NAME_MAX.
	maxBase = 200
)

// Dir is one user's private directory (0700) below a temp root, alive while its
// lock is held. All methods are safe for concurrent use.
type Dir struct {
	path string
	lock *lockFile

	mu     sync.Mutex
	next   int  // the <k> of the next name
	closed bool // Close ran
}

// New makes a pair below root, and root itself (0700, with parents) if it is
// missing. The caller closes the Dir.
func New(root string) (*Dir, error) {
	if err := faults.Hit("tempdir.new", root); err != nil {
		return nil, fmt.Errorf("make temp directory: %w", err)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("make temp root: %w", err)
	}
	for range attempts {
		d, err := tryNew(root, strconv.FormatUint(uint64(rand.Uint32()), 10))
		if err != nil {
			return nil, fmt.Errorf("make temp directory in %s: %w", root, err)
		}
		if d != nil {
			return d, nil
		}
	}
	return nil, fmt.Errorf("make temp directory in %s: no free name in %d attempts", root, attempts)
}

// tryNew makes the pair of number n; nil means that somebody else has it.
func tryNew(root, n string) (*Dir, error) {
	lock, err := createLock(filepath.Join(root, lockPrefix+n))
	if errors.Is(err, fs.ErrExist) || errors.Is(err, errBusy) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := faults.Hit("tempdir.mkdir", root); err != nil {
		return nil, errors.Join(err, lock.remove())
	}
	path := filepath.Join(root, dirPrefix+n)
	switch err := os.Mkdir(path, 0o700); {
	case err == nil:
		return &Dir{path: path, lock: lock}, nil
	case errors.Is(err, fs.ErrExist):
		// A directory that lost its lock: it stays for Recover, with a lock to find.
		return nil, lock.release()
	default:
		return nil, errors.Join(err, lock.remove())
	}
}

// Path is the private directory itself.
func (d *Dir) Path() string { return d.path }

// Addition returns a path in the directory that nothing has, "<k>-addition". The
// caller creates it, and renames it to where it belongs when it is complete.
func (d *Dir) Addition() string { return d.fresh("addition") }

// Trash renames path into the directory, as "<k>-<base name>", and returns where it
// went. Close then deletes it; so does Recover if this process dies before. path has
// to be on the same file system.
func (d *Dir) Trash(path string) (string, error) {
	if err := faults.Hit("tempdir.trash", d.path); err != nil {
		return "", fmt.Errorf("move to trash: %w", err)
	}
	base := filepath.Base(path)
	if len(base) > maxBase {
		base = base[:maxBase]
	}
	to := d.fresh(base)
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("move to trash: %w", err)
	}
	return to, nil
}

func (d *Dir) fresh(what string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.next
	d.next++
	return filepath.Join(d.path, strconv.Itoa(k)+"-"+what)
}

// Close deletes the directory with all that is in it, then the lock file while its
// lock is still held. When something can not be deleted, the pair is left unlocked
// for a later Recover and the error is returned. A second Close does nothing.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if err := faults.Hit("tempdir.close", d.path); err != nil {
		return errors.Join(fmt.Errorf("empty temp directory: %w", err), d.lock.release())
	}
	if err := RemoveTree(d.path); err != nil {
		return errors.Join(fmt.Errorf("empty temp directory: %w", err), d.lock.release())
	}
	return d.lock.remove()
}

// Package livefile makes files that tell whether their maker lives.
//
// Such a file is locked for as long as its maker has it open: by an open-file-description
// lock, which the kernel drops with the process, however that ends. It gets its final name
// when it is locked and written. So whoever finds one without a lock may act on what
// it says, and remove it.
package livefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/objectid"
)

const (
	// newPrefix marks a file that is not locked yet, or not written.
	newPrefix = "."
	// attempts bounds the search for a name that nobody takes away meanwhile.
	attempts = 100
)

// errTaken: nobody else has a reason to lock a file that was just made.
var errTaken = errors.New("somebody locked it first")

// Options say how a file is made.
type Options struct {
	// Point begins the names of the fault points.
	Point string
	// Append makes every write go to the end, also after others have written.
	Append bool
	// Sync makes the file durable with its name.
	Sync bool
}

// File is a file as its maker has it. Closing it says that nobody lives.
type File struct {
	*os.File
	// Path is its final one.
	Path string
}

// Create makes a file in dir, and dir itself (0700, with parents) if it is missing. fill
// writes what others are to find. After an error nothing is left. The caller closes the file.
func Create(dir string, opts Options, fill func(*File) error) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for range attempts {
		f, err := create(dir, opts, fill)
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken for a dead one's between its creation and its lock
		}
		if err != nil {
			return nil, fmt.Errorf("make a file in %s: %w", dir, err)
		}
		return f, nil
	}
	return nil, fmt.Errorf("make a file in %s: swept away %d times", dir, attempts)
}

func create(dir string, opts Options, fill func(*File) error) (_ *File, err error) {
	if err := faults.Hit(opts.Point+".create", dir); err != nil {
		return nil, err
	}
	name := objectid.New()
	fresh := filepath.Join(dir, newPrefix+name)
	flags := os.O_RDWR | os.O_CREATE | os.O_EXCL
	if opts.Append {
		flags |= os.O_APPEND
	}
	file, err := os.OpenFile(fresh, flags, 0o600)
	if err != nil {
		return nil, err
	}
	f := &File{File: file, Path: filepath.Join(dir, name)}
	defer func() {
		if err != nil {
			err = errors.Join(err, Remove(fresh), f.Close())
		}
	}()
	if locked, err := TryLock(file); err != nil || !locked {
		return nil, errors.Join(err, errTaken)
	}
	if err := fill(f); err != nil {
		return nil, err
	}
	return f, f.publish(fresh, opts)
}

// publish gives the file its name.
func (f *File) publish(fresh string, opts Options) error {
	if err := faults.Hit(opts.Point+".publish", f.Path); err != nil {
		return err
	}
	if opts.Sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, f.Path); err != nil || !opts.Sync {
		return err
	}
	if err := atomicfile.SyncDir(filepath.Dir(f.Path)); err != nil {
		return errors.Join(err, Remove(f.Path))
	}
	return nil
}

// made is the form of the names that Create gives.
var made = regexp.MustCompile(`^\.?[0-9a-f]{64}$`)

// List returns the paths of the files in dir that Create made, in any state. Other files are
// somebody else's. A missing directory has none.
func List(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && made.MatchString(e.Name()) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// IsNew reports whether a path is of a file that has no name of its own yet: it says
// nothing, and with a maker that died it never will.
func IsNew(path string) bool { return strings.HasPrefix(filepath.Base(path), newPrefix) }

// Open opens somebody's file for reading, no link, and tells whether its maker lives. The
// caller closes it.
func Open(path string) (f *os.File, alive bool, err error) {
	f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, false, err
	}
	// Asked without locking, so that two who ask do not see each other.
	lock := wholeFile()
	if err := fcntl(f, unix.F_OFD_GETLK, &lock); err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	return f, lock.Type != unix.F_UNLCK, nil
}

// Remove deletes a file that may be gone.
func Remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// TryLock takes the lock on all of f, without waiting; false means that somebody else
// has it. The kind is that of the other engines' locks, which it excludes.
func TryLock(f *os.File) (bool, error) {
	lock := wholeFile()
	err := fcntl(f, unix.F_OFD_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}

func wholeFile() unix.Flock_t { return unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

func fcntl(f *os.File, command int, lock *unix.Flock_t) error {
	for {
		switch err := unix.FcntlFlock(f.Fd(), command, lock); {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("lock of %s: %w", f.Name(), err)
		}
	}
}

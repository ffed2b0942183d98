// Package boltfile is a bbolt database whose damage is an error. bbolt trusts its file: a
// page that was lost or overwritten makes it panic, and one behind the file's end is a fault
// of the memory that it maps.
package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// File is an open database. Damage that bbolt finds is an errdefs.ErrCorrupt; from then on so
// is everything but Close.
type File struct {
	db     *bbolt.DB
	file   *os.File
	broken atomic.Bool
}

// Open opens the database at path. A file without a database is an errdefs.ErrCorrupt, an empty
// one becomes a database. The caller closes it.
func Open(path string, mode fs.FileMode, opts bbolt.Options) (*File, error) {
	f := &File{}
	opts.OpenFile = func(name string, flag int, mode os.FileMode) (file *os.File, err error) {
		f.file, err = os.OpenFile(name, flag, mode)
		return f.file, err
	}
	err := guard(func() (err error) {
		f.db, err = bbolt.Open(path, mode, &opts)
		return err
	})
	if err == nil {
		return f, nil
	}
	if f.file != nil {
		_ = f.abandon() // bbolt has closed it, unless it panicked
	}
	var system syscall.Errno
	if errors.Is(err, berrors.ErrTimeout) || errors.As(err, &system) || errors.Is(err, errdefs.ErrCorrupt) {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", errdefs.ErrCorrupt, err)
}

// View reads in a transaction.
func (f *File) View(fn func(*bbolt.Tx) error) error {
	return f.use(func() error { return f.db.View(fn) })
}

// Update reads and writes in a transaction.
func (f *File) Update(fn func(*bbolt.Tx) error) error {
	return f.use(func() error { return f.db.Update(fn) })
}

func (f *File) use(do func() error) error {
	if f.broken.Load() {
		return fmt.Errorf("%w: it was found to be damaged before", errdefs.ErrCorrupt)
	}
	err := guard(do)
	var found *damage
	if errors.As(err, &found) {
		f.broken.Store(true)
	}
	return err
}

// Path is the database's file.
func (f *File) Path() string { return f.file.Name() }

// Close closes the database. One that is damaged stays mapped: bbolt may hold locks of its own
// that were not given back.
func (f *File) Close() error {
	if f.broken.Load() {
		return f.abandon()
	}
	return f.db.Close()
}

// abandon closes the file without bbolt. Its lock would last as long as the mapping.
func (f *File) abandon() error {
	return errors.Join(unix.Flock(int(f.file.Fd()), unix.LOCK_UN), f.file.Close())
}

// damage is what made bbolt panic.
type damage struct{ found any }

// Error names what bbolt says. A fault of memory would tell nothing: it is a page behind the
// file's end, or an offset that leads out of it.
func (d *damage) Error() string {
	if _, fault := d.found.(runtime.Error); fault {
		return fmt.Sprintf("%v: it refers to a part of itself that is not there", errdefs.ErrCorrupt)
	}
	return fmt.Sprintf("%v: %v", errdefs.ErrCorrupt, d.found)
}

// Unwrap returns errdefs.ErrCorrupt.
func (d *damage) Unwrap() error { return errdefs.ErrCorrupt }

// guard turns a panic in do, and a fault of mapped memory, into a damage.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if found := recover(); found != nil {
			err = &damage{found}
		}
	}()
	return do()
}

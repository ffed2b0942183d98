package graphdriver

import (
	"errors"

	"github.com/stratastore/strata/errdefs"
)

// The errors that let the choice of a driver move on to the next one: this host,
// this file system or this build can not run the driver at all. Wrap one of them
// with the cause. What does not belong here: bad options, I/O errors, permission
// denied on the home, damaged state; falling back from those would hide images.
var (
	// ErrNotSupported: the kernel lacks the file system, does not let us mount it
	// here, or there is no such driver.
	ErrNotSupported error = &unsupported{"driver not supported"}
	// ErrPrerequisites: a tool or a kernel feature that the driver needs is missing.
	ErrPrerequisites error = &unsupported{"prerequisites for driver not satisfied"}
	// ErrIncompatibleFS: the file system under the home can not carry the driver.
	ErrIncompatibleFS error = &unsupported{"backing file system is unsupported for this graph driver"}
)

// NotSupporter marks errors of the class that ErrNotSupported belongs to. Drivers
// may have types of their own with this method.
type NotSupporter interface {
	error
	// NotSupported does nothing; having it is the mark.
	NotSupported()
}

// IsNotSupported tells whether err, or anything that it wraps, says that a driver
// can not work here, as opposed to having failed.
func IsNotSupported(err error) bool {
	var mark NotSupporter
	return errors.As(err, &mark)
}

// unsupported is a sentinel of the class; its kind is errdefs.ErrUnsupported.
type unsupported struct{ text string }

func (u *unsupported) Error() string { return u.text }
func (u *unsupported) Unwrap() error { return errdefs.ErrUnsupported }
func (u *unsupported) NotSupported() {}

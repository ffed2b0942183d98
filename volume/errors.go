package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stratastore/strata/errdefs"
)

// The sentinels. Public operations of a Store wrap them in *Error.
var (
	// ErrNoSuchVolume: neither the store nor a driver has the volume.
	ErrNoSuchVolume = errdefs.New(errdefs.ErrNotFound, "no such volume")
	// ErrInUse: somebody holds the volume.
	ErrInUse = errdefs.New(errdefs.ErrInUse, "volume is in use")
	// ErrNameConflict: another driver owns the name, or may own it.
	ErrNameConflict = errdefs.New(errdefs.ErrExists, "volume name must be unique")
	// ErrExists: the volume is there, and the caller wanted a new one.
	ErrExists = errdefs.New(errdefs.ErrExists, "volume already exists")
	// ErrNoSuchDriver: no driver of that name is registered or can be found.
	ErrNoSuchDriver = errdefs.New(errdefs.ErrNotFound, "no such volume driver")
	// ErrUnavailable: a driver did not answer. It says nothing about its volumes.
	ErrUnavailable = errors.New("volume driver is unavailable")
	// ErrPruneRunning: one prune at a time.
	ErrPruneRunning = errdefs.New(errdefs.ErrLocked, "a prune operation is already running")
	// ErrInvalidFilter: a filter's key or value can not be understood.
	ErrInvalidFilter = errdefs.New(errdefs.ErrInvalid, "invalid filter")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("volume store is closed")
)

// Op names an operation in an Error.
type Op string

// The operations.
const (
	OpOpen    Op = "open"
	OpCreate  Op = "create"
	OpGet     Op = "get"
	OpList    Op = "list"
	OpRemove  Op = "remove"
	OpMount   Op = "mount"
	OpUnmount Op = "unmount"
	OpPrune   Op = "prune"
	OpUnused  Op = "release"

	OpClone    Op = "clone"
	OpRename   Op = "rename"
	OpSnapshot Op = "snapshot"
)

// Error is what every public operation of a Store fails with.
type Error struct {
	// Op is the operation.
	Op Op
	// Name is the volume, or the driver when a driver could not be listed; may be "".
	Name string
	// Err is the cause.
	Err error
	// Refs are the IDs of the holders that were in the way, sorted.
	Refs []string
	// Forgotten is set when a forced removal made the store forget the volume although
	// the driver failed.
	Forgotten bool
}

// Error is "<op> <name>: <err>", and " - [ref1, ref2]" when there are holders.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Op))
	if e.Name != "" {
		b.WriteString(" " + e.Name)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if len(e.Refs) > 0 {
		b.WriteString(" - [" + strings.Join(e.Refs, ", ") + "]")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint is the next step for a person, "" if there is none to give.
func (e *Error) Hint() string {
	switch {
	case errdefs.Hint(e.Err) != "":
		return errdefs.Hint(e.Err)
	case e.Op == OpRemove && (errors.Is(e.Err, ErrUnavailable) || errors.Is(e.Err, ErrNoSuchDriver)) && !e.Forgotten:
		return "start the driver again, or use --force to forget the volume without its driver"
	case errors.Is(e.Err, ErrInUse) && len(e.Refs) > 0:
		return "remove what uses the volume, or unmount it with --id " + e.Refs[0]
	}
	return ""
}

// fail wraps err for an operation; an error of the type is passed on as it is.
func fail(op Op, name string, err error, refs ...string) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	slices.Sort(refs)
	return &Error{Op: op, Name: name, Err: err, Refs: refs}
}

// conflict is a name that can not be had, for a reason that errors.Is still finds.
type conflict struct {
	text  string
	cause error
}

func (c *conflict) Error() string { return c.text }

func (c *conflict) Unwrap() []error {
	if c.cause == nil {
		return []error{ErrNameConflict}
	}
	return []error{ErrNameConflict, c.cause}
}

// NoAnswer is the error of a driver that did not answer within a time. It is a
// context.DeadlineExceeded.
type NoAnswer time.Duration

// Error tells the time.
func (n NoAnswer) Error() string { return "no answer within " + time.Duration(n).String() }

// Is makes it a context.DeadlineExceeded.
func (n NoAnswer) Is(target error) bool { return target == context.DeadlineExceeded }

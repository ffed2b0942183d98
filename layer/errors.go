package layer

import (
	"fmt"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/recordfile"
)

// Sentinels about which layer is meant. Texts are those of the other engines
// (command-line reference, 6), since scripts match on them.
var (
	// ErrUnknown: no layer has that ID, name or unique prefix.
	ErrUnknown = errdefs.New(errdefs.ErrNotFound, "layer not known")
	// ErrParentUnknown: the record names a parent that no store has.
	ErrParentUnknown = errdefs.New(errdefs.ErrNotFound, "parent of layer not known")
	// ErrDuplicateID and ErrDuplicateName: taken by another layer.
	ErrDuplicateID   = errdefs.New(errdefs.ErrExists, "that ID is already in use")
	ErrDuplicateName = errdefs.New(errdefs.ErrExists, "that name is already in use")
	// ErrReadOnlyStore: the layer belongs to an additional store, which is never written.
	ErrReadOnlyStore = errdefs.New(errdefs.ErrReadOnly, "called a write method on a read-only store")
)

// Sentinels about use. This package knows of children only; the root package
// uses the others, since it holds the transactions of images and containers.
var (
	ErrHasChildren       = errdefs.New(errdefs.ErrInUse, "layer has children")
	ErrUsedByImage       = errdefs.New(errdefs.ErrInUse, "layer is in use by an image")
	ErrUsedByContainer   = errdefs.New(errdefs.ErrInUse, "layer is in use by a container")
	ErrParentIsContainer = errdefs.New(errdefs.ErrInvalid, "would-be parent layer is a container")
	// ErrNotMounted: asked for something that only a mounted layer has.
	ErrNotMounted = errdefs.New(errdefs.ErrNotFound, "layer is not mounted")
)

// Sentinels about content.
var (
	// ErrIncomplete: an interrupted creation or deletion; the next load removes the rest.
	ErrIncomplete = errdefs.New(errdefs.ErrCorrupt, "layer is incomplete")
	// ErrVanished: the layer was deleted or replaced while its content was read.
	// What was read before is right as far as it goes, and not the whole.
	ErrVanished = errdefs.New(errdefs.ErrNotFound, "layer was deleted while it was read")
	// ErrParentChanged: the layer below was replaced between staging and adoption.
	ErrParentChanged = errdefs.New(errdefs.ErrNotFound, "parent of layer was replaced meanwhile")
	// ErrSizeUnknown: the record has no size.
	ErrSizeUnknown = errdefs.New(errdefs.ErrNotFound, "size is not known")
	// ErrDataUnknown: the layer has no data item of that name.
	ErrDataUnknown = errdefs.New(errdefs.ErrNotFound, "file does not exist")
	// ErrTxClosed: the transaction has ended.
	ErrTxClosed = recordfile.ErrTxClosed
)

var errForeignStage = errdefs.New(errdefs.ErrInvalid, "stage is of another store or was adopted before")

// SubjectError is a sentinel about one object. It prints as the bare sentinel,
// as the other engines do; Subject lets a program say which object it was.
type SubjectError struct {
	// Subject is the ID, name or text that was asked for.
	Subject string
	// Err is the sentinel.
	Err error
}

func (e *SubjectError) Error() string { return e.Err.Error() }
func (e *SubjectError) Unwrap() error { return e.Err }

// about returns err as said of the subject.
func about[T ~string](subject T, err error) error {
	return &SubjectError{Subject: string(subject), Err: err}
}

// ChildError says which child keeps a layer from being deleted. It prints as
// "used by layer CHILD: layer has children" and is an ErrHasChildren.
type ChildError struct {
	Layer, Child ID
}

func (e *ChildError) Error() string {
	return fmt.Sprintf("used by layer %s: %v", e.Child, ErrHasChildren)
}
func (e *ChildError) Unwrap() error { return ErrHasChildren }

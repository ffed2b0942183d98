package strata

import (
	"fmt"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// The errors of the store as a whole; those of single kinds are in packages
// layer, image and container. The texts are the other engines'.
var (
	// ErrIncompleteOptions: Open got no graph root or no run root.
	ErrIncompleteOptions = errdefs.New(errdefs.ErrInvalid, "missing necessary StoreOptions")
	// ErrNotALayer: the argument of DeleteLayer names no layer that can be deleted.
	ErrNotALayer = errdefs.New(errdefs.ErrNotFound, "identifier is not a layer")
	// ErrNotAnImage: the argument of DeleteImage names no image that can be deleted.
	ErrNotAnImage = errdefs.New(errdefs.ErrNotFound, "identifier is not an image")
	// ErrNotAContainer: the argument of DeleteContainer names no container.
	ErrNotAContainer = errdefs.New(errdefs.ErrNotFound, "identifier is not a container")
	// ErrNotAnID: the argument names no object of any kind.
	ErrNotAnID = errdefs.New(errdefs.ErrNotFound, "identifier is not a layer, image, or container")
	// ErrClosed: the store was closed or shut down.
	ErrClosed = errdefs.New(errdefs.ErrInvalid, "store is closed")
)

// UnknownError says that no object of a kind has a name. It unwraps to the kind's
// ErrUnknown. Its text is the other engines', which may lack the name: programs
// for people add it.
type UnknownError struct {
	Kind Kind
	// Name is what was looked for.
	Name string
}

// Error is the wording of the other engines, which scripts compare.
func (e *UnknownError) Error() string {
	if e.Kind == KindImage {
		return fmt.Sprintf("locating image with ID %q: %v", e.Name, e.Unwrap())
	}
	return e.Unwrap().Error()
}

// Unwrap returns layer.ErrUnknown, image.ErrUnknown or container.ErrUnknown.
func (e *UnknownError) Unwrap() error {
	switch e.Kind {
	case KindImage:
		return image.ErrUnknown
	case KindContainer:
		return container.ErrUnknown
	default:
		return layer.ErrUnknown
	}
}

// InUseError says why an object can not be deleted. It unwraps to one of
// layer.ErrHasChildren, layer.ErrUsedByImage, layer.ErrUsedByContainer and
// image.ErrUsedByContainer, which are errdefs.ErrInUse. Its text is the other
// engines'.
type InUseError struct {
	// Kind and ID are of the object that was to go.
	Kind Kind
	ID   string
	// By and ByID are of the object that needs it.
	By   Kind
	ByID string
}

// Error names who needs the object.
func (e *InUseError) Error() string {
	switch {
	case e.Kind == KindImage:
		return fmt.Sprintf("image used by %s: %v", e.ByID, e.Unwrap())
	case e.By == KindLayer:
		return fmt.Sprintf("used by layer %s: %v", e.ByID, e.Unwrap())
	default:
		return fmt.Sprintf("layer %s used by %s %s: %v", e.ID, e.By, e.ByID, e.Unwrap())
	}
}

// Unwrap returns the sentinel for who needs what.
func (e *InUseError) Unwrap() error {
	switch {
	case e.Kind == KindImage:
		return image.ErrUsedByContainer
	case e.By == KindLayer:
		return layer.ErrHasChildren
	case e.By == KindImage:
		return layer.ErrUsedByImage
	default:
		return layer.ErrUsedByContainer
	}
}

// Hint names the command that lists or removes who needs the object.
func (e *InUseError) Hint() string {
	return fmt.Sprintf("delete %s %s first", e.By, e.ByID)
}

// MountedError says that a store could not be shut down, or was shut down by
// force, while layers were mounted. It unwraps to layer.ErrUsedByContainer.
type MountedError struct {
	// Layers are the mounted layers, in listing order.
	Layers []layer.ID
}

func (e *MountedError) Error() string { return "a layer is mounted: " + e.Unwrap().Error() }

// Unwrap returns layer.ErrUsedByContainer.
func (e *MountedError) Unwrap() error { return layer.ErrUsedByContainer }

// Hint names a mounted layer and what unmounts it.
func (e *MountedError) Hint() string {
	if len(e.Layers) == 0 {
		return ""
	}
	others := ""
	if n := len(e.Layers) - 1; n > 0 {
		others = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("mounted: %s%s; unmount with `strata unmount`, or all of them with `strata shutdown --force`", e.Layers[0], others)
}

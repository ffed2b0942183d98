package graphdriver

import (
	"context"
	"io"
)

// AdditionalLayers is the optional power to serve layers from directory trees that other
// programs keep, without copying them (additional layer stores; on-disk format, 4.11).
// Nothing but the notes of use is ever written there.
type AdditionalLayers interface {
	// FindAdditional finds a layer by its name there, in the configured stores in order;
	// ref is the image that it is wanted for, which some stores ask for. An
	// errdefs.ErrNotFound if no store has it. The caller releases it, unless a layer was
	// made of it.
	FindAdditional(ctx context.Context, name, ref string) (AdditionalLayer, error)
	// AdditionalOf returns what an existing layer was made of; an errdefs.ErrNotFound for
	// one that was not made like that. The layer keeps it in use; it is not released.
	AdditionalOf(ctx context.Context, id ID) (AdditionalLayer, error)
}

// AdditionalLayer is one layer of an additional layer store.
type AdditionalLayer interface {
	// Info opens the layer's record, as JSON. The caller closes it.
	Info() (io.ReadCloser, error)
	// Blob opens the layer's tar as it came, most often compressed. The caller closes it.
	Blob() (io.ReadCloser, error)
	// CreateAs makes a read-only layer of it on top of parent ("" for a base layer). Errors
	// are those of ProtoDriver.Create; they leave nothing.
	CreateAs(ctx context.Context, id, parent ID) error
	// Release tells the store that it is not used any more.
	Release() error
}

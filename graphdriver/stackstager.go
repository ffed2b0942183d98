package graphdriver

import (
	"context"
)

// StackStager is the optional power to stage layers on top of staged ones, so that
// all layers of an image can be unpacked, made durable together, and then adopted,
// the lowest first.
type StackStager interface {
	Stager
	// StageOn is Stage on top of a stage of this driver, which has all of its content
	// and is neither adopted nor discarded. The new stage is adopted after it; if
	// parent is discarded instead, adopting is an errdefs.ErrInvalid. The Sync of one
	// stage also does for all others that were complete when it began.
	StageOn(ctx context.Context, parent Staged, opts CreateOptions) (Staged, error)
	// AdoptAll is Adopt of each stage under its ID, in this order, with what names them
	// made durable together at the end. After an error some may be adopted; which
	// ones, Exists tells, and Remove takes them away.
	AdoptAll(ctx context.Context, stack []Staged, ids []ID) error
}

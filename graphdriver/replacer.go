package graphdriver

import (
	"context"
)

// Replacer is the optional power of a Staged to cure a damaged layer.
type Replacer interface {
	Staged
	// Replace puts what was staged, on the parent of layer id, in the place of that
	// layer's files, in one step: at no time is the layer without files. Layers on it
	// see the new ones; what was there goes with Discard. A stage that was not synced
	// yet is synced first. The caller makes sure that neither the layer nor one on it
	// is mounted. A layer of a read-only store is an errdefs.ErrReadOnly, one that the
	// driver does not have an errdefs.ErrNotFound: then it can be adopted instead.
	Replace(ctx context.Context, id ID) error
}

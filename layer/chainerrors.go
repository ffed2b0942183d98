package layer

import (
	"fmt"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/lease"
)

// Sentinels of ChainStore.
var (
	// ErrNoLayer: no layer has that chain ID.
	ErrNoLayer = errdefs.New(errdefs.ErrNotFound, "layer does not exist")
	// ErrNotRetained: the reference was given back before, or is another's.
	ErrNotRetained = errdefs.New(errdefs.ErrInvalid, "layer not retained")
	// ErrNoMount: no read-write layer has that name.
	ErrNoMount = errdefs.New(errdefs.ErrNotFound, "mount does not exist")
	// ErrMountExists: another read-write layer has that name.
	ErrMountExists = errdefs.New(errdefs.ErrExists, "mount already exists with name")
	// ErrMaxDepth: the stack would have more than MaxDepth layers.
	ErrMaxDepth = errdefs.New(errdefs.ErrLimit, "max depth exceeded")
	// ErrNotAncestor: the layer does not stand on the one that was named.
	ErrNotAncestor = errdefs.New(errdefs.ErrInvalid, "not an ancestor of the layer")
	// ErrLeased: a live process uses the layer.
	ErrLeased = errdefs.New(errdefs.ErrInUse, "layer is in use by a process")
	// ErrMounted: the read-write layer is mounted; or a layer that was to get other files, or
	// one on it.
	ErrMounted = errdefs.New(errdefs.ErrInUse, "layer is mounted")
	// ErrChainStoreClosed: no references are handed out any more.
	ErrChainStoreClosed = errdefs.New(errdefs.ErrInvalid, "chain store is closed")
)

// LeasedError says which process uses a layer. It is an ErrLeased.
type LeasedError struct {
	Layer ID
	// PID is the process, in its own PID namespace; 0 is not known.
	PID int
}

func (e *LeasedError) Error() string {
	return fmt.Sprintf("layer %s used by process %d: %v", e.Layer, e.PID, ErrLeased)
}
func (e *LeasedError) Unwrap() error { return ErrLeased }

// Hint says how to be rid of a lease.
func (e *LeasedError) Hint() string {
	return fmt.Sprintf("wait for process %d to finish, or end it", e.PID)
}

// Leased returns a *LeasedError if a live process leases id in dir, the LeaseDir of
// a ChainStore. For whoever removes layers: ask while holding a WriteTx.
func Leased(dir string, id ID) error {
	all, err := lease.Held(dir)
	if err != nil {
		return err
	}
	if owners := all[string(id)]; len(owners) > 0 {
		return &LeasedError{Layer: id, PID: owners[0].PID}
	}
	return nil
}

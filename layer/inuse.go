package layer

import (
	"context"
	"fmt"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
)

// mountedOn returns a layer that is mounted, id itself or one on it; "" if there is none.
// Below a mount another tree in the layer's place would not be seen. The kernel's view is
// not enough: it is that of this process' mount namespace, and the count is everybody's.
func (tx *ReadTx) mountedOn(ctx context.Context, id ID) (ID, error) {
	seen := map[ID]bool{id: true} // damaged records may go round in a circle
	for next := []ID{id}; len(next) > 0; next = next[1:] {
		if mounted, err := tx.mounted(ctx, next[0]); mounted || err != nil {
			return next[0], err
		}
		for _, child := range tx.Children(next[0]) {
			if !seen[child] {
				seen[child], next = true, append(next, child)
			}
		}
	}
	return "", nil
}

// mounted reports whether the layer's mount is counted, and not since before the boot, or
// there without being counted.
func (tx *ReadTx) mounted(ctx context.Context, id ID) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if m := tx.mounts[id]; m.Count > 0 && !tx.store.outlived(m.Path) {
		return true, nil
	}
	state, ok := tx.store.driver().(graphdriver.MountState)
	if !ok {
		return false, nil
	}
	path, mounted, err := state.Mounted(ctx, graphdriver.ID(id))
	if mounted && err == nil {
		// Drivers that mount nothing say so of every layer.
		mounted, err = mountapi.IsMountPoint(path)
	}
	if err != nil {
		return false, fmt.Errorf("mount state of layer %s: %w", id, err)
	}
	return mounted, nil
}

// unmounted is an ErrMounted while the layer or one on it is mounted.
func (tx *ReadTx) unmounted(ctx context.Context, id ID) error {
	mounted, err := tx.mountedOn(ctx, id)
	if err != nil || mounted == "" {
		return err
	}
	return errdefs.WithHint(fmt.Errorf("layer %s: %w", mounted, ErrMounted), "unmount layer "+string(mounted)+" first")
}

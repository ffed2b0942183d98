package vfs

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/tempdir"
)

// Remove deletes the layer's tree.
func (d *driver) Remove(ctx context.Context, id graphdriver.ID) error {
	remove, err := d.Trash(ctx, id)
	if err != nil {
		return err
	}
	return remove()
}

// Trash renames the layer's tree into tempdirs. On a full disk, where there is no room for
// that, the tree stays in its place until the returned function deletes it. A layer of
// a read-only store is an ErrReadOnly.
func (d *driver) Trash(ctx context.Context, id graphdriver.ID) (remove func() error, err error) {
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	h, err := d.homes.Writable(id)
	if errors.Is(err, errdefs.ErrNotFound) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	return d.trash(h, h.Dir(id))
}

func (d *driver) trash(h home, tree string) (remove func() error, err error) {
	if err := faults.Hit("vfs.trash", h.path); err != nil {
		return nil, err
	}
	temp, err := tempdir.New(h.Temp())
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return func() error { return tempdir.RemoveTree(tree) }, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := temp.Trash(tree); err != nil {
		return nil, errors.Join(err, temp.Close())
	}
	// Not synced: should the tree be back after a power cut, its record tells what to do
	// with it, or it has none and is garbage.
	return temp.Close, nil
}

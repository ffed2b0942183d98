package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
)

// Mount gives the data to the user id. The first user of a mount volume mounts it; what is
// mounted already, by an earlier process, is used as it is. A mount that fails counts
// nobody.
func (d *Driver) Mount(ctx context.Context, name, id string) (string, error) {
	v, err := d.lookup(name)
	if err := errors.Join(ctx.Err(), err); err != nil {
		return "", err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	data := d.path(name, dataDir)
	switch {
	case v.removed:
		return "", volume.ErrNoSuchVolume
	case v.damaged != nil:
		return "", v.damaged
	case !v.spec.mounted():
		return data, nil
	}
	if err := v.ensure(ctx, data); err != nil {
		return "", fmt.Errorf("failed to mount local volume: %w", err)
	}
	v.users[id]++
	return data, nil
}

// ensure mounts the volume unless it is mounted. Whoever counts on it is not asked: a mount
// that somebody took away by hand is made again.
func (v *state) ensure(ctx context.Context, data string) error {
	mounted, err := mountapi.IsMountPoint(data)
	if err != nil || mounted {
		return err
	}
	return v.spec.mount(ctx, data)
}

// Unmount takes back one Mount of the user id; after the last one the volume is unmounted.
// The count goes down even if unmounting fails. One who has no mount takes nobody else's
// away.
func (d *Driver) Unmount(ctx context.Context, name, id string) error {
	v, err := d.lookup(name)
	if err := errors.Join(ctx.Err(), err); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.spec.mounted() {
		return nil
	}
	if v.users[id] == 0 {
		d.log.Warn("unmount without a mount", "volume", name, "holder", id)
	} else if v.users[id]--; v.users[id] == 0 {
		delete(v.users, id)
	}
	if len(v.users) > 0 {
		return nil
	}
	if err := mountapi.Unmount(d.path(name, dataDir)); err != nil {
		return fmt.Errorf("failed to unmount local volume: %w", err)
	}
	return nil
}

// Restore counts n mounts of the user id without mounting, for a user that outlived the
// process that mounted.
func (d *Driver) Restore(_ context.Context, name, id string, n int) error {
	v, err := d.lookup(name)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.spec.mounted() && n > 0 {
		v.users[id] += n
	}
	return nil
}

// Settle leaves the user id with n mounts, after a process that died while it mounted or
// unmounted. With nobody else the volume is unmounted.
func (d *Driver) Settle(_ context.Context, name, id string, n int) error {
	v, err := d.lookup(name)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.spec.mounted() {
		return nil
	}
	if v.users[id] = n; n == 0 {
		delete(v.users, id)
	}
	if len(v.users) > 0 {
		return nil
	}
	return unmountLeft(d.path(name, dataDir))
}

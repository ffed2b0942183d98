package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

// Remove deletes a volume. While it has users it is an ErrInUse. Something that stays
// mounted below the volume makes the removal fail before anything is deleted.
func (d *Driver) Remove(ctx context.Context, name string) error {
	v, err := d.lookup(name)
	if err := errors.Join(ctx.Err(), err); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.removed:
		return volume.ErrNoSuchVolume
	case len(v.users) > 0:
		return fmt.Errorf("%w: mounted by %d holders", volume.ErrInUse, len(v.users))
	}
	gone, err := d.discard(name)
	if gone {
		v.removed = true
		d.mu.Lock()
		if d.volumes[name] == v { // and not a new one of that name
			delete(d.volumes, name)
		}
		d.mu.Unlock()
	}
	return err
}

// discard renames the volume away and deletes it. gone is set from the rename on: what can
// not be deleted then is left to the next start.
func (d *Driver) discard(name string) (gone bool, err error) {
	dir := d.path(name)
	if err := d.detach(dir); err != nil {
		return false, err
	}
	old := d.path(oldPrefix + volume.NewName()[:16])
	err = os.Rename(dir, old)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove volume: %w", err)
	}
	if err := errors.Join(atomicfile.SyncDir(d.opts.Root), tree.Remove(old)); err != nil {
		return true, fmt.Errorf("remove volume: %w", err)
	}
	return true, nil
}

// detach unmounts a volume and proves that its folder is its own.
func (d *Driver) detach(dir string) error {
	data := filepath.Join(dir, dataDir)
	real, err := filepath.EvalSymlinks(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	if real != data {
		return fmt.Errorf("remove volume: %s is really %s: %w", data, real, errdefs.ErrInvalid)
	}
	if err := unmountLeft(data); err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	at, err := mountapi.IsMountPoint(data)
	if err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	below, err := mountapi.AnyBelow(dir)
	if err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	if at || below {
		return fmt.Errorf("remove volume: %s: %w", dir, tree.ErrMounted)
	}
	return nil
}

// unmountLeft unmounts what is mounted at path without a user. Where nothing is, the kernel is
// not asked: it would refuse an ordinary user even that.
func unmountLeft(path string) error {
	if at, err := mountapi.IsMountPoint(path); err != nil || !at {
		return err
	}
	return mountapi.Unmount(path)
}

// errTooShort has the text that users of other engines know.
var errTooShort = errdefs.New(volume.ErrInvalidName, "volume name is too short, names should be at least two alphanumeric characters")
